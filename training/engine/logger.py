"""What a training logs: TensorBoard events, and a JSON-lines file of the same figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


class Logger:
    """Writes to ``folder/tensorboard`` and ``folder/log.jsonl``."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(folder / "tensorboard"))
        self._lines = (folder / "log.jsonl").open("a")

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
