"""The one error of files that come from elsewhere."""

from __future__ import annotations

from os import PathLike

LONGEST = 1000
"""Characters of a problem that are shown; what is wrong may have been quoted from a file without end."""


class FileError(ValueError):
    """A file or folder that is missing, damaged, or not what it should be.

    Attributes:
        path: the file or folder, with which the message begins.
        problem: what is wrong with it, in one line.
    """

    def __init__(self, path: str | PathLike[str], problem: str) -> None:
        self.path, self.problem = str(path), " ".join(problem.split())[:LONGEST]
        # Both are arguments of the exception, or it would not come back whole from another process.
        super().__init__(self.path, self.problem)

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"
