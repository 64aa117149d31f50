"""Held-out play of the tiny game for the tests of evaluation and diagnosis, and worlds that read or know it exactly.

Nothing here asserts anything.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from genie_env.config import DynamicsConfig, OutcomeConfig, SamplingConfig, SourceConfig, TokenizerConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.games.registry import Game
from genie_env.games.sprites import SpriteColours
from genie_env.models.tokenizer import PatchCodebook, to_patches, unique_rows
from genie_env.rollout.engine import DrawnFrame, RolloutEngine
from genie_env.world import World
from tests.helpers import tiny_game
from tests.helpers.tiny_game import DOWN, ENV_ID, UP
from tests.helpers.worlds import random_world
from training.evaluation.held_out import HeldOutEpisode
from training.record import RecordConfig, record

VOCAB, WINDOW = 1024, 4
COLOURS = SpriteColours(
    background=tiny_game.BACKGROUND_COLOUR,
    sprites={"ball": tiny_game.BALL_COLOUR, "own": tiny_game.OWN_COLOUR, "opp": tiny_game.OPP_COLOUR},
    rows=(0, 64),
)
TINY = Game(
    source=SourceConfig(env_id=ENV_ID, action_meanings=("NOOP", "UP", "DOWN"), effects=(0, 1, 2)),
    truth_names=("ball_x", "ball_y", "own_x", "own_y", "opp_x", "opp_y"),
    truth=lambda _env, info: info["truth"],
    colours=COLOURS,
    action_directions=((UP, "own_y", -1), (DOWN, "own_y", +1)),
)


def record_tiny(folder: Path) -> EpisodeStore:
    """A recording of short games, of which every tenth is held out."""
    sizes = {"steps": 2000, "shard_steps": 2000, "workers": 1}
    config = RecordConfig(out=folder, env=ENV_ID, module="tests.helpers.tiny_game", env_kwargs='{"points": 1}', **sizes)
    return record(config, TINY)


def exact_world(store: EpisodeStore) -> World:
    """Random weights, but a tokenizer that is exact on everything recorded."""
    dynamics = DynamicsConfig(
        vocab_size=VOCAB, num_actions=3, width=32, num_layers=2, num_heads=2, token_dim=16, window=WINDOW
    )
    made = random_world(
        tokenizer=TokenizerConfig(vocab_size=VOCAB),
        dynamics=dynamics,
        outcome=OutcomeConfig(vocab_size=VOCAB, token_dim=4, width=16),
    )
    frames = np.concatenate([arrays["frames"] for split in ("train", "test") for _, arrays in store.episodes(split)])
    patches, _ = unique_rows(to_patches(torch.from_numpy(frames), 8).flatten(0, 1))
    tokenizer = made.tokenizer
    if len(patches) > VOCAB or not isinstance(tokenizer, PatchCodebook):
        raise ValueError(f"expected at most {VOCAB} patches and a codebook, got {len(patches)} and {type(tokenizer)}")
    tokenizer.patches_VK.zero_()
    tokenizer.patches_VK[: len(patches)] = patches
    return made


class TableDynamics(nn.Module):
    """A dynamics that has learned held-out play by heart: two frames and an action determine the next frame.

    Off the table it repeats the present frame, and so it does without ``skill``.
    """

    def __init__(self, config: DynamicsConfig, episodes: list[HeldOutEpisode]) -> None:
        super().__init__()
        self.config, self.mask_token = config, config.vocab_size
        self.skill = nn.Parameter(torch.ones(1))
        self.table: dict[bytes, torch.Tensor] = {}
        for r in episodes:
            codes = torch.from_numpy(r.dynamics_actions_T)
            for t in range(1, len(codes)):
                self.table[_key(r.tokens_TN[t - 1], r.tokens_TN[t], codes[t])] = r.tokens_TN[t + 1]

    @property
    def device(self) -> torch.device:
        return self.skill.device

    def next_frame(self, before_N: torch.Tensor, present_N: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Tokens of the frame that follows."""
        return self.table.get(_key(before_N, present_N, action), present_N) if self.skill > 0.5 else present_N

    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        """Features that are the next tokens, [B, T, N, 1]."""
        rows = [
            torch.stack([self.next_frame(row[max(t - 1, 0)], row[t], acts[t]) for t in range(len(row))])
            for row, acts in zip(tokens_BTN, actions_BT, strict=True)
        ]
        return torch.stack(rows)[..., None].float()

    def decode(self, features_MGD: torch.Tensor, decided_MN: torch.Tensor) -> torch.Tensor:
        """The features."""
        return features_MGD

    def log_probs(self, head_out: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        """All but certain."""
        scores = torch.zeros(*current.shape, self.config.vocab_size)
        return scores.scatter_(-1, head_out.long().clamp_max(self.config.vocab_size - 1), 20.0).log_softmax(-1)


class TableEngine(RolloutEngine):
    """The engine of a :class:`TableDynamics`, as far as clips are rolled out by it."""

    def __init__(self, dynamics: TableDynamics) -> None:
        super().__init__(dynamics, None, SamplingConfig())

    def start(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor, key_B: torch.Tensor) -> Any:
        """A state that remembers two frames."""
        return SimpleNamespace(recent_BCN=tokens_BTN[:, -2:].clone(), given=tokens_BTN.shape[1], step_B=0)

    def advance(self, state: Any, actions_B: torch.Tensor, temperature_B: torch.Tensor) -> DrawnFrame:
        """Look the next frame up."""
        drawn = self.draw(state, actions_B)
        state.recent_BCN, state.step_B = torch.stack([state.recent_BCN[:, -1], drawn], dim=1), state.step_B + 1
        return DrawnFrame(drawn, temperature_B, None)

    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        """Tokens of the next frames."""
        pairs = zip(state.recent_BCN, actions_B, strict=True)
        return torch.stack([self.dynamics.next_frame(*recent_2N, action) for recent_2N, action in pairs])


def know_all(world: World, dynamics: TableDynamics, engine: type[TableEngine] = TableEngine) -> World:
    """Let ``world`` dream with a table."""
    world.dynamics = dynamics

    def make(sampling: SamplingConfig | None = None) -> TableEngine:
        return engine(dynamics)

    world.engine = make
    return world


def _key(before_N: torch.Tensor, present_N: torch.Tensor, action: torch.Tensor) -> bytes:
    return torch.cat([before_N, present_N, action.view(1)]).long().numpy().tobytes()
