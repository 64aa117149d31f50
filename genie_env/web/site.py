"""Writes a world as a folder that any static web server can serve: page, graphs, weights, starts and runtime."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path
from typing import Any

import genie_env
from genie_env.bundle import STARTS, Bundle, read_starts
from genie_env.config import WorldConfig
from genie_env.envs.action_names import action_effects, action_keys, action_meanings, noop_action
from genie_env.files.atomic import whole_folder, write_json
from genie_env.portable.export import export
from genie_env.portable.step import CONTRACT, StepOptions, memory_shape, tokens_shape
from genie_env.web.ort_web import copy_ort_web, find_ort_web
from genie_env.window.keyboard import key_table

PAGE = Path(__file__).parent / "page"


def write_site(
    bundle: Bundle, out: Path, options: StepOptions, ort_web: Path | None = None, replace: bool = False
) -> Path:
    """Write the page of a world as the folder ``out``.

    Args:
        bundle: the world.
        out: folder to make.
        options: how its step is built.
        ort_web: folder with the files of onnxruntime-web; None finds or fetches them.
        replace: whether a folder that is there may be replaced.

    Raises:
        ValueError: if the folder exists, onnxruntime-web is nowhere, or a file of the bundle is damaged.
        OSError: if a file cannot be written.
    """
    source = find_ort_web(ort_web)
    with whole_folder(out, replace, "dream.js") as partial:
        shutil.copytree(PAGE, partial, dirs_exist_ok=True)
        copy_ort_web(source, partial / "runtime")
        world = partial / "world"
        world.mkdir()
        for name in (*itertools.chain(*weights(bundle.config).values()), STARTS):
            shutil.copyfile(bundle.folder / name, world / name)
        # The copies are what the graphs point to, so they are checked here, and not the originals.
        copied = bundle._replace(folder=world)
        export(copied, world / "step.onnx", options)
        (world / "step.pictures.onnx").rename(world / "pictures.onnx")
        size = sum(path.stat().st_size for path in world.iterdir()) + (partial / "runtime" / "ort.wasm").stat().st_size
        write_json(world / "world.json", {**describe(copied, options), "bytes": size})
    return out


def describe(bundle: Bundle, options: StepOptions) -> dict[str, Any]:
    """What the page must know of a world, JSON-plain."""
    config = bundle.config
    tokens, _ = read_starts(bundle)
    places, frames, width = memory_shape(config.dynamics)
    names, keys, noop = actions(config, options.action_type)
    return {
        "genie_env": genie_env.__version__,
        "contract": CONTRACT,
        "name": config.name,
        "title": title(config),
        "fps": config.source.fps,
        "image_size": config.tokenizer.image_size,
        "actions": names,
        "keys": keys,
        "noop": noop,
        "effects": [effect._asdict() for effect in action_effects(config, options.action_type)],
        "rewards": [] if config.outcome is None else list(config.outcome.rewards),
        "temperature": options.sampling.temperature,
        "context": tokens_shape(config)[0],
        "window": options.diversity_window,
        "places": places,
        "frames": frames,
        "width": width,
        "layers": config.dynamics.num_layers,
        "starts": {"count": len(tokens), "frames": tokens.shape[1], "tokens": tokens.shape[2]},
        "weights": weights(config),
    }


def weights(config: WorldConfig) -> dict[str, list[str]]:
    """Graphs of a page, and the bundle's files to which each points."""
    read = ["dynamics"] if config.outcome is None else ["dynamics", "outcome"]
    return {"step.onnx": [f"{name}.safetensors" for name in read], "pictures.onnx": ["tokenizer.safetensors"]}


def actions(config: WorldConfig, action_type: str) -> tuple[list[str], dict[str, int], int | None]:
    """Names of the actions, which keys (joined by "+") play which, and the one that is played without a key, if any."""
    names, keys = action_meanings(config, action_type), action_keys(config, action_type)
    table = {frozenset(held): action for held, action in keys.items()} or key_table({}, names)
    return (
        names,
        {"+".join(sorted(held)): action for held, action in table.items()},
        noop_action(config, action_type),
    )


def title(config: WorldConfig) -> str:
    """Name of the game for people: ``Pong`` for ``ALE/Pong-v5``, else the world's own."""
    found = re.fullmatch(r"(?:.*[/:])?([A-Za-z0-9 _]+?)(?:-v\d+)?", config.source.env_id)
    name = found.group(1) if found else config.name
    return name.replace("_", " ").strip()[:40] or "A game"
