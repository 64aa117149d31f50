"""Serves a page on this machine only, for looking at it before it goes anywhere."""

from __future__ import annotations

import functools
import webbrowser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ADDRESS = "127.0.0.1"


class QuietHandler(SimpleHTTPRequestHandler):
    """Files with the types that browsers insist on, fresh at every visit, without a log line for each."""

    extensions_map = {  # noqa: RUF012 (as the base class declares it)
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Let no browser keep a page of another world under the same address."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def make_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of a folder on the loopback address; port 0 is any free one.

    Raises:
        OSError: if the port is taken.
    """
    return ThreadingHTTPServer((ADDRESS, port), functools.partial(QuietHandler, directory=str(folder)))


def serve(folder: Path, port: int = 0, browse: bool = True) -> None:
    """Serve a folder until Ctrl-C, and open it in the user's browser."""
    with make_server(folder, port) as server:
        address = f"http://{ADDRESS}:{server.server_address[1]}/"
        print(f"{address} (Ctrl-C stops)", flush=True)
        if browse:
            webbrowser.open(address)
        server.serve_forever()
