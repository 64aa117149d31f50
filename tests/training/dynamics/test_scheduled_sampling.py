"""Scheduled sampling: schedules, dreamed contexts, and what they leave alone."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch

from genie_env.config import DynamicsConfig, SamplingConfig
from genie_env.models.dynamics import Dynamics
from training.dynamics.scheduled_sampling import ScheduledSamplingConfig, dream_context, has_followed

ROWS, STEPS, VOCAB = 6, 10, 30
SCHEDULES = ("linear", "delayed_linear", "inverse_sigmoid", "constant")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dynamics() -> Dynamics:
    torch.manual_seed(0)
    model = Dynamics(
        DynamicsConfig(vocab_size=VOCAB, num_layers=2, width=32, num_heads=2, token_dim=16, window=4)
    ).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 2:
                p.normal_(std=0.2)
        model.stay_bias.fill_(1.0)
    return model


def clip() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(VOCAB, (ROWS, STEPS, 64), generator=generator(1)), torch.randint(
        3, (ROWS, STEPS), generator=generator(2)
    )


def config(**changes: Any) -> ScheduledSamplingConfig:
    default = ScheduledSamplingConfig(end_ratio=0.0, schedule="constant", begin=0.0, tolerance=64, max_frames=4)
    return dataclasses.replace(default, **changes)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_teacher_forcing_ratio_falls_from_one_to_its_end(schedule: Any) -> None:
    ratios = [
        ScheduledSamplingConfig(schedule=schedule, begin=0.3, end_ratio=0.5).teacher_forcing_ratio(p / 100)
        for p in range(101)
    ]
    assert ratios[:30] == [1.0] * 30
    assert ratios[-1] == pytest.approx(0.5)
    assert all(a >= b for a, b in itertools.pairwise(ratios))
    if schedule == "linear":
        assert ratios[65] == pytest.approx(0.75)


def test_no_method_is_teacher_forcing_throughout() -> None:
    assert ScheduledSamplingConfig(method="none", begin=0).teacher_forcing_ratio(1.0) == 1.0


def test_curriculum_lengthens_dreams_and_its_absence_has_them_at_once() -> None:
    growing = [ScheduledSamplingConfig(begin=0.4, max_frames=8).longest(p / 100) for p in range(101)]
    assert growing[0] == growing[40] == 1 and max(growing) == growing[-1] == 8
    assert sorted(growing) == growing and set(growing) == set(range(1, 9))
    assert ScheduledSamplingConfig(curriculum=False, max_frames=8).longest(0.0) == 8


@pytest.mark.parametrize("method", ["self_rollout", "two_pass"])
def test_dreamed_frames_are_a_suffix_of_whole_rows(method: Any) -> None:
    model, (tokens, actions) = dynamics(), clip()
    before = tokens.clone()
    dream = dream_context(model, tokens, actions, config(method=method, end_ratio=0.5), 1.0, generator(3))
    assert torch.equal(tokens, before)
    frames = int(dream.figures["dreamed_frames"])
    assert torch.equal(dream.tokens_BTN[:, : STEPS - frames], tokens[:, : STEPS - frames])
    assert torch.equal(dream.tokens_BTN[~dream.dreamed_B], tokens[~dream.dreamed_B])
    assert 0 < int(dream.dreamed_B.sum()) < ROWS
    assert bool((dream.tokens_BTN != tokens)[dream.dreamed_B][:, STEPS - frames :].any(-1).all())


def test_rollout_is_what_the_full_forward_says_frame_by_frame() -> None:
    model, (tokens, actions) = dynamics(), clip()
    cold = config(sampling=SamplingConfig(temperature=0.0), curriculum=False)
    dream = dream_context(model, tokens, actions, cold, 1.0, generator(3))
    assert bool(dream.dreamed_B.all())
    frames = int(dream.figures["dreamed_frames"])
    history = tokens[:, : STEPS - frames]
    with torch.no_grad():
        for t in range(STEPS - frames, STEPS):
            features = model.trunk(history, actions[:, :t])[:, -1]
            head_out = model.decode(features, torch.full_like(history[:, -1], model.mask_token))
            history = torch.cat([history, model.log_probs(head_out, history[:, -1]).argmax(-1)[:, None]], 1)
    assert torch.equal(dream.tokens_BTN, history)


def test_rows_that_left_the_recording_are_dropped_and_counted() -> None:
    model, (tokens, actions) = dynamics(), clip()
    strict = dream_context(model, tokens, actions, config(tolerance=0), 1.0, generator(3))
    assert torch.equal(strict.tokens_BTN, tokens) and not bool(strict.dreamed_B.any())
    assert strict.figures["dropped_rows"] == 1.0
    assert dream_context(model, tokens, actions, config(), 1.0, generator(3)).figures["dropped_rows"] == 0.0


def test_once_a_dream_has_left_it_does_not_follow_again() -> None:
    real = torch.zeros(2, 5, 4, dtype=torch.long)
    dreamed = real.clone()
    dreamed[0, 1, :2] = dreamed[0, 2, :3] = dreamed[1, 4] = 1
    expected = [[True, True, False, False, False], [True, True, True, True, False]]
    assert has_followed(dreamed, real, tolerance=2).tolist() == expected


def test_judged_by_frames_a_row_counts_until_its_dream_leaves() -> None:
    """Long dreams too: 32 frames of 64, which all leave before the last, and would all be dropped as rows."""
    model, rows = dynamics(), 24
    tokens = torch.randint(VOCAB, (rows, 1, 64), generator=generator(1)).repeat(1, 64, 1)
    actions, tolerance = torch.zeros(rows, 64, dtype=torch.long), 4
    long = config(max_frames=32, curriculum=False, tolerance=tolerance, end_ratio=0.3, validity="frame")
    as_rows = dream_context(model, tokens, actions, dataclasses.replace(long, validity="row"), 1.0, generator(4))
    dream = dream_context(model, tokens, actions, long, 1.0, generator(4))
    assert as_rows.valid_BT is None and as_rows.figures["dropped_rows"] == 1.0
    assert dream.dreamed is not None and dream.valid_BT is not None
    frames = dream.dreamed.frames
    assert 16 < frames <= 32, "longer than any before"
    valid_counts = []
    for row, dreamed in zip(dream.dreamed.rows_R.tolist(), dream.dreamed.tokens_RTN, strict=True):
        wrong = (dreamed != tokens[row]).sum(-1).tolist()
        left = next(t for t, count in enumerate(wrong) if count > tolerance)
        kept = left > 64 - frames
        assert bool(dream.dreamed_B[row]) == kept
        assert torch.equal(dream.tokens_BTN[row], dreamed if kept else tokens[row])
        assert dream.valid_BT[row].tolist() == [t < left or not kept for t in range(64)]
        valid_counts.append(left - (64 - frames))
    assert min(valid_counts) == 0 < max(valid_counts) < frames, "some rows leave at once, some later"
    assert dream.figures["dropped_frames"] == pytest.approx(1 - sum(valid_counts) / len(valid_counts) / frames)
    untouched = torch.ones(rows, dtype=torch.bool).index_fill(0, dream.dreamed.rows_R, False)
    assert bool(untouched.any()) and bool(dream.valid_BT[untouched].all())


def test_dream_depends_on_its_generator_alone_and_carries_no_gradient() -> None:
    model, (tokens, actions) = dynamics(), clip()
    torch.manual_seed(1)
    one = dream_context(model, tokens, actions, config(), 1.0, generator(5))
    torch.manual_seed(2)
    two = dream_context(model, tokens, actions, config(), 1.0, generator(5))
    assert torch.equal(one.tokens_BTN, two.tokens_BTN) and not one.tokens_BTN.requires_grad
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("field", "value"), [("begin", 1.5), ("end_ratio", -0.1), ("max_frames", 0), ("tolerance", -1)]
)
def test_impossible_settings_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        ScheduledSamplingConfig(**{field: value})
