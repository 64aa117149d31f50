"""Servers of the random world, on a free port of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="package")
def url(random_world: Path) -> Iterator[str]:
    """Of a server without a token."""
    pytest.importorskip("websockets", reason="the extra 'serve' is not installed")
    pytest.importorskip("msgpack", reason="the extra 'serve' is not installed")
    from genie_env.remote.server import ServeConfig, background_server

    with background_server(ServeConfig(str(random_world), port=0)) as address:
        yield address
