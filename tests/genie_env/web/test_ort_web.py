"""The page's runtime is the very version that was tested, wherever it was found, or one sentence says what to do."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
from pathlib import Path

import pytest

from genie_env.web import ort_web

FAKE = {"ort.wasm.bundle.min.mjs": b"export {};", "ort-wasm-simd-threaded.wasm": b"\0asm"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, cache and PATH, and small files for the real ones."""
    (tmp_path / "here").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(ort_web, "CHECKSUMS", {name: hashlib.sha256(data).hexdigest() for name, data in FAKE.items()})


def fill(folder: Path, files: dict[str, bytes] = FAKE) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def make_npm(tmp_path: Path, files: dict[str, bytes]) -> None:
    """An npm whose registry has one package."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    (tmp_path / "packed.tgz").write_bytes(packed.getvalue())
    npm = tmp_path / "bin" / "npm"
    npm.write_text(f'#!/bin/sh\nfor last; do :; done\n/bin/cp {tmp_path / "packed.tgz"} "$last/onnxruntime-web.tgz"\n')
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)


def test_node_modules_of_a_folder_above_are_found(tmp_path: Path) -> None:
    folder = fill(tmp_path / "node_modules" / "onnxruntime-web" / "dist")
    assert ort_web.find_ort_web() == folder


def test_another_version_in_node_modules_is_passed_over_for_the_cache(tmp_path: Path) -> None:
    fill(tmp_path / "node_modules" / "onnxruntime-web" / "dist", dict.fromkeys(FAKE, b"another"))
    assert fill(ort_web.cache_folder()) == ort_web.find_ort_web()


def test_npm_fetches_once(tmp_path: Path) -> None:
    make_npm(tmp_path, FAKE)
    found = ort_web.find_ort_web()
    assert {path.name: path.read_bytes() for path in found.iterdir()} == FAKE
    (tmp_path / "bin" / "npm").unlink()
    assert ort_web.find_ort_web() == found


def test_what_npm_brings_is_checked(tmp_path: Path) -> None:
    make_npm(tmp_path, dict.fromkeys(FAKE, b"something else"))
    with pytest.raises(ValueError, match=r"expected the file of onnxruntime-web 1\.30\.0, got another one"):
        ort_web.find_ort_web()
    assert not ort_web.cache_folder().exists()


def test_without_npm_one_sentence_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"npm is not installed.*npm install onnxruntime-web@1\.30\.0.*--ort-web"):
        ort_web.find_ort_web()


def test_a_given_folder_must_hold_the_tested_files(tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine")
    assert ort_web.find_ort_web(folder) == folder
    (folder / "ort-wasm-simd-threaded.wasm").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"ort-wasm-simd-threaded\.wasm: expected the file of"):
        ort_web.find_ort_web(folder)
    with pytest.raises(ValueError, match=r"ort\.wasm\.bundle\.min\.mjs: missing"):
        ort_web.find_ort_web(tmp_path)


def test_the_copy_says_whose_it_is(tmp_path: Path) -> None:
    ort_web.copy_ort_web(fill(tmp_path / "mine"), tmp_path / "runtime")
    assert sorted(path.name for path in (tmp_path / "runtime").iterdir()) == ["NOTICE.txt", "ort.js", "ort.wasm"]
    assert "MIT" in (tmp_path / "runtime" / "NOTICE.txt").read_text(encoding="utf-8")
