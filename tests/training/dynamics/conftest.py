"""What the tests of the dynamics share."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from genie_env.config import TokenSpace
from training.data.token_store import TokenEpisode, write_made_up


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens of which some change from frame to frame, at random."""
    rng, episodes = np.random.default_rng(0), []
    for _ in range(4):
        tokens_TN = rng.integers(32, size=(600, 64)).astype(np.uint16)
        for before_N, tokens_N in pairwise(tokens_TN):
            tokens_N[:] = np.where(rng.random(64) < 0.1, tokens_N, before_N)
        nothing_T = np.zeros(600, np.int16)
        episodes.append(TokenEpisode(tokens_TN, rng.integers(3, size=600), nothing_T, nothing_T, nothing_T))
    folder = tmp_path_factory.mktemp("members") / "tokens"
    return write_made_up(folder, {"train": episodes, "test": episodes[:1]}, TokenSpace(32, 8), 3).folder
