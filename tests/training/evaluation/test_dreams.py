"""A perfect prediction has perfect values, a baseline the ones it should have, and nothing is kinder than the truth."""

from __future__ import annotations

import copy
import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from genie_env.config import SamplingConfig
from genie_env.games.registry import Game
from genie_env.measurement import WORLD, Metric, Subset, pick, select
from tests.helpers.held_out import TINY
from training.evaluation.dreams import (
    COPY_LAST,
    FORCED,
    FORCED_COPY_LAST,
    MEDIAN,
    HorizonScores,
    measure_action_worth,
    measure_dreams,
    measure_one_step,
)
from training.evaluation.held_out import Clips, HeldOutPlay, dream_log_probs, predict

HORIZONS = (1, 2, 8)


def copied(clips: Clips) -> torch.Tensor:
    """The last frame of the context, for ever."""
    return clips.previous_CHN[:, :1].expand_as(clips.real_CHN)


def test_a_perfect_oracle_has_a_perfect_table(held_out: HeldOutPlay, clips: Clips) -> None:
    found = HorizonScores.of(held_out, clips, HORIZONS, clips.real_CHN).measure()
    for h in HORIZONS:
        value = partial(lambda metric, h, **fields: pick(found, metric, horizon=h, **fields).value, h=h)
        for subset in ("", Subset.BEFORE_SERVE):
            assert value(Metric.CHANGED_TOKEN_ACCURACY, subset=subset) == 1.0
            assert value(Metric.EXISTENCE_F1, sprite="ball", subset=subset) == 1.0
        assert value(Metric.TOKEN_ACCURACY) == value(Metric.EXISTENCE_F1, sprite="own") == 1.0
        for sprite in ("ball", "own", "opp"):
            assert value(Metric.POSITION_ERROR, sprite=sprite) == 0.0
            assert value(Metric.NEAR, sprite=sprite) == 1.0
        assert value(Metric.PSNR) == value(Metric.FOREGROUND_PSNR) == pytest.approx(100)
        assert value(Metric.MSE) == 0.0
        assert value(Metric.SSIM) == pytest.approx(1.0)
    assert [one.horizon for one in select(found, metric=Metric.RELATIVE_CHANGED_TOKEN_ACCURACY)] == [2, 8]
    assert pick(found, Metric.RELATIVE_CHANGED_TOKEN_ACCURACY, horizon=8).value == 1.0


def test_copying_the_last_frame_never_changes_a_token(held_out: HeldOutPlay, clips: Clips) -> None:
    one_step = select(measure_one_step(held_out, clips, SamplingConfig(), clips.real_CHN), source=COPY_LAST)
    assert pick(one_step, Metric.CHANGED_TOKEN_ACCURACY).value == 0.0
    assert 0.9 < pick(one_step, Metric.TOKEN_ACCURACY).value < 1.0
    kept = HorizonScores.of(held_out, clips, (1, 8), copied(clips)).measure()
    near, far = (pick(kept, Metric.POSITION_ERROR, sprite="ball", horizon=h).value for h in (1, 8))
    assert 0 < near < 5 < far
    assert pick(kept, Metric.NEAR, sprite="ball", horizon=8).value < 0.5


def test_every_baseline_stands_beside_the_dream(held_out: HeldOutPlay, clips: Clips) -> None:
    found = measure_dreams(held_out, clips, HORIZONS, clips.real_CHN, clips.real_CHN)
    assert {one.source for one in found} == {WORLD, FORCED, COPY_LAST, FORCED_COPY_LAST, MEDIAN}
    assert {one.source for one in select(found, metric=Metric.RELATIVE_CHANGED_TOKEN_ACCURACY)} == {WORLD, FORCED}
    lagging = pick(found, Metric.CHANGED_TOKEN_ACCURACY, source=FORCED_COPY_LAST, horizon=8, subset="")
    assert lagging.value == 0.0
    assert pick(found, Metric.EXISTENCE_F1, source=MEDIAN, sprite="ball", horizon=1, subset="").value == 0.0


def test_a_ball_that_was_served_again_is_not_held_against_the_dream(held_out: HeldOutPlay, clips: Clips) -> None:
    played_on = clips._replace(scored_CH=np.ones_like(clips.scored_CH))
    found = HorizonScores.of(held_out, played_on, (8,), copied(clips)).measure()
    assert np.isnan(pick(found, Metric.POSITION_ERROR, sprite="ball").value)
    assert pick(found, Metric.EXISTENCE_F1, sprite="ball", subset="").value > 0


def test_values_before_a_new_serve_leave_out_what_came_after_it(held_out: HeldOutPlay, clips: Clips) -> None:
    wrong = torch.zeros_like(clips.real_CHN)
    half = np.arange(len(wrong)) % 2 == 0
    wrong[~half] = clips.real_CHN[~half]
    served = clips._replace(served_CH=np.broadcast_to(half[:, None], clips.served_CH.shape))
    found = HorizonScores.of(held_out, served, (8,), wrong).measure()
    assert pick(found, Metric.CHANGED_TOKEN_ACCURACY, subset=Subset.BEFORE_SERVE).value == 1.0
    assert pick(found, Metric.CHANGED_TOKEN_ACCURACY, subset="").value < 0.9


def test_a_game_without_sprites_lacks_their_rows_and_no_others(held_out: HeldOutPlay, clips: Clips) -> None:
    plain = dataclasses.replace(held_out, game=Game(TINY.source))
    with_sprites, without = (HorizonScores.of(play, clips, (8,), copied(clips)).measure() for play in (held_out, plain))
    assert without == [one for one in with_sprites if not one.sprite]
    same = HorizonScores.of(plain, clips, (8,), copied(clips))
    (found,) = same.measure_against(same)
    assert found.metric == Metric.CHANGED_TOKEN_ACCURACY_DIFFERENCE and found.interval[:3] == (0.0, 0.0, 0.0)


def test_the_tracked_sprite_alone_has_values_before_a_serve(held_out: HeldOutPlay, clips: Clips) -> None:
    other = dataclasses.replace(held_out, game=dataclasses.replace(TINY, tracked="opp"))
    for play, tracked in ((held_out, "ball"), (other, "opp")):
        found = HorizonScores.of(play, clips, (8,), copied(clips)).measure()
        assert [one.sprite for one in select(found, metric=Metric.EXISTENCE_F1, subset=Subset.BEFORE_SERVE)] == [
            tracked
        ]


def test_repetitions_are_pooled_and_a_clip_stays_one_row(held_out: HeldOutPlay, clips: Clips) -> None:
    right, wrong = (HorizonScores.of(held_out, clips, (8,), tokens) for tokens in (clips.real_CHN, copied(clips)))
    twice, both = HorizonScores.repeated([wrong, wrong]).measure(), HorizonScores.repeated([right, wrong]).measure()
    for one, again in zip(wrong.measure(), twice, strict=True):
        assert again.interval == pytest.approx(one.interval, nan_ok=True), one
    alone = pick(wrong.measure(), Metric.CHANGED_TOKEN_ACCURACY, subset="")
    pooled = pick(both, Metric.CHANGED_TOKEN_ACCURACY, subset="")
    assert pooled.value == pytest.approx((1 + alone.value) / 2) and pooled.count == alone.count


def test_differences_are_paired(held_out: HeldOutPlay, clips: Clips) -> None:
    rng, base = np.random.default_rng(0), HorizonScores.of(held_out, clips, (8,), copied(clips))
    far = rng.uniform(10, 40, size=(64, 1))
    worse, better = (
        dataclasses.replace(base, sprites={"ball": base.sprites["ball"]._replace(error=error)})
        for error in (far, far - 1)
    )
    found = better.measure_against(worse)
    error = pick(found, Metric.POSITION_ERROR_DIFFERENCE, horizon=8, sprite="ball")
    # Clips differ by tens of pixels; that the same ones are compared makes one pixel certain.
    assert error.value == pytest.approx(-1) and -1.01 < error.low <= error.high < -0.99
    assert pick(found, Metric.NEAR_DIFFERENCE).value == 0.0
    right = HorizonScores.of(held_out, clips, (8,), clips.real_CHN)
    gained = pick(right.measure_against(base), Metric.CHANGED_TOKEN_ACCURACY_DIFFERENCE)
    copies = pick(base.measure(), Metric.CHANGED_TOKEN_ACCURACY, subset=Subset.BEFORE_SERVE)
    assert gained.value == pytest.approx(1 - copies.value) and gained.value > 0.1


def test_actions_without_effect_are_worth_nothing(held_out: HeldOutPlay, clips: Clips) -> None:
    sampling = SamplingConfig(temperature=0.0)
    still = dataclasses.replace(held_out, world=copy.deepcopy(held_out.world))
    still.world.dynamics.embed_action.weight.zero_()
    dreamed = predict(still.world, clips, sampling)
    worth = measure_action_worth(still, clips, sampling, dreamed, seed=0)
    assert [(one.subset, one.horizon) for one in worth] == [(Subset.FOREGROUND, 4), (Subset.WHOLE_PICTURE, 4)]
    assert all(one.value == one.high == 0.0 for one in worth)
    gained = measure_action_worth(still, clips, sampling, clips.real_CHN, seed=0)
    assert all(one.value > 10 for one in gained)


def test_log_probability_of_a_greedy_dream_is_what_the_beam_says(held_out: HeldOutPlay, clips: Clips) -> None:
    world, sampling = held_out.world, SamplingConfig(temperature=0.0)
    dreamed_CHN = predict(world, clips, sampling, beam=1)
    assert dreamed_CHN.equal(predict(world, clips, sampling))
    first, tokens_CTN, actions_CT = clips.context, clips.tokens_CTN, clips.actions_CT
    rolled = world.engine(sampling).roll(
        tokens_CTN[:, :first],
        actions_CT[:, : first - 1],
        actions_CT[:, first - 1 :],
        keys_B=actions_CT[:, 0],
        beam=1,
    )
    assert rolled.log_prob_B is not None
    ours = dream_log_probs(world, clips, dreamed_CHN).sum(1)
    np.testing.assert_allclose(ours.numpy(), rolled.log_prob_B.numpy(), rtol=1e-4)
