"""A real headless Chromium, driven through the pipe of its DevTools protocol: no driver, no package, no port."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--remote-debugging-pipe",
)
PATIENCE_S = 120.0
POLL_S = 0.05


class BrowserError(OSError):
    """There is no browser, it went away, or a page's script failed."""


def find_chromium() -> str | None:
    """Path of the browser, or None."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Tab:
    """One page. Errors of its scripts are kept in ``errors``, addresses it asked for in ``requests``."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._rest = write, read, b""
        self._numbers, self._session = itertools.count(1), ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self._send("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = self._send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")

    def before_load(self, script: str) -> None:
        """Run a script in every page from now on, before its own."""
        self._send("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    def visit(self, address: str) -> None:
        """Go to an address, by way of an empty page: only what follows the # may be another one."""
        for place in ("about:blank", address):
            self._send("Page.navigate", {"url": place})
            self.wait_for("document.readyState !== 'loading'")

    def run(self, script: str) -> Any:
        """Value of an expression, awaited if it is a promise.

        Raises:
            BrowserError: if it throws.
        """
        given = {"expression": script, "awaitPromise": True, "returnByValue": True}
        answer = self._send("Runtime.evaluate", given)
        if "exceptionDetails" in answer:
            raise BrowserError(_message(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = PATIENCE_S) -> None:
        """Wait until an expression holds.

        Raises:
            BrowserError: if it does not within so many seconds.
        """
        until = time.monotonic() + seconds
        while not self._holds(script):
            if time.monotonic() > until:
                raise BrowserError(f"{script} did not hold within {seconds:g} s ({'; '.join(self.errors)[:300]})")
            time.sleep(POLL_S)

    def _holds(self, script: str) -> bool:
        try:
            return self.run(f"Boolean({script})")
        except BrowserError as error:
            # Between two pages there is nothing that a script could run in.
            if "context" not in str(error):
                raise
            return False

    def key(self, key: str, kind: str = "keyDown") -> None:
        """Press or release (``keyUp``) a key, by the name that pages see."""
        text = {"text": key} if len(key) == 1 and kind == "keyDown" else {}
        self._send("Input.dispatchKeyEvent", {"type": kind, "key": key, **text})

    def touch(self, x: float, y: float, kind: str = "touchStart") -> None:
        """Put a finger down, or take it away (``touchEnd``)."""
        points = [{"x": x, "y": y}] if kind != "touchEnd" else []
        self._send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def resize(self, width: int, height: int, mobile: bool = False, scheme: str = "dark") -> None:
        """Become a screen of another size, for a finger where ``mobile``."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self._send("Emulation.setDeviceMetricsOverride", size)
        self._send("Emulation.setTouchEmulationEnabled", {"enabled": mobile})
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._send("Emulation.setEmulatedMedia", {"features": features})

    def screenshot(self) -> bytes:
        """PNG of what is to be seen."""
        return base64.b64decode(self._send("Page.captureScreenshot", {"format": "png"})["data"])

    def _send(self, method: str, given: dict[str, Any] | None = None) -> Any:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": given or {}}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE_S
        while True:
            answer = self._receive(until)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]

    def _receive(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self._read, 1 << 20) if ready else b""
            if not part:
                raise BrowserError("the browser is gone, or does not answer")
            self._rest += part
        one, self._rest = self._rest.split(b"\0", 1)
        answer = json.loads(one)
        self._note(answer.get("method"), answer.get("params", {}))
        return answer

    def _note(self, method: str | None, event: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.errors.append(_message(event["exceptionDetails"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            self.errors.append(event["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(event["request"]["url"])


def _message(details: dict[str, Any]) -> str:
    return details.get("exception", {}).get("description") or details["text"]


@contextlib.contextmanager
def chromium() -> Iterator[Tab]:
    """A browser with a fresh profile and one page.

    Raises:
        BrowserError: if there is none.
    """
    program = find_chromium()
    if program is None:
        raise BrowserError(f"expected one of {list(PROGRAMS)}, found none: install Chromium")
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser reads commands from descriptor 3 and answers to 4. Its sandbox does not work for root.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{to_us}'
        flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), f"--user-data-dir={Path(profile) / 'new'}"]
        browser = subprocess.Popen(
            ["bash", "-c", script, program, *flags],
            pass_fds=(to_browser, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(to_us)
        try:
            yield Tab(from_us, from_browser)
        finally:
            browser.terminate()
            browser.wait(timeout=30)
            os.close(from_us)
            os.close(from_browser)
