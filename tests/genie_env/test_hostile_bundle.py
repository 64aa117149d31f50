"""A bundle from anywhere costs nothing until it is known to be sound, and never makes anything be imported or run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.real_env import make_real_env
from genie_env.bundle import load_world, read_config
from genie_env.files.errors import FileError
from genie_env.world import World
from tests.genie_env.test_bundle import TENSOR_FILES, WEIGHTS, edit_manifest, edit_tensors, refused, set_field


@pytest.fixture
def bundle(random_world: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(random_world, tmp_path / "bundle"))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Where worlds were built while the test ran."""
    devices: list[torch.device] = []
    init = World.__init__

    def counted(self: World, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        devices.append(self.dynamics.device)

    monkeypatch.setattr(World, "__init__", counted)
    return devices


HUGE = [
    (("latent_action", "image_size"), 4096),
    (("dynamics", "window"), 10**7),
    (("dynamics", "head_layers"), 10**6),
    (("outcome", "width"), 10**7),
    (("latent_action", "channels"), 10**9),
    (("source", "frame_skip"), 10**9),
    (("sampling", "decode_steps"), 10**9),
    (("tokenizer", "levels"), [10**9] * 10),
    (("outcome", "rewards"), [0.0] * 10**5),
]


@pytest.mark.parametrize(("path", "value"), HUGE, ids=[".".join(path) for path, _ in HUGE])
def test_huge_number_is_refused_before_any_network_is_built(
    bundle: Path, built: list[torch.device], path: tuple[str, ...], value: Any
) -> None:
    if path[1] == "levels":
        edit_manifest(bundle, set_field("tokenizer", "kind", value="fsq"))
    edit_manifest(bundle, set_field(*path, value=value))
    refused(bundle, "config.json", path[1])
    assert not built


LARGE = [
    ("dynamics", {"width": 16_000, "num_heads": 2, "window": 16}),
    ("dynamics", {"num_layers": 64}),
    ("dynamics", {"head_layers": 64}),
    ("latent_action", {"channels": 1024}),
    ("latent_action", {"code_dim": 4096}),
    ("outcome", {"width": 2**14}),
    ("outcome", {"token_dim": 4096}),
]


@pytest.mark.parametrize(("network", "fields"), LARGE, ids=[f"{n}.{next(iter(f))}" for n, f in LARGE])
def test_large_network_that_the_file_does_not_hold_is_built_for_its_shapes_only(
    bundle: Path, built: list[torch.device], network: str, fields: dict[str, int]
) -> None:
    for name, value in fields.items():
        edit_manifest(bundle, set_field(network, name, value=value))
    refused(bundle, f"{network}.safetensors")
    assert built == [torch.device("meta")]


def as_ensemble(bundle: Path, **fields: Any) -> None:
    """Let the configuration of a bundle say that its dynamics is an ensemble."""
    for name, value in {"kind": "ensemble", **fields}.items():
        edit_manifest(bundle, set_field("dynamics", name, value=value))


@pytest.mark.parametrize(
    "fields",
    [
        {"members": 10**9},
        {"members": 1},
        {"members": -3},
        {"members": 16, "num_layers": 64},
        {"members": 3, "member_kind": "os.system"},
        {"members": [3]},
        {"kind": ["ensemble"]},
        {"kind": "transformer", "members": 3},
    ],
    ids=str,
)
def test_ensemble_that_cannot_be_is_refused_before_any_network_is_built(
    bundle: Path, built: list[torch.device], fields: dict[str, Any]
) -> None:
    as_ensemble(bundle, **fields)
    refused(bundle, "config.json")
    assert not built


@pytest.mark.parametrize("fields", [{"members": 3}, {"members": 16, "member_kind": "heads"}], ids=str)
def test_members_that_the_file_does_not_hold_are_built_for_their_shapes_only(
    bundle: Path, built: list[torch.device], fields: dict[str, Any]
) -> None:
    as_ensemble(bundle, **fields)
    refused(bundle, "dynamics.safetensors")
    assert built == [torch.device("meta")]


def test_ensemble_with_another_number_of_members_is_refused(ensemble_world: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(ensemble_world, tmp_path / "copied"))
    for members in (2, 4):
        edit_manifest(copied, set_field("dynamics", "members", value=members))
        refused(copied, "dynamics.safetensors", "unknown tensors" if members == 2 else "missing tensors")


@pytest.mark.parametrize("name", WEIGHTS[1:])
@pytest.mark.parametrize("value", [1e300, -1e300, 1e5])
def test_weight_too_large_for_half_precision_is_refused(bundle: Path, name: str, value: float) -> None:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        last = sorted(key for key, tensor in tensors.items() if tensor.is_floating_point())[-1]
        tensors[last] = torch.full_like(tensors[last], value, dtype=torch.float64)

    edit_tensors(bundle, name, edit)
    refused(bundle, name, "too large")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("outcome", "rewards"), [0.0, float("nan"), 1.0]),
        (("outcome", "rewards"), [0.0, float("inf"), 1.0]),
        (("source", "fps"), float("inf")),
        (("source", "fps"), float("nan")),
        (("sampling", "temperature"), float("inf")),
    ],
)
def test_number_that_is_not_finite_is_refused_when_the_bundle_is_opened(
    bundle: Path, path: tuple[str, ...], value: Any
) -> None:
    edit_manifest(bundle, set_field(*path, value=value))
    refused(bundle, "config.json", path[-1], "expected a number")


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


@pytest.mark.skipif(os.name != "posix", reason="makes files that only POSIX has")
@pytest.mark.parametrize("name", ["config.json", *TENSOR_FILES])
@pytest.mark.parametrize(
    ("kind", "word"), [("folder", "a folder"), ("fifo", "a FIFO"), ("device", "a device"), ("loop", "cannot be read")]
)
def test_what_is_no_regular_file_is_refused_at_once(bundle: Path, name: str, kind: str, word: str) -> None:
    makers: dict[str, Callable[[Path], object]] = {
        "folder": Path.mkdir,
        "fifo": os.mkfifo,
        "device": lambda path: path.symlink_to("/dev/zero"),
        "loop": lambda path: path.symlink_to(path),
    }
    replaced(bundle / name, makers[kind])
    if kind == "loop" and name == "config.json":
        with pytest.raises(ValueError, match="bundle"):
            load_world(bundle, device="cpu")
    else:
        refused(bundle, name, word)


def test_deeply_nested_configuration_is_refused(bundle: Path) -> None:
    for text in ("[" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000):
        (bundle / "config.json").write_text(text)
        refused(bundle, "config.json", "the JSON of a world bundle")


def test_bundle_never_makes_a_module_be_imported(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = bundle / "trap_of_the_bundle.py"
    trap.write_text("from pathlib import Path\nPath(__file__).with_name('sprung').touch()\n")
    monkeypatch.syspath_prepend(str(bundle))
    for env_id in ("trap_of_the_bundle:Game-v0", "GymV26Environment-v0"):
        edit_manifest(bundle, set_field("source", "env_id", value=env_id))
        for use in (load_world, read_config, make_real_env):
            with pytest.raises(FileError, match=r"config\.json: env_id: expected the id of a registered game"):
                use(bundle)
    assert not (bundle / "sprung").exists()
