"""One local cluster of two processes for all tests of this folder; starting one takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.helpers.paths import ROOT


@pytest.fixture(scope="package")
def cluster() -> Iterator[None]:
    """A cluster that this process has joined."""
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from genie_env.cluster.libraries import LOCAL, join_cluster, ray

    # Workers import helpers of the tests, as tests do.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        join_cluster(LOCAL, 2)
        yield
        ray.shutdown()
