"""What the tests of evaluation share: held-out play of the tiny game, and clips of it."""

from __future__ import annotations

import pytest

from training.evaluation.held_out import Clips, HeldOutPlay


@pytest.fixture(scope="session")
def clips(held_out: HeldOutPlay) -> Clips:
    """Twelve clips of six real frames and eight to predict."""
    return held_out.clips(count=12, context=6, steps=8, seed=0)
