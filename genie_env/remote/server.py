"""Serves dreams of one world over WebSocket: one connection, one client, dreams of its own.

Owns sockets, the token, limits of size and time. What a request means lies in :mod:`genie_env.remote.session`. A
client that breaks the protocol gets one error and is cut off; a request that the environment refuses leaves the dreams
as they were. Pages of browsers (requests with an ``Origin``) are refused: any page could reach a server on the loopback
address.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from genie_env.bundle import pin_world, read_config
from genie_env.remote.access import check_token, is_loopback
from genie_env.remote.libraries import ConnectionClosed, Request, Response, Server, ServerConnection, serve
from genie_env.remote.session import RefusedError, Rows, Session
from genie_env.remote.wire import ProtocolError, one_line, pack, read_request

OPEN_SECONDS = 10.0
"""Time for a handshake, and for the first request."""
SPARE_CONNECTIONS = 16
"""Connections beyond one for each row that may wait to be refused."""
PROTOCOL, FULL, BUG = 1008, 1013, 1011
"""WebSocket's close codes."""
_LOG = logging.getLogger("genie_env.remote")
_LOG.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class ServeConfig:
    """What is served, where, to whom and how much of it.

    Raises:
        ValueError: if a limit is out of range, or everybody could come in from another machine.
    """

    world: str = "pong"
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    max_rows: int = 64
    idle_seconds: float = 300.0
    max_message_mb: float = 4.0
    options: dict[str, Any] = field(default_factory=dict)
    """Of the environments: ``runtime``, ``device``, ``compile``."""

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"host: {self.host!r} can be reached from other machines; give a token (--token-file FILE), "
                f"or use 127.0.0.1"
            )
        if self.token is not None:
            check_token(self.token, "token")
        for name, low in (("max_rows", 1), ("idle_seconds", 0.05), ("max_message_mb", 0.001)):
            value = getattr(self, name)
            if not low <= value < 1e6:
                raise ValueError(f"{name}: expected a number from {low:g} to a million, got {value!r}")
        if not 0 <= self.port < 65536:
            raise ValueError(f"port: expected a number from 0 to 65535, got {self.port!r}")


class DreamServer:
    """Answers clients; lives in one event loop, and steps worlds in threads beside it."""

    def __init__(self, config: ServeConfig) -> None:
        """Check the world.

        Raises:
            ValueError: if its bundle cannot be read.
        """
        read_config(config.world)
        # Every client dreams the same commit of a world on the Hub.
        self._world = str(pin_world(config.world))
        self.config, self.rows = config, Rows(config.max_rows)
        self._connections = 0

    async def listen(self) -> Server:
        """Begin to serve.

        Raises:
            OSError: if the address cannot be used.
        """
        return await serve(
            self._serve_client,
            self.config.host,
            self.config.port,
            # None: a request without an Origin. Browsers always send one.
            origins=[None],
            process_request=self._admit,
            max_size=int(self.config.max_message_mb * 2**20),
            max_queue=1,
            open_timeout=OPEN_SECONDS,
            close_timeout=1.0,
            logger=_LOG,
            server_header=None,
        )

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse a handshake without the token, or one too many."""
        if self.config.token is not None:
            given = request.headers.get_all("Authorization")
            wanted = f"Bearer {self.config.token}".encode()
            known = len(given) == 1 and hmac.compare_digest(given[0].encode("utf-8", "replace"), wanted)
            if not known:
                return connection.respond(HTTPStatus.UNAUTHORIZED, "expected the server's token\n")
        if self._connections >= self.config.max_rows + SPARE_CONNECTIONS:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "the server is full; try later\n")
        return None

    async def _serve_client(self, connection: ServerConnection) -> None:
        session = Session(self._world, self.rows, self.config.options)
        self._connections += 1
        try:
            await self._converse(connection, session)
        except (ConnectionClosed, TimeoutError):
            # The client has gone, or takes no answer.
            pass
        finally:
            self._connections -= 1
            session.close()

    async def _converse(self, connection: ServerConnection, session: Session) -> None:
        patience, is_open = OPEN_SECONDS, False
        while True:
            try:
                data = await asyncio.wait_for(connection.recv(), patience)
            except TimeoutError:
                await self._refuse(connection, PROTOCOL, f"no request for {patience:g} seconds")
                return
            try:
                op, fields = read_request(data)
                answer = pack({"ok": await asyncio.to_thread(session.answer, op, fields)})
            except ProtocolError as error:
                await self._refuse(connection, PROTOCOL, str(error))
                return
            except RefusedError as error:
                if not is_open:
                    await self._refuse(connection, FULL, str(error))
                    return
                answer = pack({"error": one_line(str(error))})
            except Exception:
                traceback.print_exc()
                await self._refuse(connection, BUG, "the server made a mistake; its log has more")
                return
            patience, is_open = self.config.idle_seconds, True
            await self._send(connection, answer)

    async def _refuse(self, connection: ServerConnection, code: int, problem: str) -> None:
        """Say why, once, and close."""
        with suppress(ConnectionClosed, TimeoutError):
            await self._send(connection, pack({"error": one_line(problem)}))
        await connection.close(code, "see the last message")

    async def _send(self, connection: ServerConnection, answer: bytes) -> None:
        # A client that reads nothing would hold its rows for ever.
        await asyncio.wait_for(connection.send(answer), self.config.idle_seconds)


def run_server(config: ServeConfig) -> None:
    """Serve until Ctrl-C.

    Raises:
        ValueError, OSError: as :class:`DreamServer`.
    """

    async def serve_for_ever() -> None:
        server = await DreamServer(config).listen()
        print(f"{address(server)} dreams {config.world!r} (Ctrl-C stops)", flush=True)
        await server.serve_forever()

    asyncio.run(serve_for_ever())


@contextmanager
def background_server(config: ServeConfig) -> Iterator[str]:
    """Serve in a thread of this process, and yield the address: for notebooks, examples and tests."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="genie-env-serve", daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(DreamServer(config).listen(), loop).result()
        try:
            yield address(server)
        finally:
            server.close()
            asyncio.run_coroutine_threadsafe(server.wait_closed(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def address(server: Server) -> str:
    """The URL of a server."""
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"
