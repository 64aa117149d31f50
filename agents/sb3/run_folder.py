"""The folder of a learning run: checkpoint, policies by step, and the log of what they scored.

A checkpoint holds weights, the optimizer's moments and the number of steps as plain tensors, so a run that was
stopped goes on; dreams and games begin anew then, and a DQN fills its replay buffer again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from agents.sb3.policy_io import PolicyConfig, save_policy
from genie_env.files.atomic import claim_folder
from genie_env.files.errors import FileError
from genie_env.files.tensors import (
    fill_moments,
    fill_weights,
    moments_of,
    read_metadata,
    read_tensors,
    under,
    weights_of,
    write_tensors,
)

CHECKPOINT, LOG, SETTINGS = "checkpoint.safetensors", "log.jsonl", "run.json"


class LearningRun:
    """One run's folder."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        """Open or make the folder.

        Args:
            folder: of the run.
            settings: JSON-plain; everything that a run cannot change when it goes on.

        Raises:
            ValueError: if a run with other settings lies there.
        """
        self.folder = folder
        claim_folder(folder / SETTINGS, settings)

    def save(self, learner: BaseAlgorithm) -> None:
        """Write the checkpoint, whole or not at all."""
        tensors = {f"policy.{k}": v for k, v in weights_of(learner.policy).items()}
        tensors |= {f"optimizer.{k}": v for k, v in moments_of(learner.policy.optimizer).items()}
        write_tensors(self.folder / CHECKPOINT, tensors, {"steps": str(learner.num_timesteps)})

    def load(self, learner: BaseAlgorithm) -> bool:
        """Put ``learner`` where the checkpoint left off, if there is one.

        Raises:
            ValueError: if the checkpoint does not fit the learner.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return False
        steps, tensors = read_metadata(path).get("steps", ""), read_tensors(path)
        if not steps.isdecimal():
            raise FileError(path, f"expected the number of steps beside the tensors, got {steps!r}")
        fill_weights(learner.policy, under(tensors, "policy."), path)
        fill_moments(learner.policy.optimizer, under(tensors, "optimizer."), path)
        learner.num_timesteps = int(steps)
        return True

    def keep_policy(self, learner: BaseAlgorithm, config: PolicyConfig) -> Path:
        """Save the present policy under its number of steps."""
        folder = self.folder / "policies" / f"{learner.num_timesteps:09d}"
        save_policy(folder, learner.policy, config)
        return folder

    def log(self, line: dict[str, Any]) -> None:
        """Add a line to the log."""
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def logged(self) -> list[dict[str, Any]]:
        """As :func:`read_log`; empty before anything was logged."""
        return read_log(self.folder) if (self.folder / LOG).exists() else []


def read_log(run: Path) -> list[dict[str, Any]]:
    """All lines of a run's log, oldest first; of two for the same step (after a resume) the later one counts.

    Raises:
        ValueError: if the folder has no log.
    """
    if not (run / LOG).exists():
        raise ValueError(f"{run / LOG}: expected the log of `python -m agents.train_ppo`")
    lines = map(json.loads, (run / LOG).read_text(encoding="utf-8").splitlines())
    return list({line["steps"]: line for line in lines}.values())
