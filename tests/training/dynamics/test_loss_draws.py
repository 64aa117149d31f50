"""Clips are drawn by their loss within bounds, and what is known of losses survives any stop, in any process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genie_env.config import TokenSpace
from tests.helpers.worlds import TINY_RECIPE
from tests.training.engine.test_distributed import Meeting, meeting  # noqa: F401
from training.data.token_store import TokenEpisode, write_made_up
from training.dynamics.loss_draws import MOST, RATE, SETTLING, STRETCH, LossDraws
from training.dynamics.scheduled_sampling import ScheduledSamplingConfig
from training.dynamics.task import DynamicsTask, TrainDynamicsConfig
from training.engine.clocked_task import seconds_per_update
from training.engine.loop import CHECKPOINT, fit

LENGTHS, CLIP = [61, 12, 200, 40], 20
STILL, LIVELY = 300, 60
"""Frames of an episode in which nothing happens, and of one in which everything does."""


def draws(losses: np.ndarray | None = None, share: float = 0.5) -> LossDraws:
    made = LossDraws(LENGTHS, CLIP, share)
    if losses is not None:
        made.losses_S.copy_(torch.from_numpy(losses))
    return made


def stretches() -> int:
    return len(draws().losses_S)


@pytest.fixture
def config(tmp_path: Path) -> TrainDynamicsConfig:
    """Half of the clips by loss, from a long episode of a still picture and a short one of noise."""
    rng, episodes = np.random.default_rng(0), []
    for frames in (STILL, LIVELY):
        still_TN = np.repeat(rng.integers(32, size=(1, 16)), frames, 0)
        tokens_TN = still_TN if frames == STILL else rng.integers(32, size=(frames, 16))
        nothing_T = np.zeros(frames, np.int16)
        episodes.append(TokenEpisode(tokens_TN, nothing_T, nothing_T, nothing_T, nothing_T))
    store = write_made_up(tmp_path / "tokens", {"train": episodes, "test": episodes}, TokenSpace(32, 4), 3)
    size = {"width": 16, "num_layers": 1, "num_heads": 1, "token_dim": 8, "window": 4}
    return TrainDynamicsConfig(
        tokens=store.folder,
        out=tmp_path / "dynamics",
        model=replace(TrainDynamicsConfig().model, **size),
        loop=replace(TINY_RECIPE.dynamics_loop, n_updates=10, batch_size=4, accumulate=2, checkpoint_every=3, seed=3),
        clip_length=CLIP,
        loss_share=0.5,
        loss_correction=True,
        scheduled_sampling=ScheduledSamplingConfig(begin=0.3, max_frames=8, validity="frame"),
        device="cpu",
    )


@pytest.mark.parametrize("kind", ["unknown", "zero", "one", "even", "few", "heavy", "partly"])
def test_no_clip_is_drawn_more_often_than_the_bound(kind: str) -> None:
    count = stretches()
    rng, losses = np.random.default_rng(0), np.zeros(count)
    if kind == "unknown":
        losses[:] = -1
    elif kind == "one":
        losses[12] = 1e6
    elif kind == "even":
        losses[:] = 0.7
    elif kind == "few":
        losses[rng.choice(count, 4)] = rng.random(4)
    elif kind in ("heavy", "partly"):
        losses[:] = rng.lognormal(sigma=3, size=count)
        losses[: 15 if kind == "partly" else 0] = -1
    made = draws(losses)
    ratio_S, room_S = made.ratios(), made._room_S
    assert room_S.sum() == sum(max(0, length - CLIP) for length in LENGTHS), "all clips that fit, each once"
    assert ratio_S.min() >= 0 and ratio_S[room_S > 0].max() <= MOST
    assert np.average(ratio_S, weights=room_S) == pytest.approx(1)
    if kind in ("unknown", "zero", "even"):
        np.testing.assert_allclose(ratio_S, 1)
    if kind == "one":
        # From the clip whose last stretch it is, to the one that begins in it; the next does not see it.
        assert ratio_S[10:13].min() > 2 > 1 > ratio_S[13] and ratio_S.argmax() in range(10, 13)


def test_a_share_is_drawn_in_proportion_and_the_rest_evenly() -> None:
    losses = np.random.default_rng(1).lognormal(sigma=1, size=stretches())
    made = draws(losses, share=0.4)
    draw = made.draw(np.random.default_rng(2), 200_000)
    episode_B, begin_B = draw.picks_B2.T
    assert ((begin_B >= 0) & (begin_B + CLIP + 1 <= np.array(LENGTHS)[episode_B])).all(), "each clip fits"
    stretch_B = made._first_E[episode_B] + begin_B // STRETCH
    drawn_S = np.bincount(stretch_B, minlength=len(losses)) / len(stretch_B)
    share_S = made._room_S / made._room_S.sum()
    np.testing.assert_allclose(drawn_S, share_S * (0.6 + 0.4 * made.ratios()), atol=4e-3)
    assert draw.importance_B is not None
    assert float(draw.importance_B.mean()) == pytest.approx(1, abs=0.01), "corrected, all count as if drawn evenly"
    weighed_S = np.bincount(stretch_B, draw.importance_B.numpy(), len(losses)) / len(stretch_B)
    np.testing.assert_allclose(weighed_S, share_S, atol=4e-3)


def test_a_stretch_learns_the_mean_of_its_frames() -> None:
    made, rng = draws(), np.random.default_rng(3)
    picks = np.array([[2, 5], [2, 21], [0, 40], [3, 0]])
    losses, counts = rng.random((4, CLIP)), rng.integers(4, size=(4, CLIP))
    expected: dict[int, list[np.ndarray]] = {}
    for (episode, begin), losses_T, counts_T in zip(picks, losses, counts, strict=True):
        for t in range(SETTLING, CLIP):
            stretch = sum(-(-length // STRETCH) for length in LENGTHS[:episode]) + (begin + 1 + t) // STRETCH
            expected.setdefault(stretch, []).append(np.array([losses_T[t], counts_T[t]]) * (counts_T[t] > 0))
    noted = made.noted(picks, torch.from_numpy(losses), torch.from_numpy(counts))
    assert bool((made.losses_S == -1).all()), "nothing is learned before the update has succeeded"
    made.learn(noted[None])
    sums = {stretch: np.sum(each, 0) for stretch, each in expected.items()}
    for stretch, loss in enumerate(made.losses_S.tolist()):
        total, count = sums.get(stretch, (0, 0))
        assert loss == pytest.approx(total / count if count else -1), stretch
    assert 0 < made.known_share() < 1
    before = made.losses_S.clone()
    made.learn(made.noted(picks, torch.from_numpy(losses + counts), torch.from_numpy(counts))[None])
    known = before >= 0
    torch.testing.assert_close(made.losses_S[known], before[known] + RATE)


def test_losses_are_looked_for_where_the_model_is_wrong(config: TrainDynamicsConfig) -> None:
    task = DynamicsTask(replace(config, scheduled_sampling=ScheduledSamplingConfig(method="none")))
    fit(task, config.loop, config.out, "dynamics")
    assert task.memory is not None and task.memory.known_share() > 0.9
    lively = task.memory.draw(np.random.default_rng(0), 4000).picks_B2[:, 0].mean()
    evenly = (LIVELY - CLIP) / (STILL + LIVELY - 2 * CLIP)
    assert lively > 2 * evenly


def checkpoint(folder: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / CHECKPOINT).items()}


@pytest.mark.parametrize("at", [1, 4, 8])
def test_a_killed_training_goes_on_to_the_same_bytes(config: TrainDynamicsConfig, at: int) -> None:
    class Dying(DynamicsTask):
        def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
            result = super().loss(step, rng, generator)
            if step == at:
                raise RuntimeError("power cut")
            return result

    whole, killed = config.out / "whole", config.out / "killed"
    fit(DynamicsTask(config), config.loop, whole, "dynamics", config)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(Dying(config), config.loop, killed, "dynamics", config)
    fit(DynamicsTask(config), config.loop, killed, "dynamics", config)
    assert "memory.losses_S" in checkpoint(whole)
    assert checkpoint(whole) == checkpoint(killed)


def test_an_update_that_is_not_finite_teaches_nothing(config: TrainDynamicsConfig) -> None:
    class Ill(DynamicsTask):
        def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
            loss, figures = super().loss(step, rng, generator)
            return loss * (float("nan") if step == 2 else 1), figures

    task = Ill(config)
    with pytest.raises(ValueError, match="loss became nan after step 2"):
        fit(task, config.loop, config.out / "ill", "dynamics")
    fit(DynamicsTask(config), replace(config.loop, n_updates=2), config.out / "well", "dynamics")
    kept, expected = (load_file(config.out / name / CHECKPOINT)["memory.losses_S"] for name in ("ill", "well"))
    assert torch.equal(kept, expected)


def test_two_processes_know_what_one_does(config: TrainDynamicsConfig, meeting: Meeting) -> None:  # noqa: F811
    one, tasks = DynamicsTask(config), [DynamicsTask(config), DynamicsTask(config)]
    fit(one, config.loop, config.out / "one", "dynamics")
    loop = replace(config.loop, accumulate=1)
    works: list[Callable[[], Any]] = [lambda task=task: fit(task, loop, config.out / "two", "two") for task in tasks]
    meeting.play(works)
    first, second = (task.memory for task in tasks)
    assert one.memory is not None and first is not None and second is not None
    assert torch.equal(first.losses_S, second.losses_S)
    for ours, theirs in zip(*(task.model.parameters() for task in tasks), strict=True):
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(first.losses_S, one.memory.losses_S, rtol=1e-3, atol=1e-4)


def test_the_cost_of_such_an_update_can_be_measured(config: TrainDynamicsConfig) -> None:
    assert seconds_per_update(DynamicsTask(config), config.loop) > 0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"loss_share": 1.0}, "loss_share: expected a number from 0 to below 1"),
        ({"loss_share": 0.0}, "loss_correction"),
    ],
)
def test_impossible_settings_are_refused_by_name(config: TrainDynamicsConfig, changes: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(config, **changes)
