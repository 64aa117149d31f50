"""``genie-env export`` and ``genie-env web`` write what they promise, and refuse in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import onnxruntime
import pytest

from genie_env.cli import main
from genie_env.web import ort_web
from tests.helpers.paths import ROOT


@pytest.fixture
def fake_ort_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "ort_web"
    folder.mkdir()
    for name in ort_web.CHECKSUMS:
        (folder / name).write_bytes(b"runtime")
    monkeypatch.setattr(ort_web, "CHECKSUMS", {name: ort_web.checksum(folder / name) for name in ort_web.CHECKSUMS})
    return str(folder)


def test_export_writes_both_graphs(
    random_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(random_world), "--action-type", "latent", "--decode-steps", "2"]) == 0
    assert (tmp_path / "random.onnx").exists()
    metadata = onnxruntime.InferenceSession("random.onnx").get_modelmeta().custom_metadata_map
    assert metadata["action_type"] == "latent" and '"decode_steps": 2' in metadata["sampling"]
    assert "random.pictures.onnx" in capsys.readouterr().out


def test_web_writes_a_page(random_world: Path, tmp_path: Path, fake_ort_web: str) -> None:
    words = ["web", str(random_world), "--out", str(tmp_path / "site"), "--ort-web", fake_ort_web]
    assert main(words) == 0
    assert (tmp_path / "site" / "index.html").exists()
    assert main(words) == 2 and main([*words, "--replace"]) == 0


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["export", "--out", "pong.pt"], "expected a file that ends in .onnx"),
        (["export", "nowhere"], "expected one of the bundled worlds"),
        (["export", "--decode-steps", "0"], "decode_steps: expected an integer"),
        (["web", "--ort-web", "nowhere"], "missing"),
    ],
)
def test_mistakes_are_one_line(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert problem in error and error.count("\n") == 1


def test_web_without_out_serves_the_page_until_it_is_interrupted(
    random_world: Path, tmp_path: Path, fake_ort_web: str
) -> None:
    code = (
        "import sys\nfrom genie_env.cli import main\nfrom genie_env.web import ort_web\n"
        f"ort_web.CHECKSUMS = {ort_web.CHECKSUMS!r}\nsys.exit(main(sys.argv[1:]))"
    )
    words = ["web", str(random_world), "--ort-web", fake_ort_web, "--no-browse"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().split()[0]
        with urllib.request.urlopen(address + "world/world.json") as answer:
            assert b'"random"' in answer.read()
    finally:
        process.send_signal(signal.SIGINT)
        process.stdout.close()
    assert process.wait(timeout=60) == 130
    until = time.monotonic() + 10
    while list(tmp_path.glob("genie-env-*")) and time.monotonic() < until:
        time.sleep(0.1)
    assert not list(tmp_path.glob("genie-env-*")), "the temporary folder is gone"
