"""Processes that were forked after torch was imported: torch waits there for ever. Imports no torch."""

from __future__ import annotations

import os
import sys


class ForkedError(RuntimeError):
    """A process that was forked after torch was imported tries to dream in torch."""


_forked_with_torch = False


def _note_fork() -> None:
    global _forked_with_torch
    # Torch's threads exist in the child in name only: the first large product waits for them for ever.
    _forked_with_torch = _forked_with_torch or "torch" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def refuse_fork() -> None:
    """Raise :class:`ForkedError` where torch would hang."""
    if _forked_with_torch:
        raise ForkedError(
            "this process was forked after torch was imported, and torch hangs in such processes; start workers "
            "with 'spawn' or 'forkserver', as in gym.make_vec(…, vectorization_mode='async', "
            "vector_kwargs={'context': 'spawn'}), or step with runtime='onnx'"
        )
