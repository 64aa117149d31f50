"""Select a checkpoint by its score in dreams: ``python -m agents.select_checkpoint runs/ppo``.

The dreams have another seed, or are of another world, than those the policy learned in, and begin in moments it did
not learn from. While a policy learns it is evaluated on few steps; evaluating all checkpoints on more makes the choice
less a matter of luck. Writes the report of the choice and ``policy`` again.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from agents.sb3.checkpoint_choice import REPORT, publish_policy
from agents.sb3.evaluate_policy import dream_evaluator
from agents.sb3.policy_io import load_policy
from agents.sb3.run_folder import SETTINGS, RunFolder
from genie_env.command import run
from genie_env.files.atomic import hold_folder
from genie_env.files.reading import read_json


@dataclass(frozen=True)
class SelectCheckpointConfig:
    """Evaluate all checkpoints of a run again, and choose among them."""

    run: tyro.conf.Positional[Path]
    """Folder that ``agents.train_ppo`` wrote."""
    steps: int = 2000
    """Steps of each of 16 dreams."""
    device: str = "auto"
    """Torch device, or ``auto``."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: expected a whole number >= 1, got {self.steps}")


def select_checkpoint(config: SelectCheckpointConfig) -> Path:
    """Evaluate every checkpoint, write the report and return the folder of the policy chosen.

    Raises:
        ValueError: if there is no run, or none of its policies was kept.
    """
    if not (config.run / SETTINGS).exists():
        raise ValueError(f"{config.run}: expected a run of agents.train_ppo, with {SETTINGS}")
    settings = read_json(config.run / SETTINGS, "the settings of a run")
    with hold_folder(config.run):
        folder = RunFolder(config.run, settings)
        lines = {line.steps: line for line in folder.logged()}
        policies = {int(path.name): path for path in sorted((config.run / "policies").glob("*"))}
        known = sorted(lines.keys() & policies.keys())
        if not known:
            raise ValueError(f"{config.run}: expected policies that were scored; let agents.train_ppo run longer")
        spec = load_policy(policies[known[0]])[1].spec
        data = None if settings["starts"] is None else Path(settings["starts"])
        world = settings["eval_world"] or settings["world"]
        evaluator = dream_evaluator(world, spec, data, config.steps, device=config.device)
        for steps in tqdm(known, desc="evaluate", unit="policy"):
            scores = evaluator(load_policy(policies[steps])[0])
            folder.log(dataclasses.replace(lines[steps], dream=scores.per_1000, entropy=scores.entropy))
        return publish_policy(config.run)


def main(config: SelectCheckpointConfig) -> None:
    """Command line."""
    folder = select_checkpoint(config)
    print((config.run / REPORT).read_text(encoding="utf-8"))
    print(f"policy: {folder}")


if __name__ == "__main__":
    raise SystemExit(run(main, SelectCheckpointConfig, description=__doc__))
