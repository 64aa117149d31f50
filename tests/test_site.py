"""The site builds without a warning, its links lead somewhere, and the worlds of its gallery play in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from genie_env.bundle import bundled_worlds
from genie_env.web.chromium import chromium, find_chromium
from genie_env.web.ort_web import find_ort_web
from genie_env.web.server import make_server
from tests.helpers.paths import ROOT


class Page(HTMLParser):
    """Addresses that a page links to, and the anchors it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [address for name in ("href", "src") if (address := given.get(name))]
        self.anchors |= {name for name in (given.get("id"), given.get("name")) if name}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make site`` builds it."""
    pytest.importorskip("mkdocs", reason="the extra 'site' is not installed")
    try:
        find_ort_web()
    except ValueError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = make_server(site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_every_link_leads_to_a_file_and_a_section_of_the_site(site: Path) -> None:
    # The page that a server shows for a wrong address has links that begin at its root.
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 20
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].anchors if target in pages else set()
            if not target.exists() or (parts.fragment and target in pages and unquote(parts.fragment) not in known):
                wrong.append(f"{path.relative_to(site)}: {link}")
    assert not wrong


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """Readers of the documents are nobody's business, and the site works without a network."""
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert 'src="http' not in text and "fonts.googleapis" not in text, path.name


def test_the_gallery_opens_every_bundled_world_and_it_is_played(address: str) -> None:
    if find_chromium() is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with chromium() as tab:
        for world in bundled_worlds():
            tab.visit(f"{address}/gallery.html")
            assert tab.run("[...document.images].every(image => image.naturalWidth > 0)")
            tab.run(f"document.querySelector('a[href=\"play/{world}/index.html\"]').click()")
            tab.wait_for("window.ready || window.failed")
            tab.run("document.getElementById('play').click()")
            tab.wait_for("Number(document.getElementById('steps').textContent) > 5")
            assert not tab.errors and tab.run("window.failed") is None
            assert {urlsplit(asked).netloc for asked in tab.requests} <= {urlsplit(address).netloc, ""}
