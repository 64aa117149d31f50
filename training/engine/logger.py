"""What a training logs: TensorBoard events, and a JSON-lines file of the same figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from genie_env.files.atomic import write_text

LINES = "log.jsonl"


class Logger:
    """Writes to ``folder/tensorboard`` and ``folder/log.jsonl``."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        """Go on after ``step``: what was logged of later ones, before a kill, is dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        path = folder / LINES
        if path.exists():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            write_text(path, "".join(f"{line}\n" for line in lines if _until(line, step)))
        self._lines = path.open("a", encoding="utf-8")

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()
        self._lines.close()

    def figures(self, group: str, figures: dict[str, float], step: int) -> None:
        """Log numbers as ``group/name``."""
        for name, value in figures.items():
            self._board.add_scalar(f"{group}/{name}", value, step)
        self._lines.write(json.dumps({"step": step, "group": group, **figures}) + "\n")
        self._lines.flush()

    def pictures(self, pictures: dict[str, np.ndarray], step: int) -> None:
        """Show pictures, uint8 [H, W, 3], in TensorBoard."""
        for name, picture_HWC in pictures.items():
            self._board.add_image(name, picture_HWC, step, dataformats="HWC")


def _until(line: str, step: int) -> bool:
    """Whether a line is whole and of no later step; a kill may have cut the last one."""
    try:
        return int(json.loads(line)["step"]) <= step
    except (ValueError, KeyError, TypeError):
        return False
