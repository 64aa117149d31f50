"""Free play, dreamed and real, by one policy: which sprites are there and obey, who scores, what stands still or loops.

Owns the policy and what is counted in play. Knows nothing of held-out predictions and reports; the dream and the real
game are both just vector environments here.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from tqdm import tqdm

from genie_env.bundle import read_config
from genie_env.cluster.make_rows import make_rows
from genie_env.config import SourceConfig
from genie_env.envs.dream_batch import DreamBatch, action_space
from genie_env.envs.options import EnvOptions
from genie_env.games.registry import Game
from genie_env.games.source_game import make_source_game
from genie_env.games.sprites import find_sprites, sprite_of
from genie_env.measurement import WORLD, Measurement, Metric, Subset, select, with_fields
from genie_env.statistics import Interval, mean, ratio
from training.evaluation.array_metrics import count_places, distance, fingerprints, longest_repeat
from training.evaluation.episodes import measure_usage
from training.evaluation.held_out import HeldOutPlay
from training.evaluation.sprites import count_pieces

FREE_PLAY, REAL, WORLD_OVER_REAL = "free_play", "real", "world_over_real"
WARM_UP = 32
"""Steps a real game is played before it counts: start prompts lie as far into their episodes on average."""
LONGEST_HOLD = 8
LONGEST_REPEAT = 60
"""Steps of showing again what was shown before, from which a row counts as frozen or looping."""
ROOM = 5.0
"""Pixels to the extremes of a coordinate within which a sprite is not asked to obey."""

Reach = dict[str, tuple[float, float]]
"""Extremes that each coordinate reaches in real play."""


class FreePlay(NamedTuple):
    """Rows of play; step t leads from frame t to frame t+1."""

    frames_BTHWC: np.ndarray
    effects_BT: np.ndarray | None
    """Effect of each step's command; None where commands mean nothing (latent actions without a map)."""
    rewards_BT: np.ndarray
    cut_BT: np.ndarray
    """Steps that ended an episode: the next frame is another one's first."""

    def first(self, steps: int) -> FreePlay:
        """The first ``steps`` steps."""
        effects_BT = None if self.effects_BT is None else self.effects_BT[:, :steps]
        return FreePlay(
            self.frames_BTHWC[:, : steps + 1], effects_BT, self.rewards_BT[:, :steps], self.cut_BT[:, :steps]
        )


def play_dream(
    world: str, rows: int, steps: int, seed: int, effects: tuple[int, ...] | None, **options: Any
) -> FreePlay:
    """Play ``rows`` dreams; ``options`` are those of :func:`~genie_env.cluster.make_rows.make_rows`."""
    envs = make_rows(world, rows, **options)
    return play(envs, steps, seed, effects, name="free dreams")


def play_beams(world: str, rows: int, steps: int, seed: int, beam: int, horizon: int, **options: Any) -> FreePlay:
    """Play ``rows`` dreams by the same policy, whose actions are known beforehand: each ``horizon`` steps are searched.

    What was searched is kept. A row whose game ended begins anew at the next horizon, its frames till then included.

    Args:
        world: bundled name or folder.
        rows: dreams.
        steps: of each.
        seed: of starts and actions; starts are those of :func:`play_dream`.
        beam: dreams kept of each row (:mod:`genie_env.rollout.beam`); 1 is temperature 0.
        horizon: steps searched at once.
        options: of the environment.
    """
    config = read_config(world)
    resolved = EnvOptions(runtime="torch", **options).resolved(config)
    dreams, every = DreamBatch(world, config, resolved, rows), np.arange(rows)
    generators = [np_random(seed + row)[0] for row in range(rows)]
    num_actions = int(action_space(config, resolved.action_type).n)
    actions_BT = held_actions(np.random.default_rng(seed), steps, rows, num_actions).T
    dreams.reset_rows(every, generators, {})
    frames, rewards, cuts = [dreams.frames()[:, None]], [], []
    for first in tqdm(range(0, steps, horizon), desc=f"free dreams, beam {beam}", unit="horizon"):
        rolled = dreams.roll(actions_BT[:, first : first + horizon], beam)
        ended_B = rolled.terminated_BT.any(1)
        if ended_B.any():
            dreams.reset_rows(every[ended_B], [generators[row] for row in every[ended_B]], {})
            # As where a vector environment resets itself: the last frame is the next game's first.
            rolled.frames_BTHWC[ended_B, -1] = dreams.frames(every[ended_B])
        frames.append(rolled.frames_BTHWC)
        rewards.append(rolled.reward_BT)
        cuts.append(np.zeros(rolled.reward_BT.shape, bool))
        cuts[-1][:, -1] = ended_B
    return FreePlay(np.concatenate(frames, 1), None, np.concatenate(rewards, 1), np.concatenate(cuts, 1))


def play_real(source: SourceConfig, rows: int, steps: int, seed: int, effects: tuple[int, ...]) -> FreePlay:
    """Play as many real games.

    Raises:
        ImportError, ValueError, gymnasium.error.Error: if the game cannot be made; see ``make_source_game``.
    """
    games = SyncVectorEnv([lambda: make_source_game(source)] * rows, autoreset_mode=AutoresetMode.SAME_STEP)
    return play(games, steps, seed, effects, WARM_UP, name="real game")


def play(
    envs: gym.vector.VectorEnv, steps: int, seed: int, effects: tuple[int, ...] | None, warm_up: int = 0, name: str = ""
) -> FreePlay:
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
    return FreePlay(
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


def measure_free_play(plays: dict[str, FreePlay], held_out: HeldOutPlay, reach: Reach) -> list[Measurement]:
    """Values of each play, and those of the dream as parts of the real game's where that was played too.

    Args:
        plays: by source; ``WORLD`` is the dream.
        held_out: the world that encodes the frames, and recorded play for the tokens that a real game shows.
        reach: of the coordinates named in ``game.action_directions``; others are not asked to obey.
    """
    world = held_out.world
    tokens = {source: world.encode(play.frames_BTHWC).cpu().numpy() for source, play in plays.items()}
    recorded_MN = np.concatenate([episode.tokens_TN.numpy() for episode in held_out.episodes])
    vocab = world.config.tokenizer.vocab_size
    distances = histogram_distances(tokens, vocab, recorded_MN)
    found: list[Measurement] = []
    for source, play in plays.items():
        measured = [
            *measure_play(play, held_out.game, reach),
            Measurement.of(Metric.TOKEN_HISTOGRAM_DISTANCE, distances[source]),
            *measure_usage(np.bincount(tokens[source].ravel(), minlength=vocab)),
        ]
        found += with_fields(measured, source=source, experiment=FREE_PLAY)
    return found + _over_real(found)


def measure_play(play: FreePlay, game: Game, reach: Reach) -> list[Measurement]:
    """Values of one play, by row; ``reach`` as in :func:`measure_free_play`."""
    found: list[Measurement] = []
    if game.colours is not None:
        seen, pieces = find_sprites(play.frames_BTHWC, game.colours), count_pieces(play.frames_BTHWC, game.colours)
        for s, sprite in enumerate(seen.names):
            of = partial(Measurement.of, sprite=sprite)
            found.append(of(Metric.PRESENT, mean(seen.present[:, 1:, s])))
            found.append(of(Metric.EXACTLY_ONE, ratio(pieces[..., s] == 1, pieces[..., s] > 0)))
        if play.effects_BT is not None:
            for name, extremes in reach.items():
                directions = {effect: sign for effect, moved, sign in game.action_directions if moved == name}
                counts = obedience(seen.coordinates()[name], play.effects_BT, play.cut_BT, directions, extremes)
                found.append(Measurement.of(Metric.OBEYS, ratio(*counts), sprite=sprite_of(name)))
    prints_BT = fingerprints(play.frames_BTHWC)
    still_B, repeat_B = longest_repeat(prints_BT, 1), longest_repeat(prints_BT, prints_BT.shape[1])
    of_worst = partial(Measurement.of, subset=Subset.WORST_ROW)
    return [
        *found,
        Measurement.of(Metric.POINTS, mean(1000 * (play.rewards_BT != 0))),
        Measurement.of(Metric.POINTS_WON, mean(1000 * (play.rewards_BT > 0))),
        Measurement.of(Metric.POINTS_LOST, mean(1000 * (play.rewards_BT < 0))),
        Measurement.of(Metric.LONGEST_STILL, mean(still_B)),
        of_worst(Metric.LONGEST_STILL, Interval(float(still_B.max()), count=len(still_B))),
        of_worst(Metric.LONGEST_REPEAT, Interval(float(repeat_B.max()), count=len(repeat_B))),
        Measurement.of(Metric.REPEATING_ROWS, mean(repeat_B > LONGEST_REPEAT)),
    ]


def reach_of(frames: np.ndarray, game: Game) -> Reach:
    """Extremes that each coordinate which commands move reaches in frames [..., H, W, 3]."""
    if game.colours is None:
        return {}
    places = find_sprites(frames, game.colours).coordinates()
    moved = dict.fromkeys(name for _, name, _ in game.action_directions)
    return {name: (float(np.nanmin(places[name])), float(np.nanmax(places[name]))) for name in moved}


def histogram_distances(tokens: dict[str, np.ndarray], vocab: int, recorded_MN: np.ndarray) -> dict[str, Interval]:
    """How far each row's tokens, counted at each place, are from those of all other real play.

    Args:
        tokens: of each play, int64 [B, T, N]. A row of the real game is compared with its other rows, which shows how
            far a row is from its like. Where it was not played, the recording takes its place.
        vocab: size of the vocabulary.
        recorded_MN: tokens of recorded frames.
    """
    counts_BNV = {source: np.stack([count_places(row, vocab) for row in rows]) for source, rows in tokens.items()}
    real_BNV = counts_BNV.get(REAL, np.zeros((1, 1, 1)))
    found = {}
    for source, rows_BNV in counts_BNV.items():
        if len(real_BNV) < 2:
            others = np.broadcast_to(count_places(recorded_MN, vocab), rows_BNV.shape)
        else:
            others = real_BNV.sum(0) - (rows_BNV if source == REAL else 0 * rows_BNV)
        found[source] = mean(np.array([distance(row, other) for row, other in zip(rows_BNV, others, strict=True)]))
    return found


def _over_real(found: list[Measurement]) -> list[Measurement]:
    """Shares and rates as parts of the real game's, with the dream's interval; the real game's own is not in it."""
    compared = []
    for ours in select(found, source=WORLD):
        for real in select(found, source=REAL, metric=ours.metric, sprite=ours.sprite):
            if ours.metric in (Metric.PRESENT, Metric.POINTS) and real.value > 0:
                ends = {name: getattr(ours, name) / real.value for name in ("value", "low", "high")}
                compared += with_fields([ours], source=WORLD_OVER_REAL, unit="", **ends)
    return compared


def obedience(
    place_BT: np.ndarray,
    effect_BT: np.ndarray,
    cut_BT: np.ndarray,
    directions: dict[int, int],
    reach: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """How often a sprite moved as commanded, per row: obeyed [B] out of asked [B].

    It was asked where the same command was held for two steps, the present one included, and the sprite had room.

    Args:
        place_BT: coordinate before each step and after the last, [B, T+1]; NaN where the sprite is absent.
        effect_BT: effect of the action of each step.
        cut_BT: steps that ended in a new beginning, where nothing moved.
        directions: sign of the movement each effect should cause; other effects ask for nothing.
        reach: the extremes the coordinate reaches in real play.
    """
    before_BT, after_BT = place_BT[:, 1:-1], place_BT[:, 2:]
    held_BT = (effect_BT[:, 1:] == effect_BT[:, :-1]) & ~cut_BT[:, 1:] & ~cut_BT[:, :-1]
    free_BT = (before_BT >= reach[0] + ROOM) & (before_BT <= reach[1] - ROOM)
    obeyed_B, asked_B = np.zeros(len(place_BT)), np.zeros(len(place_BT))
    for effect, sign in directions.items():
        asked_BT = held_BT & free_BT & (effect_BT[:, 1:] == effect)
        # A tenth of a pixel is rounding, not movement. A sprite that vanished (NaN) did not obey.
        obeyed_B += (asked_BT & (sign * (after_BT - before_BT) > 0.1)).sum(1)
        asked_B += asked_BT.sum(1)
    return obeyed_B, asked_B
