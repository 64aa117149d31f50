"""The packages websockets and msgpack, or one sentence that says how to get them."""

from __future__ import annotations

try:
    import msgpack
    from websockets.asyncio.server import Server, ServerConnection, serve
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
    from websockets.http11 import Request, Response
    from websockets.sync.client import connect
except ImportError as error:
    raise ImportError(
        f"remote worlds need the packages websockets and msgpack: pip install 'genie-env[serve]' ({error})"
    ) from error

__all__ = [
    "ConnectionClosed",
    "InvalidStatus",
    "Request",
    "Response",
    "Server",
    "ServerConnection",
    "WebSocketException",
    "connect",
    "msgpack",
    "serve",
]
