"""The package ray, or one sentence that says how to get it; and the cluster of this process."""

from __future__ import annotations

import importlib
import os
import socket
from typing import Any

try:
    # By name: types are checked on machines without Ray, which is large.
    ray: Any = importlib.import_module("ray")
    RayActorError: Any = importlib.import_module("ray.exceptions").RayActorError
    RayTaskError: Any = importlib.import_module("ray.exceptions").RayTaskError
except ImportError as error:
    raise ImportError(f"several machines need the package ray: pip install 'genie-env[ray]' ({error})") from error

CONNECT_SECONDS = 10.0
LOCAL = "local"
"""Address of a cluster that is started on this machine and ends with this process."""


def join_cluster(address: str, workers: int) -> Any:
    """Be a driver of the cluster at ``address``; where this process is one already, nothing happens.

    Args:
        address: ``host:port``, ``auto`` (a cluster that runs on this machine), or ``local`` (a new one).
        workers: processes of a new one.

    Returns:
        the module ``ray``.

    Raises:
        ValueError: if there is no cluster.
    """
    if ray.is_initialized():
        return ray
    _require_answer(address)
    # Ray warns unless it is told whether GPUs are hidden from processes that ask for none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    own: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ValueError(f"ray: no cluster at {address!r} ({' '.join(str(error).split())[:200]})") from None
    return ray


def _require_answer(address: str) -> None:
    """Refuse a host and port at which nothing answers; Ray itself tries for many minutes, with a page of warnings."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"ray: no cluster at {address!r} ({error})") from None
