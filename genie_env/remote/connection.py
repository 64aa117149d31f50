"""A client's connection to a server of dreams: one request, one answer, every failure one error.

Owns the socket and what is read from it; knows nothing of spaces and Gymnasium. The server is not trusted either.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gymnasium as gym

from genie_env.remote.access import is_loopback, read_token
from genie_env.remote.libraries import ConnectionClosed, InvalidStatus, WebSocketException, connect
from genie_env.remote.wire import ProtocolError, one_line, pack, quoted, unpack

ANSWER_SECONDS = 120.0
"""Longest wait for an answer; the first reset opens a world."""
ANSWER_BYTES = 256 * 2**20
"""Largest answer that is read: five thousand frames."""


class RemoteError(gym.error.Error, ValueError):
    """The server cannot be reached, refuses, or answers nonsense."""


class Connection:
    """Asks one server; not for several threads at once."""

    def __init__(self, url: str, token_file: str | None = None) -> None:
        """Connect.

        Args:
            url: ``ws://host:port``, or ``wss://…`` where a proxy in front of the server encrypts.
            token_file: file with the server's token.

        Raises:
            RemoteError: if nothing answers there, or the server refuses.
            ValueError: if the token cannot be read.
        """
        self.url, self._stack = url, ExitStack()
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise RemoteError(f"url: expected ws://host:port or wss://host:port, got {url!r}")
        headers = {} if token_file is None else {"Authorization": f"Bearer {read_token(Path(token_file))}"}
        near = is_loopback(parts.hostname)
        try:
            self._socket = self._stack.enter_context(
                connect(
                    url,
                    additional_headers=headers,
                    # Deflating takes longer than a loopback, and less time than most networks.
                    compression=None if near else "deflate",
                    proxy=None if near else True,
                    max_size=ANSWER_BYTES,
                    close_timeout=1.0,
                )
            )
        except InvalidStatus as error:
            said = one_line((error.response.body or b"").decode("utf-8", "replace"))
            hint = "; name its file with token_file" if error.response.status_code == 401 else ""
            raise RemoteError(f"{url}: refused with status {error.response.status_code} ({said}){hint}") from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise RemoteError(
                f"{url}: no world is served there ({one_line(str(error))}); start one with genie-env serve"
            ) from None

    def ask(self, op: str, **fields: Any) -> Any:
        """Send a request and wait for what comes of it.

        Raises:
            RemoteError: if the connection ends, or the answer is none.
            ValueError: if the server refuses the request; the dreams are as they were.
        """
        request = pack({"op": op, **fields})
        try:
            self._socket.send(request)
            answer = unpack(self._socket.recv(timeout=ANSWER_SECONDS))
        except ConnectionClosed as error:
            raise RemoteError(f"{self.url}: {self._last_words(error)}") from None
        except (TimeoutError, ProtocolError) as error:
            # A late answer would be taken for that to the next request.
            self.close()
            raise RemoteError(f"{self.url}: {one_line(str(error)) or 'no answer'}; the connection is closed") from None
        if set(answer) == {"error"} and isinstance(answer["error"], str):
            raise ValueError(f"{self.url}: {one_line(answer['error'])}")
        if set(answer) != {"ok"}:
            self.close()
            raise RemoteError(f"{self.url}: expected an answer, got {quoted(answer)}; the connection is closed")
        return answer["ok"]

    def close(self) -> None:
        """End the connection. May be called again."""
        self._stack.close()

    def _last_words(self, error: ConnectionClosed) -> str:
        """The error that a server sends before it closes, which may still lie unread."""
        try:
            answer = unpack(self._socket.recv(timeout=0))
            return f"{one_line(str(answer.get('error')))}; the server has closed the connection"
        except (ConnectionClosed, TimeoutError, ProtocolError):
            closed = error.rcvd
            reason = one_line(closed.reason) if closed is not None and closed.reason else "no reason given"
            return f"the connection has ended ({reason}); make the environment again"
