"""The model card of a bundle: what the world is, what it was made from, and what was measured."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from genie_env.bundle import load_world, save_world
from genie_env.bundled_policy import policy_folder_of
from genie_env.config import EnsembleConfig, SourceConfig
from genie_env.files.tensors import weights_of
from genie_env.measurement import MEASUREMENTS, Measurement, stored_measurements, tables
from genie_env.tables import markdown_table
from genie_env.world import World


def set_measurements(folder: Path, measurements: Sequence[Measurement]) -> None:
    """Replace the measurements of an existing bundle, in its configuration and in its model card.

    Raises:
        ValueError: if the bundle cannot be read.
    """
    world = load_world(folder, device="cpu")
    metrics = {**world.config.metrics, MEASUREMENTS: [one.to_json() for one in measurements]}
    world = world.replace(config=dataclasses.replace(world.config, metrics=metrics))
    save_world(world, folder, card=model_card(world), replace=True, policy=policy_folder_of(folder))


def model_card(world: World) -> str:
    """The card as Markdown."""
    c = world.config
    sizes = {name: sum(v.numel() for v in weights_of(getattr(world, name)).values()) for name in c.networks}
    layers = f"{c.dynamics.num_layers} layers, width {c.dynamics.width}, window {c.dynamics.window}"
    if isinstance(c.dynamics, EnsembleConfig):
        layers = f"{c.dynamics.members} {c.dynamics.member_kind}, each of {layers}"
    networks = [
        ("tokenizer", f"{c.tokenizer.kind}, {c.tokenizer.vocab_size} tokens", f"{sizes['tokenizer']:,}"),
        ("dynamics", layers, f"{sizes['dynamics']:,}"),
    ]
    if c.outcome is not None:
        networks.append(("outcome head", f"rewards {list(c.outcome.rewards)}", f"{sizes['outcome']:,}"))
    if c.latent_action is not None:
        codes = f"{c.latent_action.num_actions} codes"
        networks.insert(1, ("latent action model", codes, f"{sizes['latent_action']:,}"))
    parts = [
        f"# World: {c.name}\n",
        f"A Genie Env world learned from {_recordings(c.source)}.\n",
        markdown_table(("network", "kind", "values"), networks),
        f"Sampling defaults: temperature {c.sampling.temperature:g}, top_p {c.sampling.top_p:g}, "
        f"{c.sampling.decode_steps} decoding steps. The dynamics learned from "
        f"{'recorded' if c.recorded_actions else 'inferred'} actions.\n",
    ]
    if c.source.unknown:
        parts.append(f"Not known: {c.source.unknown}.\n")
    other = [(name, value) for name, value in c.metrics.items() if not isinstance(value, (dict, list))]
    if other:
        parts.append(markdown_table(("measured", "value"), other))
    for experiment, header, rows in tables(stored_measurements(c.metrics)):
        parts += [f"## {experiment}\n", markdown_table(header, rows)]
    return "\n".join(parts)


def _recordings(source: SourceConfig) -> str:
    if not source.env_id:
        return "recordings of a game that is not named"
    return f"recordings of `{source.env_id}` (`{json.dumps(source.env_kwargs)}`)"
