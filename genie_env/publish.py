"""Worlds put on the Hub: the bundle, a card with the Hub's own metadata, and an animation of a dream."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genie_env.bundle import CARD, bundle_contents, save_world
from genie_env.files.video import write_gif
from genie_env.hub.address import HubAddress, parse_address
from genie_env.hub.client import library
from genie_env.hub.upload import PushSettings, upload
from genie_env.measurement import WORLD, Measurement, select, stored_measurements
from genie_env.model_card import model_card
from genie_env.world import World

GIF = "dream.gif"
GIF_STEPS, HELD_STEPS = 150, 4
TAGS = ("genie-env", "world-model", "gymnasium", "reinforcement-learning", "atari")


def push_world(world: World, repo: str, settings: PushSettings, policy: Path | None = None) -> HubAddress:
    """Put a world on the Hub, in one commit.

    Args:
        world: any; it is saved and checked like a bundle first.
        repo: ``user/repo``.
        settings: of the repository and the commit.
        policy: folder of a policy that the world brings.

    Returns:
        The address of the commit, which opens this very world.

    Raises:
        HubError: if the Hub refuses or cannot be reached; nothing is changed there then.
        ValueError: as :func:`~genie_env.bundle.save_world`.
        ImportError: without huggingface_hub.
    """
    library()
    name = parse_address(repo if repo.startswith("hf:/") else f"hf://{repo}").repo
    with tempfile.TemporaryDirectory(prefix="genie-env-") as temporary:
        folder = save_world(world, Path(temporary) / "world", policy=policy)
        write_gif(folder / GIF, dream(world, GIF_STEPS), world.config.source.fps, scale=3)
        extra = {GIF: (folder / GIF).read_bytes(), CARD: hub_card(world, name, settings.license).encode()}
        return upload(folder, name, bundle_contents(), settings, extra)


def hub_card(world: World, repo: str, license: str | None = None) -> str:
    """The world's card as the Hub wants it: metadata in YAML with the measured values, then Markdown."""
    metadata = library().ModelCardData(
        library_name="genie-env",
        license=license,
        tags=list(TAGS),
        pipeline_tag="reinforcement-learning",
        model_name=world.config.name,
        eval_results=_results(world),
    )
    parts = [
        f"---\n{metadata.to_yaml()}\n---\n",
        model_card(world),
        f"## A dream\n\n![Frames that the world drew]({GIF})\n",
        f'```python\nimport gymnasium as gym\nimport genie_env\n\nenv = gym.make("Genie/World-v0", world="hf://{repo}")\n'
        "```\n",
    ]
    return "\n".join(parts)


def dream(world: World, num_steps: int) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] of a dream from the world's first beginning, each random action held for a while."""
    rng = np.random.default_rng(0)
    actions_T = rng.integers(world.config.dynamics.num_actions, size=num_steps).repeat(HELD_STEPS)[:num_steps]
    prompt = world.starts
    rollout = world.engine().roll(
        prompt.tokens_SPN[:1].to(world.device),
        prompt.actions_SP[:1].to(world.device),
        torch.from_numpy(actions_T)[None],
        keys_B=torch.zeros(1, dtype=torch.long),
    )
    return world.decode(rollout.tokens_BTN)[0].cpu().numpy()


def _results(world: World) -> list[Any] | None:
    """What was measured of the world itself, as the Hub's evaluation results."""
    from huggingface_hub import EvalResult

    game = world.config.source.env_id or "unknown"
    measured = select(stored_measurements(world.config.metrics), source=WORLD)
    return [
        EvalResult(
            task_type="reinforcement-learning",
            task_name="world model",
            dataset_type=game,
            dataset_name=game,
            metric_type=one.metric,
            metric_name=_metric_name(one),
            metric_value=one.value,
        )
        for one in measured
        if math.isfinite(one.value)
    ] or None


def _metric_name(one: Measurement) -> str:
    return f"{one.experiment.replace('_', ' ')}: {one.label_with_horizon}" if one.experiment else one.label_with_horizon
