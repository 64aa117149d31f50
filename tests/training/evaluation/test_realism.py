"""The classifier finds what is false, finds nothing where there is nothing, and looks at whole clips only."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from genie_env.models.outcome import UnknownOutcome
from genie_env.world import World
from tests.helpers.held_out import TableDynamics, TableEngine, know_all
from training.evaluation import realism
from training.evaluation.free_play import FreePlay, play_real
from training.evaluation.realism import CLIP, CLIPS, PROMPT, Pairs, Rows, play_pairs, steps_needed, tell_apart

SIDE, VOCAB, STEPS = 4, 12, 150
HORIZONS = (16, 60)
LOOKS = torch.eye(VOCAB)


def rows(count: int, seed: int) -> Rows:
    """A ball that moves one place with each frame, from anywhere."""
    rng = np.random.default_rng(seed)
    tokens_BTN = np.tile(np.arange(SIDE**2) % 5, (count, STEPS, 1))
    place_BT = (rng.integers(SIDE**2, size=(count, 1)) + np.arange(STEPS)) % SIDE**2
    np.put_along_axis(tokens_BTN, place_BT[..., None], 11, -1)
    return Rows(torch.from_numpy(tokens_BTN), np.zeros((count, STEPS), bool))


def shuffled(real: Rows, seed: int = 0) -> Rows:
    """The same frames in another order."""
    order_T = np.random.default_rng(seed).permutation(STEPS)
    return Rows(real.tokens_BTN[:, order_T], real.cut_BT)


def test_shuffled_frames_are_told_from_real_ones() -> None:
    found = tell_apart(Pairs(rows(12, 0), shuffled(rows(12, 1))), HORIZONS, LOOKS, 0, updates=40)
    assert list(found) == [*HORIZONS]
    for accuracy in found.values():
        assert accuracy.value > 0.9 and accuracy.low > 0.75
        assert accuracy.count == 12


def test_real_clips_are_not_told_from_other_real_ones() -> None:
    for accuracy in tell_apart(Pairs(rows(24, 0), rows(24, 1)), HORIZONS, LOOKS, 0, updates=40).values():
        assert 0.35 < accuracy.value < 0.65


def test_what_goes_wrong_late_shows_late() -> None:
    real, other = rows(12, 0), rows(12, 1)
    late = torch.cat([other.tokens_BTN[:, :50], shuffled(other).tokens_BTN[:, 50:]], 1)
    # Clips asked about at 16 end before frame 50 but for the last two of four.
    early, then = tell_apart(Pairs(real, Rows(late, other.cut_BT)), HORIZONS, LOOKS, 0, updates=80).values()
    assert then.value > 0.9 and then.value > early.value + 0.05


def test_clips_over_a_cut_neither_teach_nor_are_asked_about() -> None:
    real, dreamed = rows(4, 0), shuffled(rows(4, 1))
    cut_BT = np.zeros_like(real.cut_BT)
    cut_BT[:, 15 + CLIP * CLIPS // 2 : 100] = True
    whole_BK = Rows(real.tokens_BTN, cut_BT).whole(np.arange(STEPS - CLIP + 1))
    begins = np.flatnonzero(whole_BK[0])
    assert begins.tolist() == [*range(32), *range(99, STEPS - CLIP + 1)]
    cut_BT[:, :] = True
    nothing = tell_apart(Pairs(real, Rows(dreamed.tokens_BTN, cut_BT)), HORIZONS, LOOKS, 0, updates=2)
    assert all(np.isnan(accuracy.value) for accuracy in nothing.values())


def test_the_same_seed_finds_the_same() -> None:
    pairs = Pairs(rows(6, 0), shuffled(rows(6, 1)))
    one, other = (tell_apart(pairs, HORIZONS, LOOKS, 3, updates=5) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("horizons", [(16,), (16, 100), (5, 1000)])
def test_steps_end_with_the_last_clip(horizons: tuple[int, ...]) -> None:
    assert steps_needed(horizons) == horizons[-1] - 1 + CLIP * CLIPS


class EndlessEngine(TableEngine):
    """No step ends a dream."""

    def __init__(self, dynamics: TableDynamics) -> None:
        super().__init__(dynamics)
        self.outcome = UnknownOutcome()


@pytest.mark.parametrize("begins_again", [False, True])
def test_a_dream_that_is_over_begins_again_with_real_frames(
    world: World, monkeypatch: pytest.MonkeyPatch, begins_again: bool
) -> None:
    """With those of the row's next real game, or where there is none with its first ones."""
    cut_at, over_at, steps, made = 25, 9, 40, []

    def play(*arguments: Any) -> FreePlay:
        game = play_real(*arguments)
        game.cut_BT[:] = False
        game.cut_BT[0, cut_at] = begins_again
        made.append(game)
        return game

    def predict(recent_BCN: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(0)
        over_B = torch.tensor([len(calls) == over_at, False])
        return torch.zeros(2), over_B

    calls: list[int] = []
    monkeypatch.setattr(realism, "play_real", play)
    monkeypatch.setattr(world.outcome, "predict", predict)
    pairs = play_pairs(world, 2, steps, 0)
    tokens_BTN = world.encode(made[0].frames_BTHWC)
    begin = cut_at + 1 if begins_again else 0
    assert torch.equal(pairs.dreamed.tokens_BTN[0, over_at - 1], tokens_BTN[0, begin + PROMPT - 1])
    assert np.argwhere(pairs.dreamed.cut_BT).tolist() == [[0, over_at - 1]]
    assert np.argwhere(pairs.real.cut_BT).tolist() == ([[0, cut_at - PROMPT + 1]] if begins_again else [])


def test_dreams_get_the_prompts_and_the_actions_of_the_game(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dynamics that knows what followed each frame and action of those very games dreams them frame by frame."""
    games: list[FreePlay] = []

    def play(*arguments: Any) -> FreePlay:
        games.append(play_real(*arguments))
        return games[-1]

    monkeypatch.setattr(realism, "play_real", play)
    steps, seed = 30, 5
    first = play_pairs(world, 3, steps, seed)
    assert (
        first.real.tokens_BTN.shape == first.dreamed.tokens_BTN.shape == (3, steps, world.config.tokenizer.num_tokens)
    )
    (game,) = games
    tokens_BTN, mapped = world.encode(game.frames_BTHWC), world.config.action_map
    assert game.effects_BT is not None
    actions_BT = game.effects_BT if mapped is None else np.array(mapped.real_to_latent)[game.effects_BT]
    known = [
        SimpleNamespace(tokens_TN=tokens_TN, dynamics_actions_T=actions_T)
        for tokens_TN, actions_T in zip(tokens_BTN, actions_BT, strict=True)
    ]
    wise = copy.deepcopy(world)
    know_all(wise, TableDynamics(world.config.dynamics, known), EndlessEngine)  # type: ignore[arg-type]
    real, dreamed = play_pairs(wise, 3, steps, seed)
    assert torch.equal(real.tokens_BTN, tokens_BTN[:, PROMPT:]) and torch.equal(real.tokens_BTN, first.real.tokens_BTN)
    # A serve is random: what comes after a point cannot be known.
    scored_BT = np.logical_or.accumulate(game.rewards_BT[:, PROMPT - 1 :] != 0, 1)
    same_BT = (dreamed.tokens_BTN == real.tokens_BTN).all(-1).numpy()
    assert same_BT[~scored_BT].all() and (~scored_BT).mean() > 0.5
    assert not torch.equal(first.dreamed.tokens_BTN, real.tokens_BTN)
    assert np.array_equal(real.cut_BT, game.cut_BT[:, PROMPT - 1 :])
