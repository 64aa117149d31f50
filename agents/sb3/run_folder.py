"""The folder of a learning run: checkpoint, policies by step, and the log of what they scored.

A checkpoint holds weights, the optimizer's moments and the number of steps as plain tensors, so a run that was
stopped goes on; dreams and games begin anew then, and a DQN fills its replay buffer again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.sb3.policy_io import PolicyConfig, fill_weights, save_policy, weights_of
from genie_env.files.atomic import claim_folder

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
        for index, moments in learner.policy.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        temporary = (self.folder / CHECKPOINT).with_suffix(".tmp")
        plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        save_file(plain, temporary, metadata={"steps": str(learner.num_timesteps)})
        temporary.rename(self.folder / CHECKPOINT)

    def load(self, learner: BaseAlgorithm) -> bool:
        """Put ``learner`` where the checkpoint left off, if there is one.

        Raises:
            ValueError: if the checkpoint does not fit the learner.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return False
        with safe_open(path, framework="pt") as file:
            steps = int(file.metadata()["steps"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        weights = {k.removeprefix("policy."): v for k, v in tensors.items() if k.startswith("policy.")}
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = value
        optimizer = learner.policy.optimizer
        try:
            fill_weights(learner.policy, weights)
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: does not fit this run's network: {error}") from None
        learner.num_timesteps = steps
        return True

    def keep_policy(self, learner: BaseAlgorithm, config: PolicyConfig) -> Path:
        """Save the present policy under its number of steps."""
        folder = self.folder / "policies" / f"{learner.num_timesteps:09d}"
        save_policy(folder, learner.policy, config)
        return folder

    def log(self, line: dict[str, Any]) -> None:
        """Add a line to the log."""
        with (self.folder / LOG).open("a") as file:
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
    lines = map(json.loads, (run / LOG).read_text().splitlines())
    return list({line["steps"]: line for line in lines}.values())
