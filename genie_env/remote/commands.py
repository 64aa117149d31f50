"""The command ``genie-env serve``: its flags, and what it does with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from genie_env.envs.options import Runtime


@dataclass(frozen=True)
class Serve:
    """Serve a world to environments on this or other machines; each client has dreams of its own.

    Clients open ``gym.make("Genie/Remote-v0", url=…)`` with the printed address. docs/remote.md has the messages.
    """

    world: tyro.conf.Positional[str] = "pong"
    """Bundled name or folder of the world."""
    host: str = "127.0.0.1"
    """Address to listen at; any but this machine's own needs --token-file."""
    port: int = 8765
    """Port to listen at; 0 takes any free one."""
    token_file: Path | None = None
    """File with the token that clients must know, at least 16 characters."""
    max_rows: int = 64
    """Most dreams of all clients together."""
    idle_seconds: float = 300.0
    """Seconds without a request after which a client is cut off."""
    max_message_mb: float = 4.0
    """Largest message of a client, in MiB."""
    runtime: Runtime = "auto"
    """Program that steps: torch, onnx (on the CPU, faster), or auto: onnx where it can."""
    device: str = "auto"
    """Torch device; auto is CUDA where there is one."""


def serve_world(args: Serve) -> None:
    """Run ``genie-env serve``."""
    from genie_env.remote.access import read_token
    from genie_env.remote.server import ServeConfig, run_server

    config = ServeConfig(
        world=args.world,
        host=args.host,
        port=args.port,
        token=None if args.token_file is None else read_token(args.token_file),
        max_rows=args.max_rows,
        idle_seconds=args.idle_seconds,
        max_message_mb=args.max_message_mb,
        options={"runtime": args.runtime, "device": args.device},
    )
    run_server(config)
