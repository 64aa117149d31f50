"""The folder of a learning run: checkpoint, policies by step, and the log of what they scored.

A checkpoint holds weights, the optimizer's moments and the number of steps as plain tensors, so a run that was
stopped goes on. Dreams and games then restart, and a DQN fills its replay buffer again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from agents.sb3.policy_io import save_policy
from genie_env.files.atomic import claim_folder, write_text
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from genie_env.files.reading import parse_json
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
from genie_env.policies.config import PolicyConfig

CHECKPOINT, LOG, SETTINGS = "checkpoint.safetensors", "log.jsonl", "run.json"


@dataclass(frozen=True)
class LogLine(JsonConfig):
    """Scores of a run's policy after so many steps; points are net points per 1,000 steps, None where not counted."""

    steps: int
    learning: float | None = None
    """Points of the learner's own play since the line before."""
    dream: float | None = None
    """Points in dreams that are not learned from."""
    entropy: float | None = None
    """Mean token entropy of those dreams in nats."""
    real: float | None = None
    """Points in the real game."""
    real_score: float | None = None
    """Mean score of a real game."""
    steps_per_second: float | None = None


class RunFolder:
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

    def save_checkpoint(self, learner: BaseAlgorithm) -> None:
        """Write the checkpoint, whole or not at all."""
        tensors = {f"policy.{k}": v for k, v in weights_of(learner.policy).items()}
        tensors |= {f"optimizer.{k}": v for k, v in moments_of(learner.policy.optimizer).items()}
        write_tensors(self.folder / CHECKPOINT, tensors, {"steps": str(learner.num_timesteps)})

    def load_checkpoint(self, learner: BaseAlgorithm) -> bool:
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

    def save_policy(self, learner: BaseAlgorithm, config: PolicyConfig) -> Path:
        """Save the present policy under its number of steps."""
        folder = policy_folder(self.folder, learner.num_timesteps)
        save_policy(folder, learner.policy, config)
        return folder

    def log(self, line: LogLine) -> None:
        """Add a line to the log, which is whole at any time: a kill cuts no line."""
        path = self.folder / LOG
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        write_text(path, f"{before}{json.dumps(line.to_json())}\n")

    def logged(self) -> list[LogLine]:
        """As :func:`read_log`; empty before anything was logged."""
        return read_log(self.folder) if (self.folder / LOG).exists() else []


def policy_folder(run: Path, steps: int) -> Path:
    """Where a run keeps the policy it had after ``steps`` steps."""
    return run / "policies" / f"{steps:09d}"


def read_log(run: Path) -> list[LogLine]:
    """All lines of a run's log, oldest first; of two for the same step (after a resume) the later one counts.

    Raises:
        ValueError: if the folder has no log, or a line of it is damaged.
    """
    path = run / LOG
    if not path.exists():
        raise FileError(path, "missing; expected the log of `python -m agents.train_ppo`")
    lines = [_line(text, path) for text in path.read_bytes().splitlines()]
    return list({line.steps: line for line in lines}.values())


def _line(text: bytes, path: Path) -> LogLine:
    content = parse_json(text, path, "a line of the log")
    try:
        return LogLine.from_json(content)
    except ValueError as error:
        raise FileError(path, f"expected the log of `python -m agents.train_ppo` ({error})") from None
