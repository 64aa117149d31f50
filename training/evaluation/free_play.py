"""Free play, dreamed and real, by one policy: who is there, who obeys, who scores, and what stands still or loops.

Owns the policy and what is counted in play. Knows nothing of held-out recordings and reports; the dream and the real
game are both just vector environments here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tqdm import tqdm

from genie_env.config import SourceConfig
from genie_env.games.registry import Game
from genie_env.games.source_game import make_source_game
from genie_env.games.sprites import find_sprites
from genie_env.statistics import Interval, mean, ratio
from training.evaluation.array_metrics import distance, fingerprints, longest_repeat, token_counts
from training.evaluation.report import Figures
from training.evaluation.sprites import count_pieces

WARM_UP = 32
"""Steps a real game is played before it counts: start prompts lie as far into their episodes on average."""
LONGEST_HOLD = 8
LONGEST_REPEAT = 60
"""Steps of showing again what was shown before, from which a row counts as frozen or looping."""
POINTS = "points per 1000 steps"
HISTOGRAM = "token histogram, distance to real play"
LOOPING = f"frozen or looping rows, more than {LONGEST_REPEAT} steps"


class Play(NamedTuple):
    """Rows of play; step t leads from frame t to frame t+1."""

    frames_BTHWC: np.ndarray
    effects_BT: np.ndarray | None
    """Effect of each step's command; None where commands mean nothing (latent actions without a map)."""
    rewards_BT: np.ndarray
    cut_BT: np.ndarray
    """Steps that ended an episode: the next frame is another one's first."""


def play_dream(world: str, rows: int, steps: int, seed: int, effects: tuple[int, ...] | None, **options: Any) -> Play:
    """Play ``rows`` dreams; ``options`` are those of the environment."""
    envs = gym.make_vec("Genie/World-v0", num_envs=rows, world=world, autoreset_mode=AutoresetMode.SAME_STEP, **options)
    return play(envs, steps, seed, effects, name="free dreams")


def play_real(source: SourceConfig, rows: int, steps: int, seed: int, effects: tuple[int, ...]) -> Play:
    """Play as many real games.

    Raises:
        ImportError, ValueError, gymnasium.error.Error: if the game cannot be made; see ``make_source_game``.
    """
    games = SyncVectorEnv([lambda: make_source_game(source)] * rows, autoreset_mode=AutoresetMode.SAME_STEP)
    return play(games, steps, seed, effects, WARM_UP, name="real game")


def play(
    envs: gym.vector.VectorEnv, steps: int, seed: int, effects: tuple[int, ...] | None, warm_up: int = 0, name: str = ""
) -> Play:
    """Play the policy, and close ``envs``; the first ``warm_up`` steps are not kept."""
    num_actions = int(envs.single_action_space.n)  # type: ignore[attr-defined]
    actions_TB = held_actions(np.random.default_rng(seed), warm_up + steps, envs.num_envs, num_actions)
    frames, rewards, cuts = [envs.reset(seed=seed)[0]], [], []
    for actions_B in tqdm(actions_TB, desc=name, unit="step"):
        frame, reward, terminated, truncated, _ = envs.step(actions_B)
        frames.append(frame)
        rewards.append(reward)
        cuts.append(terminated | truncated)
    envs.close()
    return Play(
        np.stack(frames[warm_up:], axis=1),
        None if effects is None else np.asarray(effects)[actions_TB[warm_up:].T],
        np.stack(rewards[warm_up:], axis=1),
        np.stack(cuts[warm_up:], axis=1),
    )


def held_actions(rng: np.random.Generator, steps: int, rows: int, num_actions: int) -> np.ndarray:
    """The policy: random actions [T, B], each held for one to eight steps."""
    actions_BT = rng.integers(num_actions, size=(rows, steps))
    holds_BT = rng.integers(1, LONGEST_HOLD + 1, size=(rows, steps))
    return np.stack([np.repeat(a, h)[:steps] for a, h in zip(actions_BT, holds_BT, strict=True)], axis=1)


def play_figures(play: Play, game: Game, reach: dict[str, tuple[float, float]]) -> Figures:
    """Figures of play, by row.

    Args:
        play: dreamed or real.
        game: colours of its sprites, and what commands do.
        reach: extremes that each coordinate named in ``game.action_directions`` reaches in real play.
    """
    found: Figures = {}
    if game.colours is not None:
        seen, pieces = find_sprites(play.frames_BTHWC, game.colours), count_pieces(play.frames_BTHWC, game.colours)
        for s, name in enumerate(seen.names):
            found[f"{name} present"] = mean(seen.present[:, 1:, s])
            found[f"exactly one {name}, where any"] = ratio(pieces[..., s] == 1, pieces[..., s] > 0)
        if play.effects_BT is not None:
            for name, bounds in reach.items():
                directions = {effect: sign for effect, moved, sign in game.action_directions if moved == name}
                counts = obedience(seen.coordinates()[name], play.effects_BT, play.cut_BT, directions, bounds)
                found[f"{name.split('_')[0]} obeys"] = ratio(*counts)
    found[POINTS] = mean(1000 * (play.rewards_BT != 0))
    found["points won per 1000 steps"] = mean(1000 * (play.rewards_BT > 0))
    found["points lost per 1000 steps"] = mean(1000 * (play.rewards_BT < 0))
    prints_BT = fingerprints(play.frames_BTHWC)
    still_B, repeat_B = longest_repeat(prints_BT, 1), longest_repeat(prints_BT, prints_BT.shape[1])
    found["longest still stretch, steps"] = mean(still_B)
    found["longest still stretch, worst row"] = Interval(float(still_B.max()), count=len(still_B))
    found["longest repeat of any period, worst row"] = Interval(float(repeat_B.max()), count=len(repeat_B))
    found[LOOPING] = mean(repeat_B > LONGEST_REPEAT)
    return found


def histogram_figures(
    tokens: dict[str, np.ndarray], vocab: int, reference: str, recorded_MN: np.ndarray
) -> dict[str, Figures]:
    """How far each row's tokens, counted at each place, are from those of all other real play.

    Args:
        tokens: of each play, int64 [B, T, N].
        vocab: size of the vocabulary.
        reference: the play that is real; a row of it is compared with its other rows, which tells how far a row is
            from its like. Where it was not played, the recording takes its place.
        recorded_MN: tokens of recorded frames.
    """
    counts_BX = {name: np.stack([token_counts(row, vocab) for row in rows]) for name, rows in tokens.items()}
    real_BX = counts_BX.get(reference, np.zeros((1, 1)))
    compared = {}
    for name, rows_BX in counts_BX.items():
        if len(real_BX) < 2:
            others = np.broadcast_to(token_counts(recorded_MN, vocab), rows_BX.shape)
        else:
            others = real_BX.sum(0) - (rows_BX if name == reference else 0 * rows_BX)
        compared[name] = {
            HISTOGRAM: mean(np.array([distance(row, other) for row, other in zip(rows_BX, others, strict=True)]))
        }
    return compared


def obedience(
    place_BT: np.ndarray,
    effect_BT: np.ndarray,
    cut_BT: np.ndarray,
    directions: dict[int, int],
    reach: tuple[float, float],
    room: float = 5.0,
) -> tuple[np.ndarray, np.ndarray]:
    """How often a sprite moved the way it was told, per row: obeyed [B] out of asked [B].

    It was asked where the same command was held for two steps, the present one included, and the sprite had room.

    Args:
        place_BT: coordinate before each step and after the last, [B, T+1]; NaN where the sprite is absent.
        effect_BT: effect of the action of each step.
        cut_BT: steps that ended in a new beginning, where nothing moved.
        directions: sign of the movement each effect should cause; other effects ask for nothing.
        reach: the extremes the coordinate reaches in real play.
        room: distance that must be left to them.
    """
    before_BT, after_BT = place_BT[:, 1:-1], place_BT[:, 2:]
    held_BT = (effect_BT[:, 1:] == effect_BT[:, :-1]) & ~cut_BT[:, 1:] & ~cut_BT[:, :-1]
    free_BT = (before_BT >= reach[0] + room) & (before_BT <= reach[1] - room)
    obeyed_B, asked_B = np.zeros(len(place_BT)), np.zeros(len(place_BT))
    for effect, sign in directions.items():
        asked_BT = held_BT & free_BT & (effect_BT[:, 1:] == effect)
        # A tenth of a pixel is rounding, not movement. A sprite that vanished (NaN) did not obey.
        obeyed_B += (asked_BT & (sign * (after_BT - before_BT) > 0.1)).sum(1)
        asked_B += asked_BT.sum(1)
    return obeyed_B, asked_B
