"""All checkpoints of a run are evaluated again, in the same dreams each time."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import pytest

from agents.sb3.checkpoint_choice import choose
from agents.sb3.run_folder import policy_folder, read_log
from agents.select_checkpoint import SelectCheckpointConfig, select_checkpoint


def test_a_run_evaluated_again_keeps_its_log_and_is_chosen_from_again(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "again"
    shutil.copytree(run, copy)
    before = read_log(copy)
    # A policy in the chosen folder's place would be noticed.
    shutil.rmtree(copy / "policy")
    folder = select_checkpoint(SelectCheckpointConfig(copy, steps=9, device="cpu"))
    after = read_log(copy)
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        assert new.dream is not None and math.isfinite(new.dream)
        assert dataclasses.replace(new, dream=old.dream, entropy=old.entropy) == old
    chosen = policy_folder(copy, choose(after).chosen.steps)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: p.read_bytes() for p in chosen.iterdir()}
    assert select_checkpoint(SelectCheckpointConfig(copy, steps=9, device="cpu")) == folder
    assert read_log(copy) == after, "the same dreams each time"


def test_only_runs_are_evaluated(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a run of agents\.train_ppo"):
        select_checkpoint(SelectCheckpointConfig(tmp_path))
    with pytest.raises(ValueError, match="steps: expected"):
        SelectCheckpointConfig(tmp_path, steps=0)
