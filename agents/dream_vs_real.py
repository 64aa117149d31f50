"""Does the agent win the game, or only its dream? Dream return against real return by training step.

``python -m agents.dream_vs_real runs/ppo`` writes ``dream_vs_real.md``, ``.json`` and ``.png`` into the run's folder.
The checkpoint is chosen by dreams alone, drawn with another seed or by another world than the agent learned in; the
real scores stand beside them, so that a choice that only exploits the world's errors shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from agents.sb3.checkpoint_choice import markdown, write_choice
from genie_env.command import run


@dataclass(frozen=True)
class DreamVsRealConfig:
    """Compare what a run's agents earned in dreams and in the real game."""

    run: tyro.conf.Positional[Path]
    """Folder that ``agents.train_ppo`` wrote."""


def main(config: DreamVsRealConfig) -> None:
    """Command line."""
    print(markdown(write_choice(config.run)))


if __name__ == "__main__":
    raise SystemExit(run(main, DreamVsRealConfig, description=__doc__))
