"""A stand-in Hub and an empty cache for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.hub_server import HubServer, listen, serving

REPO = "somebody/noise"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub that huggingface_hub speaks with; everything it downloads lies in ``cache``."""
    with serving() as hub:
        listen(hub, cache, monkeypatch)
        # Noise is slow to write as a GIF.
        monkeypatch.setattr("genie_env.publish.GIF_STEPS", 8)
        yield hub


@pytest.fixture
def published(server: HubServer, random_world: Path) -> HubServer:
    """The stand-in with a world of random weights, beside files that no world has."""
    files = {path.name: path.read_bytes() for path in random_world.iterdir() if path.is_file()}
    strange = {
        "pytorch_model.bin": b"\x80\x04cos\nsystem\n",
        "genie_env.py": b"raise SystemExit",
        "a/config.json": b"{}",
    }
    server.commit(REPO, {**files, **strange})
    return server
