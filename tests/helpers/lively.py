"""Worlds in which much happens: an outcome that is read from the frame's tokens alone, in either runtime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genie_env.models.outcome import OutcomeHead
from genie_env.portable.graph import Value
from genie_env.portable.network import Outcome


def make_lively(monkeypatch: pytest.MonkeyPatch, runtime: str, ends_every: int) -> None:
    """Let environments step in ``runtime``, reward everything and end about every so many steps."""

    def predict(self: OutcomeHead, tokens_BCN: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sums_B = tokens_BCN[:, -1].sum(-1)
        return (sums_B % 3 - 1).float(), sums_B % ends_every == 0

    def judge(self: Outcome, tokens_BCN: Value) -> tuple[Value, Value]:
        sums_B = tokens_BCN.last(1).remove(1).sum()
        return (sums_B % 3 - 1).cast(np.float32), (sums_B % ends_every).equals(0)

    monkeypatch.setattr(OutcomeHead, "predict", predict)
    monkeypatch.setattr(Outcome, "judge", judge)
    if runtime == "torch":
        monkeypatch.setattr("genie_env.envs.options.missing", lambda config: "this test is of torch")
