"""The two files of onnxruntime-web that a page needs: found, or fetched by npm once and kept, and always checked.

They are code, so only the very files of :data:`VERSION` are taken, wherever they lie.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from genie_env.files.atomic import whole_folder
from genie_env.files.errors import FileError
from genie_env.files.reading import checksum

VERSION = "1.30.0"
PACKAGE = "onnxruntime-web"
NPM_SECONDS = 300
MAX_BYTES = 2**26
CHECKSUMS = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
NAMES = dict(zip(CHECKSUMS, ("ort.js", "ort.wasm"), strict=True))
"""What the page calls them: every server knows what a ``.js`` file is."""


def find_ort_web(folder: Path | None = None) -> Path:
    """Folder with the files of :data:`CHECKSUMS`.

    Args:
        folder: where they are; None looks into ``node_modules`` of the present folder and those above it, then into
            the user's cache, which npm fills if need be.

    Raises:
        ValueError: if they are another version's, or nowhere and npm cannot fetch them; says what to do.
    """
    if folder is not None:
        _check(folder)
        return folder
    for place in _places():
        if _is_right(place):
            return place
    return _fetch(cache_folder())


def cache_folder() -> Path:
    """Where fetched files are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "genie-env" / f"{PACKAGE}-{VERSION}"


def copy_ort_web(source: Path, target: Path) -> None:
    """Copy the files under the names that the page uses, and say whose they are."""
    target.mkdir(parents=True, exist_ok=True)
    for name, new in NAMES.items():
        shutil.copyfile(source / name, target / new)
    notice = f"ort.js and ort.wasm are {PACKAGE} {VERSION}, copyright Microsoft Corporation, MIT license.\n"
    (target / "NOTICE.txt").write_text(notice, encoding="utf-8")


def _places() -> Iterator[Path]:
    here = Path.cwd()
    for above in (here, *here.parents):
        yield above / "node_modules" / PACKAGE / "dist"
    yield cache_folder()


def _is_right(folder: Path) -> bool:
    try:
        _check(folder)
    except FileError:
        return False
    return True


def _check(folder: Path) -> None:
    for name, expected in CHECKSUMS.items():
        if checksum(folder / name) != expected:
            raise FileError(folder / name, f"expected the file of {PACKAGE} {VERSION}, got another one")


def _fetch(target: Path) -> Path:
    with tempfile.TemporaryDirectory() as temporary:
        command = ["npm", "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", temporary]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=NPM_SECONDS, check=False)
            reason = (done.stderr.strip().splitlines() or ["npm failed"])[-1] if done.returncode else ""
        except FileNotFoundError:
            reason = "npm is not installed"
        except subprocess.TimeoutExpired:
            reason = f"npm took longer than {NPM_SECONDS} s"
        packed = next(Path(temporary).glob("*.tgz"), None)
        if packed is None:
            raise ValueError(
                f"{PACKAGE} {VERSION}, which the page runs on, is not here and could not be fetched ({reason[:200]}): "
                f"run 'npm install {PACKAGE}@{VERSION}' in this folder, or give its dist folder with --ort-web"
            )
        with whole_folder(target, replace=True) as partial:
            _unpack(packed, partial)
            _check(partial)
    return target


def _unpack(packed: Path, folder: Path) -> None:
    """Take the files of :data:`CHECKSUMS`, and nothing else, out of an archive."""
    try:
        with tarfile.open(packed) as archive:
            for name in CHECKSUMS:
                member = archive.extractfile(f"package/dist/{name}")
                if member is None or archive.getmember(f"package/dist/{name}").size > MAX_BYTES:
                    raise FileError(packed, f"expected a file package/dist/{name} of at most {MAX_BYTES} bytes")
                (folder / name).write_bytes(member.read())
    except (KeyError, tarfile.TarError) as error:
        raise FileError(packed, f"expected the package {PACKAGE} {VERSION} ({error})") from None
