"""Select a checkpoint by its score in dreams: ``python -m agents.select_checkpoint runs/ppo``.

A judge plays dreams of another seed, or of another world, than the policy learned in, from moments it did not learn
from. While a policy learns it is judged on few steps; judging all checkpoints on more makes the choice less a matter
of luck. Rewrites the exploit report and ``policy``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from agents.dream_vs_real import publish
from agents.sb3.evaluate_policy import dream_judge
from agents.sb3.policy_io import load_policy
from agents.sb3.run_folder import SETTINGS, LearningRun
from genie_env.command import run


@dataclass(frozen=True)
class JudgeConfig:
    """Judge all checkpoints of a run again, and choose among them anew."""

    run: tyro.conf.Positional[Path]
    """Folder that ``agents.train_ppo`` wrote."""
    steps: int = 2000
    """Steps of each of 16 dreams."""
    device: str = "auto"
    """``auto`` or a torch device."""


def judge_again(config: JudgeConfig) -> Path:
    """Judge every checkpoint, write the report and return the folder of the policy chosen.

    Raises:
        ValueError: if there is no run, none of its policies was kept, or ``steps`` is none.
    """
    if config.steps < 1:
        raise ValueError(f"steps: expected a whole number >= 1, got {config.steps}")
    if not (config.run / SETTINGS).exists():
        raise ValueError(f"{config.run}: expected a run of agents.train_ppo, with {SETTINGS}")
    settings = json.loads((config.run / SETTINGS).read_text())
    run = LearningRun(config.run, settings)
    lines = {line["steps"]: line for line in run.logged()}
    folders = {int(folder.name): folder for folder in sorted((config.run / "policies").glob("*"))}
    known = sorted(lines.keys() & folders.keys())
    if not known:
        raise ValueError(f"{config.run}: expected policies that were scored; let agents.train_ppo run longer")
    _, kept = load_policy(folders[known[0]])
    data = None if settings["starts"] is None else Path(settings["starts"])
    where = settings["judge_world"] or settings["world"]
    judge = dream_judge(where, kept.senses, data, config.steps, device=config.device)
    for steps in tqdm(known, desc="judge", unit="policy"):
        judged = judge(load_policy(folders[steps])[0])
        run.log({**lines[steps], "judge": judged.per_1000, "entropy": judged.entropy})
    return publish(config.run)


def main(config: JudgeConfig) -> None:
    """Command line."""
    folder = judge_again(config)
    print((config.run / "exploit.md").read_text())
    print(f"policy: {folder}")


if __name__ == "__main__":
    raise SystemExit(run(main, JudgeConfig, description=__doc__))
