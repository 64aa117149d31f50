"""What a batch of the dynamics teaches, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.worlds import TINY_RECIPE
from training.dynamics import task as task_module
from training.dynamics.scheduled_sampling import DreamedContext, ScheduledSamplingConfig
from training.dynamics.task import DynamicsTask, TrainDynamicsConfig

SIZE = {"width": 16, "num_layers": 1, "num_heads": 1, "token_dim": 8, "window": 4}
LONG = ScheduledSamplingConfig(
    begin=0, schedule="constant", max_frames=32, curriculum=False, validity="frame", tolerance=10
)


@pytest.fixture
def config(tokens: Path, tmp_path: Path) -> TrainDynamicsConfig:
    """Clips of 64 frames, half of which end in up to 32 dreamed ones."""
    return TrainDynamicsConfig(
        tokens=tokens,
        out=tmp_path / "dynamics",
        model=replace(TrainDynamicsConfig().model, **SIZE),
        loop=replace(TINY_RECIPE.dynamics_loop, n_updates=6, batch_size=8, seed=3),
        clip_length=64,
        scheduled_sampling=LONG,
        device="cpu",
    )


def batch(task: DynamicsTask, seed: int = 2) -> tuple[torch.Tensor, dict]:
    return task.loss(0, np.random.default_rng(seed), torch.Generator().manual_seed(seed))


def test_nothing_is_learned_of_frames_after_a_dream_has_left(
    config: TrainDynamicsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, dreams, decided = DynamicsTask(config), list[DreamedContext](), list[torch.Tensor]()
    dream, frame_loss = task_module.dream_context, DynamicsTask.frame_loss

    def noted_dream(*args: Any) -> DreamedContext:
        dreams.append(dream(*args))
        return dreams[-1]

    def noted_loss(self: DynamicsTask, *args: Any) -> Any:
        decided.append(args[3])
        return frame_loss(self, *args)

    monkeypatch.setattr(task_module, "dream_context", noted_dream)
    monkeypatch.setattr(DynamicsTask, "frame_loss", noted_loss)
    loss, figures = batch(task)
    monkeypatch.setattr(task, "config", replace(config, scheduled_sampling=replace(LONG, tolerance=64)))
    batch(task)
    valid_BT, open_BTN = dreams[0].valid_BT, [each == task.model.mask_token for each in decided]
    assert valid_BT is not None and valid_BT.shape == (8, 64)
    assert figures["dreamed_frames"] > 16 and not valid_BT.all() and valid_BT[dreams[0].dreamed_B].any()
    # With a tolerance that no dream exceeds all else is equal, and the frames after it left are there.
    assert torch.equal(open_BTN[0], open_BTN[1] & valid_BT[..., None])
    assert open_BTN[1][~valid_BT].any()
    assert bool(loss.isfinite())
