"""Whatever byte of a file was not written as it is, the file is named; what is sound is said to be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.specimens import SPECIMENS
from training.verify import verify


@pytest.fixture(scope="module", params=SPECIMENS)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undamaged folder of each kind."""
    folder = tmp_path_factory.mktemp("sound") / request.param
    SPECIMENS[request.param].make(folder)
    return folder


def test_sound_folder_is_sound_and_every_array_and_tensor_has_a_checksum(sound: Path) -> None:
    found = verify(sound)
    large = [path for path in sound.rglob("*") if path.suffix in (".npy", ".safetensors")]
    assert found.damaged == [] and found.num_checksums == len(large) and found.num_files > len(large)


def test_one_bit_anywhere_in_an_array_or_tensor_names_the_file_and_no_other(sound: Path, tmp_path: Path) -> None:
    folder, rng = Path(shutil.copytree(sound, tmp_path / "copy")), np.random.default_rng(0)
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".npy", ".safetensors")):
        whole = path.read_bytes()
        for place in (0, len(whole) - 1, *rng.integers(len(whole), size=4)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.integers(8)]) + whole[place + 1 :])
            assert [error.path for error in verify(folder).damaged] == [str(path)]
        path.write_bytes(whole[:-1])
        assert [error.path for error in verify(folder).damaged] == [str(path)]
        path.write_bytes(whole)
    assert not verify(folder).damaged


def test_missing_file_and_broken_json_are_named(sound: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sound, tmp_path / "copy"))
    for path in sorted(folder.rglob("*.json")):
        whole = path.read_bytes()
        path.write_bytes(whole[:-2])
        assert [error.path for error in verify(folder).damaged] == [str(path)]
        path.write_bytes(whole)
    if sound.name != "run":
        path = next(path for path in sorted(folder.iterdir()) if path.suffix in (".npy", ".safetensors"))
        path.unlink()
        assert [str(error) for error in verify(folder).damaged] == [f"{path}: missing"]


def test_recording_without_checksums_is_still_compared_with_its_manifest(tmp_path: Path) -> None:
    SPECIMENS["recording"].make(tmp_path / "data")
    manifest = tmp_path / "data" / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["sha256"]
    manifest.write_text(json.dumps(content))
    assert not verify(tmp_path / "data").damaged
    content["episodes"][0]["length"] += 1
    manifest.write_text(json.dumps(content))
    assert [error.path for error in verify(tmp_path / "data").damaged] == [str(manifest)]


def test_manifest_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "config.json").write_text('{"sha256": {"../secret": "0", "/etc/passwd": "0", "..": "0"}}')
    assert verify(tmp_path / "data").damaged == []


def test_folder_with_nothing_to_verify_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match="expected a recording, tokens, a bundle, a run or a policy"):
            verify(folder)


def test_command_prints_one_line_for_each_damaged_file_and_ends_with_its_status(tmp_path: Path) -> None:
    def command(folder: Path) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-m", "training.verify", str(folder)]
        return subprocess.run(call, capture_output=True, text=True, check=False, env=os.environ)

    SPECIMENS["recording"].make(tmp_path / "data")
    done = command(tmp_path / "data")
    assert done.returncode == 0 and "11 files are sound, 10 by a recorded checksum" in done.stdout
    for name in ("00000.frames.npy", "00001.rewards.npy"):
        (tmp_path / "data" / name).write_bytes(b"damaged")
    done = command(tmp_path / "data")
    assert done.returncode == 1 and not done.stdout
    assert [line.split(": ")[0][-16:] for line in done.stderr.splitlines()] == ["00000.frames.npy", "0001.rewards.npy"]
    assert command(tmp_path / "nowhere").returncode == 2
