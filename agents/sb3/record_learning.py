"""A learner in games that record it: PPO, sized for one CPU core, on small grey pictures or on a game's own state.

Owns the learner's settings, what happens between its steps, and how it goes on after a stop. Knows nothing about which
game it plays.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize
from tqdm import tqdm

from agents.sb3.guided_policy import Guide, GuidedPolicy
from agents.sb3.networks import policy_settings, state_policy_settings
from agents.sb3.recorded_games import RecordedGames
from agents.sb3.recorded_shards import Shards
from agents.sb3.run_folder import RunFolder
from genie_env.policies.config import PolicyConfig
from genie_env.policies.spec import PolicySpec

SMALLEST_FRAME = 20
"""Edge in pixels of the smallest frame that the network's two convolutions fit."""
EXPLORE_LESS_UNTIL = 0.5
"""Share of the way up to which less and less is explored."""
LAST_EXPLORED = 0.2
"""What is left of exploration then. A good policy is nearly sure of its actions, and a game without random repeats is
then the same in every row: eight copies of one episode, which teach a world little."""
LAST_RATE = 0.05
"""Share of the learning rate that is left at the end."""


@dataclass(frozen=True)
class LearnerConfig:
    """Settings of PPO."""

    n_envs: int = 8
    """Games played at once, one after another in one process."""
    n_steps: int = 128
    """Steps of each game between updates."""
    batch_size: int = 256
    """Transitions of a gradient step."""
    n_epochs: int = 3
    """Passes over what was collected."""
    learning_rate: float = 5e-4
    """Rate at the beginning; it falls linearly to a twentieth."""
    gamma: float = 0.99
    """Discount of later rewards, per step."""
    gae_lambda: float = 0.95
    """Decay of generalised advantage estimation."""
    ent_coef: float = 0.01
    """Worth of the policy's entropy."""
    clip_range: float = 0.2
    """How far a policy may move per update."""
    frame_stack: int = 4
    """Frames that the policy sees."""
    sees: Literal["auto", "frames", "state"] = "auto"
    """What the learner sees: the recorded frames, or the game's own observation where that is no picture. auto takes
    the latter where there is one: learning needs no drawing then, and is some ten times as fast."""
    practice: int = 10
    """Steps that a learner plays undrawn and unrecorded for each recorded one, where it sees the game's state."""
    explore: float = 0.5
    """Share of the games played by players that explore at the beginning; it falls to a fifth half way."""

    def __post_init__(self) -> None:
        for name in ("n_envs", "n_steps", "batch_size", "n_epochs", "frame_stack"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {getattr(self, name)}")
        if self.batch_size < 2 or self.n_envs * self.n_steps < 2:
            raise ValueError("expected a batch_size >= 2, and n_envs x n_steps >= 2: advantages are normalised")
        if not 0 <= self.explore <= 1:
            raise ValueError(f"explore: expected a share from 0 to 1, got {self.explore}")
        if self.practice < 0:
            raise ValueError(f"practice: expected a whole number >= 0, got {self.practice}")


def learner_policy_config(config: LearnerConfig, image_size: int, num_actions: int, env_id: str) -> PolicyConfig:
    """What is stored with the learner's policies; they depend on no world.

    Raises:
        ValueError: if frames are too small for the network.
    """
    if image_size < SMALLEST_FRAME:
        raise ValueError(f"image_size: expected at least {SMALLEST_FRAME} for a learner, got {image_size}")
    actions = tuple(range(num_actions))
    spec = PolicySpec("grayscale", "real", actions, actions, config.frame_stack)
    return PolicyConfig("", "ppo", "small_cnn", spec, image_size, 0, 0, trained={"env": env_id})


def learn_recorded(
    config: LearnerConfig, games: RecordedGames, shards: Shards, run: RunFolder, policy: PolicyConfig | None, seed: int
) -> None:
    """Learn to the end of the budget, or go on from the last finished shard.

    Args:
        config: of the learner.
        games: where it plays.
        shards: where that is written.
        run: folder of checkpoint and policies.
        policy: configuration of its policies; None where they see the game's state, and no dream could show them that.
        seed: of network, actions and exploration; a part that a resume plays has one of its own.
    """
    rng = np.random.default_rng([seed, len(shards.lines)])
    # One state says how things move; of pictures it takes several.
    stack = 1 if policy is None else config.frame_stack
    venv = VecNormalize(VecFrameStack(games, stack), norm_obs=False, gamma=config.gamma)
    network = state_policy_settings() if policy is None else policy_settings("small_cnn", 0)
    learner = make_learner(config, venv, shards, network, int(rng.integers(2**31)))
    run.load_checkpoint(learner)
    # A checkpoint may be of a shard that was not finished: what counts are the steps in finished ones.
    learner.num_timesteps = shards.steps
    if shards.lines:
        scale = shards.lines[-1].kept
        venv.ret_rms.mean, venv.ret_rms.var = np.array(scale["mean"]), np.array(scale["var"])
        venv.ret_rms.count = scale["count"]
    assert isinstance(learner.policy, GuidedPolicy)
    learner.policy.guide = Guide(
        int(games.action_space.n),  # type: ignore[attr-defined]
        games.num_envs,
        rng,
        share=lambda: config.explore * max(LAST_EXPLORED, 1 - shards.progress / EXPLORE_LESS_UNTIL),
    )
    if not shards.done:
        # More than enough: the shards say when it is over.
        much = 2 * shards.budget.steps * (1 + config.practice)
        with shards.bar() as bar:
            learner.learn(much, Recorder(games, venv, shards, run, policy, bar), reset_num_timesteps=False)


def make_learner(config: LearnerConfig, venv: VecNormalize, shards: Shards, network: dict[str, Any], seed: int) -> PPO:
    """The algorithm, untrained; its rates fall with the share of the way that is behind it."""
    learner = PPO(
        GuidedPolicy,
        venv,
        learning_rate=lambda _: config.learning_rate * max(LAST_RATE, 1 - shards.progress),
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.ent_coef,
        policy_kwargs=network,
        seed=seed,
        device="cpu",
    )
    learner.set_logger(Logger(None, []))
    return learner


class Recorder(BaseCallback):
    """Ends shards where they are due, with a checkpoint each, and keeps a policy of every tenth of the way."""

    def __init__(
        self,
        games: RecordedGames,
        venv: VecNormalize,
        shards: Shards,
        run: RunFolder,
        policy: PolicyConfig | None,
        bar: tqdm,
    ) -> None:
        super().__init__()
        self._games, self._venv, self._shards = games, venv, shards
        self._run, self._policy, self._bar = run, policy, bar

    def _on_training_start(self) -> None:
        self._name_players()

    def _on_step(self) -> bool:
        self._bar.update(self._shards.steps + self._games.steps - self._bar.n)
        if self._shards.due(self._games):
            self._end_shard()
        return not self._shards.done

    def _end_shard(self) -> None:
        scale = self._venv.ret_rms
        self._run.save_checkpoint(self.model)
        if self._policy is not None and self._shards.last_of_part():
            trained = {**self._policy.trained, "steps": self.num_timesteps}
            self._run.save_policy(self.model, dataclasses.replace(self._policy, trained=trained))
        self._shards.close(
            self._games, {"mean": float(scale.mean), "var": float(scale.var), "count": float(scale.count)}
        )
        self._name_players()

    def _name_players(self) -> None:
        self._games.players = [f"learner_{self._shards.part}"] * self._games.num_envs
