"""Test session set-up: no window, no sound and one torch thread, whatever the machine; and the worlds tests share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

# Before any test imports pygame or torch: both read these once.
os.environ["SDL_VIDEODRIVER"] = "dummy"
os.environ["SDL_AUDIODRIVER"] = "dummy"
os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"
# pytest-xdist already keeps every core busy; more threads per worker only fight each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where a test asks for two threads on busy cores, each would spin while it waits: ten seconds become minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest

if TYPE_CHECKING:
    from genie_env.data.episodes import EpisodeStore
    from genie_env.world import World
    from tests.helpers.worlds import TinyWorld
    from training.evaluation.held_out import HeldOutPlay


@pytest.fixture(scope="session")
def random_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle with random weights: whatever holds for it holds without any training."""
    from tests.helpers.worlds import make_random_world

    return make_random_world(tmp_path_factory.mktemp("worlds") / "random")


@pytest.fixture(scope="session")
def endless_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle like ``random_world``, whose dreams never end."""
    import torch

    from genie_env.bundle import save_world
    from tests.helpers.worlds import random_world

    world = random_world()
    with torch.no_grad():
        world.outcome.out.bias[-1] = -1e4
    return save_world(world, tmp_path_factory.mktemp("worlds") / "endless")


@pytest.fixture(scope="session", params=["networks", "heads"])
def ensemble_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle like ``random_world`` whose dynamics has three members of either kind."""
    from tests.helpers.worlds import ensemble_config, make_random_world

    dynamics = ensemble_config(member_kind=request.param)
    return make_random_world(tmp_path_factory.mktemp("worlds") / request.param, dynamics=dynamics)


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> TinyWorld:
    """The tiny game recorded, learned and bundled by the whole pipeline, once for all workers of pytest-xdist."""
    from filelock import FileLock

    from tests.helpers.worlds import TINY_RECIPE, TinyWorld
    from training.train import make_world

    root = tmp_path_factory.getbasetemp()
    # Each worker has a folder of its own inside that of the session.
    root = (root if worker_id == "master" else root.parent) / "tiny_world"
    tiny = TinyWorld(root / "data", root / "run", root / "bundle")
    with FileLock(f"{root}.lock"):
        make_world(TINY_RECIPE, *tiny)
    return tiny


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    """Play of the tiny game, for evaluation and diagnosis."""
    from tests.helpers.held_out import record_tiny

    return record_tiny(tmp_path_factory.mktemp("held_out") / "data")


@pytest.fixture(scope="session")
def world(store: EpisodeStore) -> World:
    """A world that reads ``store`` without any loss."""
    from tests.helpers.held_out import exact_world

    return exact_world(store)


@pytest.fixture(scope="session")
def held_out(world: World, store: EpisodeStore) -> HeldOutPlay:
    """The held-out episodes of ``store`` as ``world`` reads them."""
    from tests.helpers.held_out import TINY
    from training.evaluation.held_out import read_held_out

    return read_held_out(world, store, TINY, max_frames=10_000)


@pytest.fixture(params=["torch", "onnx"])
def lively(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In either runtime: rewards of all kinds and an end about every tenth step, read from the row's own tokens."""
    from tests.helpers.lively import make_lively

    make_lively(monkeypatch, request.param, ends_every=10)
