"""Exported graphs stand on their own, or lean on the bundle they lie in; their contract is written down."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from genie_env.bundle import open_bundle
from genie_env.portable.export import export
from genie_env.portable.step import StepOptions
from tests.helpers.paths import ROOT
from tests.helpers.worlds import make_random_world


def options(world: Path | str) -> StepOptions:
    return StepOptions(open_bundle(world).config.sampling, "real", 5)


def inputs(session: onnxruntime.InferenceSession, rows: int = 2) -> dict[str, np.ndarray]:
    kinds = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
    return {i.name: np.ones([rows, *i.shape[1:]], kinds[i.type]) for i in session.get_inputs()}


def test_a_graph_elsewhere_needs_no_bundle(tmp_path: Path) -> None:
    world = make_random_world(tmp_path / "world")
    files = export(open_bundle(world), tmp_path / "out" / "tiny.onnx", options(world))
    assert [path.name for path in files] == ["tiny.onnx", "tiny.pictures.onnx"]
    shutil.rmtree(world)
    step, pictures = (onnxruntime.InferenceSession(path) for path in files)
    outs = dict(zip([o.name for o in step.get_outputs()], step.run(None, inputs(step)), strict=True))
    assert pictures.run(None, {"tokens": np.asarray(outs["next_tokens"])[:, -1]})[0].shape == (2, 64, 64, 3)


def test_a_disk_that_is_full_after_the_first_graph_leaves_both_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_random_world(tmp_path / "world")
    files = export(open_bundle(world), tmp_path / "out" / "tiny.onnx", options(world))
    for path in files:
        path.write_bytes(path.name.encode())
    write, full = Path.write_bytes, []

    def fills(self: Path, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        full.append(self)
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", fills)
    with pytest.raises(OSError, match=r"No space left.*tiny\.pictures\.onnx"):
        export(open_bundle(world), tmp_path / "out" / "tiny.onnx", options(world))
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {p.name: p.name for p in files}


def test_a_graph_in_the_bundle_stores_no_weights_twice(tmp_path: Path) -> None:
    world = make_random_world(tmp_path / "world")
    inside = export(open_bundle(world), world / "step.onnx", options(world))
    outside = export(open_bundle(world), tmp_path / "step.onnx", options(world))
    weights = (world / "dynamics.safetensors").stat().st_size
    assert outside.step.stat().st_size > inside.step.stat().st_size + weights
    one, other = (onnxruntime.InferenceSession(path) for path in (inside.step, outside.step))
    for a, b in zip(one.run(None, inputs(one)), other.run(None, inputs(other)), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    # The bundle still opens: it does not mind what lies beside its own files.
    assert open_bundle(world).config.name == "random"


def test_a_shipped_world_is_exported_in_less_than_six_megabytes(tmp_path: Path) -> None:
    files = export(open_bundle("pong"), tmp_path / "pong.onnx", options("pong"))
    assert sum(path.stat().st_size for path in files) < 6e6
    for path in files:
        onnx.checker.check_model(onnx.load(path), full_check=True)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a file that ends in \.onnx, got"):
        export(open_bundle("pong"), tmp_path / "pong.pt", options("pong"))


def test_metadata_tells_what_somebody_with_only_the_graph_must_know(tmp_path: Path) -> None:
    files = export(open_bundle("pong"), tmp_path / "pong.onnx", options("pong"))
    found = {entry.key: entry.value for entry in onnx.load(files.step).metadata_props}
    assert found["contract"] == "1" and found["world"] == "pong" and found["num_actions"] == "6"
    assert found["dynamics_sha256"] == open_bundle("pong").checksum("dynamics.safetensors")


def test_the_document_names_every_input_and_output(tmp_path: Path) -> None:
    """``keys_0`` stands there as ``keys_i``; shapes and types are compared too."""
    files = export(open_bundle("pong"), tmp_path / "pong.onnx", options("pong"))
    session = onnxruntime.InferenceSession(files.step)
    kinds = {"tensor(int64)": "int64", "tensor(float)": "float32", "tensor(bool)": "bool"}
    found = {
        (re.sub(r"_\d+$", "_i", value.name), kinds[value.type], len(value.shape))
        for value in (*session.get_inputs(), *session.get_outputs())
    }
    text = (ROOT / "docs" / "portable.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_]+)` \| ([a-z0-9]+) \[([^\]]*)\]", text, re.MULTILINE)
    assert {(name, kind, len(shape.split(","))) for name, kind, shape in rows} == found


def test_the_documents_example_plays_without_genie_env(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "portable.md").read_text(encoding="utf-8")
    code = text.split("```python\n", 1)[1].split("```", 1)[0]
    assert "import genie_env" not in code and "from genie_env" not in code
    world = open_bundle("pong")
    export(world, tmp_path / "pong.onnx", options("pong"))
    shutil.copy(world.folder / "starts.safetensors", tmp_path)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("200 steps")
