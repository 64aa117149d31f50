"""What actions do, in the game and in the dream, without knowing the game.

From one moment two actions are held for K steps, once in the game and once in the dream with the same random numbers.
Where the two pictures then differ is what the action decided. A world whose player vanishes, or that ignores actions,
draws no difference where the game has one, however well it draws everything else.

Owns pairs of branches and how they are compared. Knows nothing of reports, sprites or particular games.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import torch

from genie_env.config import SourceConfig
from genie_env.games.players import StickyRandomPlayer
from genie_env.games.source_game import SourceGame, make_source_game
from genie_env.measurement import Measurement, Metric, with_fields
from genie_env.statistics import Interval, mean
from genie_env.world import World
from training.evaluation.dreams import COPY_LAST

ACTION_EFFECT = "action_effect"
LEAD = 16
"""Frames that the dream sees before the branches part."""
STRONG = 24
"""Difference of a colour channel from which two pixels differ; less is rounding."""
LONGEST_WAY = 200
"""Most steps from the beginning of an episode to the moment of the branches."""
TRIES = 4
"""Episodes looked at for each pair before the game counts as one whose episodes are too short."""


SHORT_LEAD, SHORT_WAY = 4, 10
"""The first two of these where episodes are too short for them."""


class NotRepeatable(ValueError):
    """The game does not do the same again after the same seed and actions."""


class EpisodesTooShort(NotRepeatable):
    """Hardly any episode lasts as long as the branches."""


class Branches(NamedTuple):
    """S moments; from each two branches, each with its own action held for K steps."""

    prompts_STHWC: np.ndarray
    """uint8, the frames before, the present one last."""
    prompt_actions_ST: np.ndarray
    """int64, real actions between the frames of the prompt."""
    actions_S2: np.ndarray
    game_S2KHWC: np.ndarray
    """uint8, what the game then showed."""


class ActionEffect(NamedTuple):
    """How alike the effects of actions are in dream and game after k steps."""

    step: int
    recall: Interval
    """Share of the pixels that differ in the game which also differ in the dream."""
    precision: Interval
    """Share of the pixels that differ in the dream which also differ in the game."""
    decided_accuracy: Interval
    """Share of right tokens among those that differ between the two branches of the game."""
    game_pixels: float
    """Pixels that differ in the game, on average."""
    dream_pixels: float


def measure_action_effect(
    world: World, moments: int, steps: tuple[int, ...], seed: int
) -> tuple[list[Measurement], list[str]]:
    """Effects of actions after each number of steps, and notes on why there are none."""
    if world.config.action_map is None:
        return [], ["effects of actions need an action map; fit one with `python -m agents.fit_action_map`"]
    try:
        branches, steps = _longest_branches(world.config.source, moments, steps, seed)
    except (ImportError, ValueError, gym.error.Error) as error:
        return [], [f"effects of actions were not measured: {error}"]
    dreamed_S2KN = dream_branches(world, branches)
    still_S2KN = world.encode(branches.prompts_STHWC)[:, None, -1:].cpu().expand_as(dreamed_S2KN)
    found = []
    for effect in action_effects(world, branches, dreamed_S2KN, steps):
        found += [
            Measurement.of(Metric.EFFECT_RECALL, effect.recall, horizon=effect.step),
            Measurement.of(Metric.EFFECT_PRECISION, effect.precision, horizon=effect.step),
            Measurement.of(Metric.DECIDED_TOKEN_ACCURACY, effect.decided_accuracy, horizon=effect.step),
        ]
    for effect in action_effects(world, branches, still_S2KN, steps):
        found += [
            Measurement.of(Metric.EFFECT_RECALL, effect.recall, horizon=effect.step, source=COPY_LAST),
            Measurement.of(
                Metric.DECIDED_TOKEN_ACCURACY, effect.decided_accuracy, horizon=effect.step, source=COPY_LAST
            ),
        ]
    return with_fields(found, experiment=ACTION_EFFECT), []


def _longest_branches(
    source: SourceConfig, moments: int, steps: tuple[int, ...], seed: int
) -> tuple[Branches, tuple[int, ...]]:
    """Branches for as many of ``steps`` as episodes are long enough for, and these."""
    steps = tuple(sorted(steps))
    ways = [(steps, LEAD, LONGEST_WAY)] + [(steps[:count], SHORT_LEAD, SHORT_WAY) for count in range(len(steps), 0, -1)]
    for kept, lead, longest_way in ways[:-1]:
        with contextlib.suppress(EpisodesTooShort):
            return play_branches(source, moments, kept[-1], seed, lead, longest_way), kept
    # Of the last way the error is the answer.
    kept, lead, longest_way = ways[-1]
    return play_branches(source, moments, kept[-1], seed, lead, longest_way), kept


def play_branches(
    source: SourceConfig, num_moments: int, steps: int, seed: int, lead: int = LEAD, longest_way: int = LONGEST_WAY
) -> Branches:
    """Play the real game twice from the same moments, by repeating seed and actions from the episode's beginning.

    Args:
        source: which game and how it is seen.
        num_moments: moments to branch from.
        steps: steps for which each action is held.
        seed: seed of moments, pairs and games.
        lead: frames that the dream sees before the branches part.
        longest_way: most steps from the beginning of an episode to the moment.

    Raises:
        NotRepeatable: if the game shows other frames after the same seed and actions.
        EpisodesTooShort: if hardly any episode lasts ``lead + steps`` steps.
        ImportError, ValueError: if the game cannot be made.
    """
    game, rng = make_source_game(source), np.random.default_rng(seed)
    try:
        found, tries = [], 0
        while len(found) < num_moments:
            tries += 1
            if tries > TRIES * num_moments:
                raise EpisodesTooShort(
                    f"{source.env_id}: only {len(found)} of {tries} random episodes last {lead + steps} steps"
                )
            moment = _branch(game, rng, steps, lead, longest_way)
            if moment is not None:
                found.append(moment)
    finally:
        game.close()
    return Branches(*(np.stack(column) for column in zip(*found, strict=True)))


def _branch(
    game: SourceGame, rng: np.random.Generator, steps: int, lead: int, longest_way: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """One moment with its two branches; None where an episode ends on the way."""
    count = int(game.action_space.n)  # type: ignore[attr-defined]
    player, seed, way = StickyRandomPlayer(count, rng), int(rng.integers(2**31)), int(rng.integers(lead, longest_way))
    actions = [player.act(None) for _ in range(way)]
    pair = rng.choice(count, 2, replace=False)
    branches = [_replay(game, seed, [*actions, *[int(action)] * steps]) for action in pair]
    if any(len(frames) < way + steps + 1 for frames in branches):
        return None
    if not np.array_equal(branches[0][: way + 1], branches[1][: way + 1]):
        raise NotRepeatable(f"{game.source.env_id}: shows other frames after the same seed and actions")
    prompt = slice(way + 1 - lead, way + 1)
    after = np.stack([frames[way + 1 :] for frames in branches])
    return branches[0][prompt], np.array(actions[way + 1 - lead :]), pair, after


def _replay(game: SourceGame, seed: int, actions: list[int]) -> np.ndarray:
    """Frames of an episode, as many as there are until it ends."""
    frames = [game.reset(seed=seed)[0]]
    for action in actions:
        frame, _, terminated, truncated, _ = game.step(action)
        frames.append(frame)
        if terminated or truncated:
            break
    return np.stack(frames)


def dream_branches(world: World, branches: Branches) -> torch.Tensor:
    """Tokens int64 [S, 2, K, N] that the world dreams from the same moments with the same actions.

    Both branches of a moment draw the same random numbers.
    """
    moments, steps = len(branches.actions_S2), branches.game_S2KHWC.shape[2]
    to_latent = _to_latent(world)
    prompts_STN = world.encode(branches.prompts_STHWC)
    prompt_actions_ST = torch.from_numpy(to_latent[branches.prompt_actions_ST])
    keys_S = torch.arange(moments)
    dreamed = []
    for branch in range(2):
        actions_S = torch.from_numpy(to_latent[branches.actions_S2[:, branch]])
        rollout = world.engine().roll(
            prompts_STN, prompt_actions_ST, actions_S[:, None].expand(-1, steps), keys_B=keys_S
        )
        dreamed.append(rollout.tokens_BTN.cpu())
    return torch.stack(dreamed, dim=1)


def _to_latent(world: World) -> np.ndarray:
    """Action of the dynamics for each real action."""
    mapped = world.config.action_map
    if mapped is None:
        raise ValueError(f"{world.config.name}: has no action map; fit one with `python -m agents.fit_action_map`")
    return np.array(mapped.real_to_latent, dtype=np.int64)


def action_effects(
    world: World, branches: Branches, dreamed_S2KN: torch.Tensor, steps: tuple[int, ...]
) -> list[ActionEffect]:
    """Compare dream and game after each number of steps in ``steps``.

    A moment counts where its two actions make a difference: in the game for recall and accuracy, in the dream for
    precision.
    """
    # What a frame becomes may depend on those before it, and so on the prompt.
    prompts_S2PHWC = np.repeat(branches.prompts_STHWC[:, None], 2, axis=1)
    clips_S2THWC = np.concatenate([prompts_S2PHWC, branches.game_S2KHWC], axis=2)
    tokens_MTN = world.encode(clips_S2THWC.reshape(-1, *clips_S2THWC.shape[2:])).cpu()
    game_S2KN = tokens_MTN[:, prompts_S2PHWC.shape[2] :].unflatten(0, dreamed_S2KN.shape[:2])
    found = []
    for step in steps:
        game_SHW = _differs(*branches.game_S2KHWC[:, :, step - 1].swapaxes(0, 1))
        drawn_S2HWC = world.decode(dreamed_S2KN[:, :, step - 1]).cpu().numpy()
        dream_SHW = _differs(*drawn_S2HWC.swapaxes(0, 1))
        both_S = (game_SHW & dream_SHW).sum((1, 2))
        game_S, dream_S = game_SHW.sum((1, 2)), dream_SHW.sum((1, 2))
        decided_SN = game_S2KN[:, 0, step - 1] != game_S2KN[:, 1, step - 1]
        right_S2N = (dreamed_S2KN[:, :, step - 1] == game_S2KN[:, :, step - 1]) & decided_SN[:, None]
        found.append(
            ActionEffect(
                step,
                _shares(both_S, game_S),
                _shares(both_S, dream_S),
                _shares(right_S2N.sum((1, 2)).numpy(), 2 * decided_SN.sum(1).numpy()),
                float(game_S.mean()),
                float(dream_S.mean()),
            )
        )
    return found


def _differs(one_SHWC: np.ndarray, other_SHWC: np.ndarray) -> np.ndarray:
    """Pixels of two pictures that differ, bool [S, H, W]."""
    return np.abs(one_SHWC.astype(np.int16) - other_SHWC).max(-1) > STRONG


def _shares(part_S: np.ndarray, whole_S: np.ndarray) -> Interval:
    """Mean share over the moments that have any."""
    there_S = whole_S > 0
    return mean(part_S[there_S] / whole_S[there_S])
