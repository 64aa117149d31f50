"""The step in a web page: a real headless Chromium, one thread of WebAssembly."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genie_env.bundle import open_bundle

STEP = """(async () => {{
  await game.dream.reset(0n);
  const times = [];
  for (let i = 0; i < {steps}; i++) {{
    const begun = performance.now();
    await game.dream.step(i % game.info.actions.length);
    times.push(performance.now() - begun);
  }}
  return times;
}})()"""


class PageSpeed(NamedTuple):
    """Speed of a world in a browser."""

    steps_per_second: float
    """By the median step."""
    p50_ms: float
    p99_ms: float
    first_picture_s: float
    """From asking for the page on this machine to its first picture."""
    page_mb: float
    """Page and world without the runtime."""


def measure_page(name: str, num_steps: int) -> PageSpeed:
    """Write a world's page, open it in Chromium and time its steps.

    Raises:
        ValueError: without Chromium or onnxruntime-web.
        ImportError: without onnx.
    """
    from genie_env.portable.step import StepOptions
    from genie_env.web.chromium import chromium
    from genie_env.web.server import make_server
    from genie_env.web.site import write_site

    bundle = open_bundle(name)
    kind = "latent" if bundle.config.action_map is None else "real"
    with tempfile.TemporaryDirectory() as folder:
        site = write_site(bundle, Path(folder) / "site", StepOptions(bundle.config.sampling, kind, 5))
        files = [path for path in site.rglob("*") if path.is_file() and path.parent.name != "runtime"]
        size = sum(path.stat().st_size for path in files)
        with make_server(site) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                with chromium() as tab:
                    begun = time.perf_counter()
                    tab.visit(f"http://127.0.0.1:{server.server_address[1]}/")
                    tab.wait_for("window.ready || window.failed")
                    opened = time.perf_counter() - begun
                    times = np.array(tab.run(STEP.format(steps=num_steps)))
            finally:
                server.shutdown()
    p50, p99 = np.percentile(times, (50, 99))
    return PageSpeed(1000 / float(p50), float(p50), float(p99), opened, size / 1e6)
