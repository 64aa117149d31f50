"""Worlds for the tests: one with random weights, made in an instant, and the recipe of one that is really trained.

Nothing here asserts anything; fixtures in ``tests/conftest.py`` decide how often a world is made.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import torch

from genie_env.bundle import save_world
from genie_env.config import (
    ActionMapConfig,
    DynamicsConfig,
    EnsembleConfig,
    LatentActionConfig,
    OutcomeConfig,
    SamplingConfig,
    SourceConfig,
    TokenizerConfig,
    WorldConfig,
)
from genie_env.models.ensemble import trunks_and_heads
from genie_env.world import Prompts, World
from tests.helpers.tiny_game import ENV_ID
from training.engine.loop import LoopConfig
from training.recipes import Recipe

VOCAB = 32
NUM_ACTIONS = 3
ACTION_NAMES = ("NOOP", "UP", "DOWN")
# No order and no identity: a test that forgets the map, or turns it round, fails.
REAL_TO_LATENT = (1, 2, 0)
LATENT_TO_REAL = (2, 0, 1)
NUM_STARTS, START_FRAMES = 5, 3


def random_config(**overrides: Any) -> WorldConfig:
    """Configuration of a small world; ``overrides`` are fields of :class:`WorldConfig`."""
    fields: dict[str, Any] = {
        "name": "random",
        "tokenizer": TokenizerConfig(vocab_size=VOCAB),
        "latent_action": LatentActionConfig(num_actions=NUM_ACTIONS, channels=8, code_dim=4),
        "dynamics": DynamicsConfig(
            vocab_size=VOCAB,
            group=2,
            num_actions=NUM_ACTIONS,
            width=32,
            num_layers=2,
            num_heads=2,
            token_dim=16,
            window=4,
        ),
        "outcome": OutcomeConfig(vocab_size=VOCAB, token_dim=4, width=16),
        "source": SourceConfig(
            env_id=ENV_ID, fps=30.0, action_meanings=ACTION_NAMES, effects=(0, 1, 2), keys={"up": 1, "down": 2}
        ),
        "sampling": SamplingConfig(top_p=1.0),
        "action_map": ActionMapConfig(REAL_TO_LATENT, LATENT_TO_REAL, (0.9, 0.8, 0.7), num_labels=10),
    }
    return WorldConfig(**{**fields, **overrides})


def ensemble_config(**overrides: Any) -> EnsembleConfig:
    """Three members, each of the size of a random world's dynamics; ``overrides`` are fields."""
    return EnsembleConfig.from_json({**random_config().dynamics.to_json(), "kind": "ensemble", **overrides})


TELLING_CHANGES = ActionMapConfig(
    (0, 1, 2),
    (0, 1, 2),
    (0.4, 0.4, 0.4),
    num_labels=10,
    real_to_latent_after=((0, 1, 2), (2, 0, 1), (1, 2, 0)),
    latent_to_real_after=((0, 1, 2), (1, 2, 0), (2, 0, 1)),
)
"""Latent actions that say by how much the real action changed; the first one counts as a change from 0."""


def random_world(seed: int = 0, **overrides: Any) -> World:
    """A small world with random weights that dreams lively nonsense; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = random_config(**overrides)
        nothing = torch.zeros(1, 1, config.tokenizer.num_tokens, dtype=torch.long)
        world = World(config, Prompts(nothing, nothing[:, :0, 0]))
        with torch.no_grad():
            for name, parameter in world.dynamics.named_parameters():
                # Fresh blocks pass their input on unchanged; a test of attention needs them to do something.
                if name.endswith(("out.weight", "down.weight")):
                    parameter.normal_(std=parameter.shape[1] ** -0.5)
            # Copying everything would make a still picture of which every test is true.
            for member in trunks_and_heads(world.dynamics)[1]:
                member.stay_bias.fill_(0.5)
                member.leave.weight.normal_(std=0.3)
            # Rewards of every class, and now and then an end.
            world.outcome.out.weight.normal_(std=2.0)
            world.outcome.out.bias[-1] -= 2.0
        shape = (NUM_STARTS, START_FRAMES, world.config.tokenizer.num_tokens)
        if world.config.tokenizer.kind == "codebook":
            world.tokenizer.patches_VK.random_(0, 256)
        starts = Prompts(
            torch.randint(world.config.tokenizer.vocab_size, shape),
            torch.randint(world.config.dynamics.num_actions, (NUM_STARTS, START_FRAMES - 1)),
        )
    return world.replace(starts=starts)


def make_random_world(folder: Path, **overrides: Any) -> Path:
    """Save a small world with random weights as a bundle."""
    return save_world(random_world(**overrides), folder, card="# A world of random weights\n")


def fingerprint(world: Path | str) -> str:
    """SHA-256 of everything that a fixed dream of 60 steps shows."""
    env = gym.make("Genie/World-v0", world=str(world), action_diversity=0.3)
    digest = hashlib.sha256(env.reset(seed=11)[0].tobytes())
    for step in range(60):
        obs, reward, terminated, _, info = env.step(step * step % NUM_ACTIONS)
        digest.update(obs.tobytes() + repr((reward, terminated, info["action"])).encode())
    return digest.hexdigest()


class TinyWorld(NamedTuple):
    """Where the trained tiny world lies: its recording, its stages and its bundle. Read only."""

    data: Path
    run: Path
    bundle: Path


TINY_RECIPE = Recipe(
    env=ENV_ID,
    module="tests.helpers.tiny_game",
    # Short games, so that there are many to hold out and the end of a game can be seen in its pictures.
    env_kwargs='{"points": 1, "max_speed": 2}',
    steps=6000,
    record={"workers": 1, "shard_steps": 1500},
    tokenizer=TokenizerConfig(vocab_size=256),
    latent_action=LatentActionConfig(num_actions=NUM_ACTIONS, context_frames=1, channels=16),
    latent_action_loop=LoopConfig(
        n_updates=200, batch_size=16, warmup=20, weight_decay=1e-4, ema=0.98, precision="float32"
    ),
    label_fraction=0.3,
    latent_action_training={"naming_updates": 250},
    dynamics={"width": 64, "num_layers": 2, "num_heads": 2, "token_dim": 32, "window": 4},
    dynamics_training={"clip_length": 4, "corruption": 0.02, "parallel_share": 0.8},
    dynamics_loop=LoopConfig(
        n_updates=400, batch_size=16, learning_rate=5e-3, warmup=20, ema=0.98, precision="float32"
    ),
    outcome_loop=LoopConfig(n_updates=400, batch_size=64, weight_decay=0.05, warmup=20, ema=0.98, precision="float32"),
)
