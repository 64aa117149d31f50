"""What is read from held-out episodes is scored exactly where the answer is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from genie_env.data.episodes import EpisodeEntry
from genie_env.games.registry import Game
from genie_env.measurement import WORLD, Measurement, Metric, Subset, pick, select
from tests.helpers.held_out import TINY
from tests.helpers.pictures import empty
from training.evaluation.dreams import MEDIAN
from training.evaluation.episodes import (
    MAJORITY,
    measure_latent_actions,
    measure_outcome,
    measure_tokenizer,
    measure_usage,
)
from training.evaluation.held_out import HeldOutEpisode, HeldOutPlay


def episode(effects: np.ndarray, codes: np.ndarray) -> HeldOutEpisode:
    steps = len(effects)
    entry, tokens = EpisodeEntry(0, 0, steps + 1, "unknown", "test", True), torch.zeros(steps + 1, 64).long()
    rewards = np.where(np.arange(steps) % 50 == 25, -1.0, 0.0)
    ended = np.arange(steps) == steps - 1
    truth = np.full((steps, 6), 30.0)
    return HeldOutEpisode(entry, tokens, codes, codes, effects, truth, rewards, ended, rewards.copy(), ended.copy())


def of_episodes(held_out: HeldOutPlay, *episodes: HeldOutEpisode, game: Game = TINY) -> HeldOutPlay:
    return dataclasses.replace(held_out, episodes=[*episodes], game=game)


def test_an_exact_tokenizer_keeps_every_pixel_and_the_background_none(held_out: HeldOutPlay) -> None:
    found = measure_tokenizer(dataclasses.replace(held_out, background_HWC=empty(1)[0]), 40, seed=0)
    exact, nothing = (select(found, source=source) for source in (WORLD, MEDIAN))
    assert pick(exact, Metric.EXACT_FRAMES).value == pick(exact, Metric.PIXELS_KEPT, sprite="ball").value == 1.0
    assert pick(nothing, Metric.EXACT_FRAMES).value == pick(nothing, Metric.PIXELS_KEPT, sprite="own").value == 0.0
    assert pick(nothing, Metric.PSNR).value < 40 < pick(exact, Metric.PSNR).value
    assert pick(exact, Metric.TOKENS_IN_USE).value > 10


def test_use_of_a_vocabulary_is_counted() -> None:
    found = measure_usage(np.array([4, 4, 0, 0]))
    assert [one.value for one in found] == [2.0, 0.5, pytest.approx(2.0)]


def test_agreement_sees_through_renamed_codes_and_only_through_those(held_out: HeldOutPlay) -> None:
    effects, game = np.random.default_rng(0).integers(3, size=900), Game(TINY.source)

    def measure(codes: np.ndarray) -> list[Measurement]:
        return measure_latent_actions(of_episodes(held_out, episode(effects, codes), game=game), 64, 0)

    renamed = measure((effects + 1) % 3)
    assert pick(renamed, Metric.HUNGARIAN_ACCURACY, source=WORLD).value == 1.0
    assert pick(renamed, Metric.NMI).value == pytest.approx(1.0)
    assert sum(one.value for one in select(renamed, metric=Metric.CODE_SHARE)) == pytest.approx(1.0)
    assert pick(renamed, Metric.CODE_PERPLEXITY).value == pytest.approx(3, abs=0.01)
    assert pick(renamed, Metric.HUNGARIAN_ACCURACY, source=MAJORITY).value == pytest.approx(1 / 3, abs=0.05)
    constant = measure(0 * effects)
    assert pick(constant, Metric.NMI).value == 0.0
    assert pick(constant, Metric.CODE_SHARE, subset="code 1").value == 0.0


def test_a_blocked_paddle_is_left_out_where_asked(held_out: HeldOutPlay) -> None:
    effects = np.random.default_rng(0).integers(3, size=400)
    one = episode(effects, effects.copy())
    own_y = held_out.store.truth_column("own_y")
    one.truth_TK[:, own_y] = np.where(np.arange(400) < 200, 30.0, np.where(np.arange(400) < 300, 5.0, 59.0))
    one.codes_T[200:] = 0
    found = select(measure_latent_actions(of_episodes(held_out, one), 64, 0), source=WORLD)
    assert pick(found, Metric.HUNGARIAN_ACCURACY, subset=Subset.ROOM_TO_MOVE, sprite="own").value == 1.0
    assert pick(found, Metric.HUNGARIAN_ACCURACY, subset="").value < 0.9


def test_outcome_read_without_a_mistake_has_f1_one(held_out: HeldOutPlay) -> None:
    effects = np.zeros(200, int)
    perfect = [episode(effects, effects) for _ in range(3)]
    for shift, expected in ((0, 1.0), (1, 1.0), (2, 0.0)):
        late = [one._replace(read_rewards_T=np.roll(one.rewards_T, shift)) for one in perfect]
        found = measure_outcome(of_episodes(held_out, *late))
        assert pick(found, Metric.REWARD_F1).value == expected
        assert pick(found, Metric.TERMINATION_F1).value == 1.0
