"""A bundle is whole or refused: what is damaged is named, nothing in it is ever executed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from genie_env.bundle import BUNDLED, bundled_worlds, find_world, load_world, read_config, save_world
from genie_env.config import NETWORKS, TokenizerConfig
from tests.helpers.disks import read_only, tiny_disk
from tests.helpers.kills import kills
from tests.helpers.worlds import VOCAB, ensemble_config, make_random_world, random_config, random_world

WEIGHTS = [f"{network}.safetensors" for network in NETWORKS]
TENSOR_FILES = [*WEIGHTS, "starts.safetensors"]


@pytest.fixture
def bundle(random_world: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(random_world, tmp_path / "bundle"))


def edit_manifest(bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((bundle / "config.json").read_text())
    edit(manifest)
    (bundle / "config.json").write_text(json.dumps(manifest))


def correct_checksum(bundle: Path, name: str) -> None:
    digest = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    edit_manifest(bundle, lambda manifest: manifest["sha256"].update({name: digest}))


def edit_tensors(bundle: Path, name: str, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change a file of tensors as a forger would, checksum included."""
    tensors = load_file(bundle / name)
    edit(tensors)
    save_file(tensors, bundle / name)
    correct_checksum(bundle, name)


def refused(bundle: Path, name: str, *words: str) -> None:
    """Loading says which file is wrong, and the words say why."""
    with pytest.raises(ValueError) as caught:
        load_world(bundle, device="cpu")
    message = str(caught.value)
    assert str(bundle / name) in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("member_kind", [None, "networks", "heads"])
def test_saved_world_loads_equal(tmp_path: Path, member_kind: str | None) -> None:
    ensemble = {} if member_kind is None else {"dynamics": ensemble_config(member_kind=member_kind)}
    world = random_world(**ensemble)
    loaded = load_world(save_world(world, tmp_path / "a", card="# card\n"), device="cpu")
    assert loaded.config == world.config and (tmp_path / "a" / "README.md").read_text() == "# card\n"
    for saved, read in zip(world.starts, loaded.starts, strict=True):
        assert read.dtype == torch.int64 and torch.equal(saved, read)
    for name, tensor in world.state_dict().items():
        read = loaded.state_dict()[name]
        assert read.dtype == tensor.dtype
        assert torch.equal(read, tensor.half().to(tensor.dtype) if tensor.is_floating_point() else tensor)
    # What came out of half precision goes back into it unchanged.
    again = load_world(save_world(loaded, tmp_path / "b"), device="cpu")
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    for network in TENSOR_FILES[1:]:
        assert (tmp_path / "a" / network).stat().st_size == (tmp_path / "b" / network).stat().st_size
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())


def test_weights_are_stored_in_half_precision(bundle: Path) -> None:
    for name in WEIGHTS:
        dtypes = {tensor.dtype for tensor in load_file(bundle / name).values()}
        assert dtypes <= {torch.float16, torch.uint8}
    size = sum(file.stat().st_size for file in bundle.iterdir())
    values = sum(tensor.numel() for tensor in random_world().state_dict().values())
    assert size < 2 * values + 50_000


def test_fsq_world_loads_equal_too(tmp_path: Path) -> None:
    tokenizer = TokenizerConfig(kind="fsq", vocab_size=VOCAB, levels=(4, 4, 2), channels=8)
    loaded = load_world(make_random_world(tmp_path / "fsq", tokenizer=tokenizer), device="cpu")
    frames = np.random.default_rng(0).integers(0, 256, (1, 2, 64, 64, 3), dtype=np.uint8)
    assert loaded.config.tokenizer == tokenizer and loaded.encode(frames).shape == (1, 2, 64)


def test_fsq_world_of_an_older_version_is_what_it_was(tmp_path: Path) -> None:
    shape = {"kind": "fsq", "vocab_size": VOCAB, "levels": (4, 4, 2), "channels": 8}
    made = TokenizerConfig(**shape, encoder="overlapping", steadiness=0.0)
    folder = make_random_world(tmp_path / "fsq", tokenizer=made)
    frames = np.random.default_rng(0).integers(0, 256, (1, 2, 64, 64, 3), dtype=np.uint8)
    expected = load_world(folder, device="cpu").encode(frames)
    manifest = json.loads((folder / "config.json").read_text())
    # They did not say which encoder they have.
    del manifest["world"]["tokenizer"]["encoder"], manifest["world"]["tokenizer"]["steadiness"]
    (folder / "config.json").write_text(json.dumps(manifest))
    loaded = load_world(folder, device="cpu")
    assert loaded.config.tokenizer == made and torch.equal(loaded.encode(frames), expected)


@pytest.mark.parametrize("name", TENSOR_FILES)
def test_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    refused(bundle, name, "missing")


@pytest.mark.parametrize("name", TENSOR_FILES)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_truncated_file_is_named(bundle: Path, name: str, kept: float) -> None:
    whole = (bundle / name).read_bytes()
    (bundle / name).write_bytes(whole[: int(kept * len(whole))])
    refused(bundle, name, "sha256")


@pytest.mark.parametrize("name", TENSOR_FILES)
def test_one_edited_byte_is_noticed(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[-1] ^= 1
    (bundle / name).write_bytes(content)
    refused(bundle, name, "sha256")


@pytest.mark.parametrize("name", TENSOR_FILES)
def test_file_that_is_no_safetensors_is_named(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"not tensors")
    correct_checksum(bundle, name)
    refused(bundle, name, "safetensors")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "\x00", '{"format_version": 1}', '{"format_version": 1, "sha256": {}}']
)
def test_manifest_that_is_none_is_named(bundle: Path, text: str) -> None:
    (bundle / "config.json").write_text(text)
    refused(bundle, "config.json")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_other_version_is_named(bundle: Path, version: Any) -> None:
    edit_manifest(bundle, lambda manifest: manifest.update(format_version=version))
    refused(bundle, "config.json", "format_version", repr(version))


def set_field(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(manifest: dict[str, Any]) -> None:
        target = manifest["world"]
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return edit


BAD_FIELDS = [
    (("surprise",), 1, "surprise"),
    (("dynamics", "surprise"), 1, "surprise"),
    (("dynamics", "width"), "wide", "width"),
    (("dynamics", "width"), 33, "width"),
    (("dynamics", "group"), 0, "group"),
    (("dynamics", "num_heads"), 0, "num_heads"),
    (("dynamics", "head_layers"), -1, "head_layers"),
    (("dynamics", "num_actions"), 5, "num_actions"),
    (("tokenizer", "patch_size"), 0, "patch_size"),
    (("tokenizer", "vocab_size"), 64, "vocab_size"),
    (("tokenizer", "kind"), "jpeg", "jpeg"),
    (("outcome", "rewards"), [], "rewards"),
    (("latent_action",), None, "LatentActionConfig"),
    (("sampling", "temperature"), -1.0, "temperature"),
    (("sampling", "temperature"), float("nan"), "temperature"),
    (("format_version",), 2, "format 2"),
    (("action_map", "real_to_latent"), [0, 1], "real_to_latent"),
    (("action_map", "real_to_latent"), [0, 1, 3], "real_to_latent"),
    (("action_map", "latent_to_real"), [0, 1, 3], "latent_to_real"),
    (("action_map", "latent_to_real"), [0, 1], "latent_to_real"),
    (("action_map", "real_to_latent_after"), [[0, 1, 2]], "real_to_latent_after"),
    (("action_map", "latent_to_real_after"), [[0, 1, 3]] * 3, "latent_to_real_after"),
    (("source", "keys"), {"up": 3}, "keys"),
    (("source", "fps"), 0.0, "fps"),
]


@pytest.mark.parametrize(("path", "value", "word"), BAD_FIELDS, ids=[".".join(p) + f"={v}" for p, v, _ in BAD_FIELDS])
def test_bad_field_of_the_configuration_names_the_file(
    bundle: Path, path: tuple[str, ...], value: Any, word: str
) -> None:
    edit_manifest(bundle, set_field(*path, value=value))
    refused(bundle, "config.json", word)
    with pytest.raises(ValueError, match=word):
        read_config(bundle)


def test_missing_field_of_the_configuration_names_the_file(bundle: Path) -> None:
    edit_manifest(bundle, lambda manifest: manifest["world"].pop("outcome"))
    refused(bundle, "config.json", "outcome")


@pytest.mark.parametrize("name", WEIGHTS)
def test_missing_unknown_and_misshapen_tensors_are_named(bundle: Path, name: str) -> None:
    original = (bundle / name).read_bytes()
    first = sorted(load_file(bundle / name))[0]
    edit_tensors(bundle, name, lambda tensors: tensors.pop(first))
    refused(bundle, name, "missing", first)
    (bundle / name).write_bytes(original)
    edit_tensors(bundle, name, lambda tensors: tensors.update(surprise=torch.zeros(1)))
    refused(bundle, name, "unknown", "surprise")
    (bundle / name).write_bytes(original)
    edit_tensors(bundle, name, lambda t: t.update({first: t[first].flatten()[None].contiguous()}))
    refused(bundle, name, first, "expected")


@pytest.mark.parametrize("name", WEIGHTS)
def test_tensor_of_another_kind_is_named(bundle: Path, name: str) -> None:
    first = sorted(load_file(bundle / name))[0]

    def edit(tensors: dict[str, torch.Tensor]) -> None:
        # Wider integers would wrap around silently, floats would be cut off.
        tensors[first] = tensors[first].int()

    edit_tensors(bundle, name, edit)
    refused(bundle, name, first, "int32")


@pytest.mark.parametrize("name", WEIGHTS[1:])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weight_that_is_not_finite_is_named(bundle: Path, name: str, value: float) -> None:
    last = sorted(load_file(bundle / name))[-1]
    edit_tensors(bundle, name, lambda tensors: tensors[last].view(-1)[-1:].fill_(value))
    refused(bundle, name, last, "finite")


def test_start_prompts_that_do_not_fit_are_refused(bundle: Path) -> None:
    name = "starts.safetensors"
    original = (bundle / name).read_bytes()
    for edit in (
        lambda t: t.update(tokens=t["tokens"][:, :, :-1].contiguous()),
        lambda t: t.update(tokens=t["tokens"][:0]),
        lambda t: t.update(actions=t["actions"][:, :0]),
        lambda t: t["tokens"].view(-1)[-1:].fill_(VOCAB),
        lambda t: t["actions"].view(-1)[:1].fill_(-1),
        lambda t: t.update(tokens=t["tokens"] + 0.5),
        lambda t: t.pop("actions"),
    ):
        (bundle / name).write_bytes(original)
        edit_tensors(bundle, name, edit)
        refused(bundle, name, "expected")


class Trap:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, (Path("sprung"),))


def test_pickle_is_never_opened(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle.parent)
    trap = pickle.dumps(Trap())
    for name in ("dynamics.pt", "dynamics.pkl", "model.pth", "pytorch_model.bin", "data.pkl"):
        (bundle / name).write_bytes(trap)
    load_world(bundle, device="cpu")
    for name in TENSOR_FILES:
        original = (bundle / name).read_bytes()
        (bundle / name).write_bytes(trap)
        correct_checksum(bundle, name)
        refused(bundle, name)
        (bundle / name).write_bytes(original)
        correct_checksum(bundle, name)
    assert not Path("sprung").exists()


def test_save_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    target = tmp_path / "world"
    for where in ("genie_env.files.tensors.save", "json.dumps"):
        with monkeypatch.context() as patch:
            patch.setattr(where, fail)
            with pytest.raises(OSError, match="disk full"):
                save_world(random_world(), target)
        assert not target.exists()
    save_world(random_world(), target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr("json.dumps", fail)
        with pytest.raises(OSError, match="disk full"):
            save_world(random_world(seed=1), target, replace=True)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    save_world(random_world(seed=1), target, replace=True)
    assert (target / "dynamics.safetensors").read_bytes() != before["dynamics.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_save_refuses_to_overwrite(tmp_path: Path) -> None:
    folder = make_random_world(tmp_path / "world")
    with pytest.raises(ValueError, match="exists already"):
        save_world(random_world(), folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 70_000.0])
def test_world_that_could_not_be_opened_again_is_not_saved(tmp_path: Path, value: float) -> None:
    folder = make_random_world(tmp_path / "world")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    world = random_world()
    world.dynamics.bias_V[3] = value
    with pytest.raises(ValueError, match="dynamics: bias_V: holds values that are not finite in half precision"):
        save_world(world, folder, replace=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_unknown_world_and_device_are_named(random_world: Path, tmp_path: Path) -> None:
    for world in ("no_such_world", tmp_path):
        for use in (find_world, read_config, load_world):
            with pytest.raises(ValueError, match=f"{world}.*config.json"):
                use(world)
    for device in ("abacus", "cpu:x", ""):
        with pytest.raises(ValueError, match=f"device.*{device!r}"):
            load_world(random_world, device)


def test_configuration_is_read_without_weights(bundle: Path) -> None:
    for name in TENSOR_FILES:
        (bundle / name).unlink()
    assert read_config(bundle) == random_config()


def test_loading_leaves_the_global_generator_alone(random_world: Path) -> None:
    before = torch.get_rng_state()
    load_world(random_world, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", bundled_worlds())
def test_bundled_world_is_small_and_opens(name: str) -> None:
    folder = BUNDLED / name
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 10_000_000
    optional = {"policy.json", "policy.safetensors"}
    assert {file.name for file in folder.iterdir()} - optional == {"config.json", "README.md", *TENSOR_FILES}
    assert load_world(name, device="cpu").config.name == name


def test_only_the_name_itself_opens_a_bundled_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_random_world(tmp_path / "other" / "pong")
    (tmp_path / "here" / "worlds").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert find_world("pong") == BUNDLED / "pong"
    for world in ("./pong", "../worlds/pong", "worlds/pong", "pong/", "PONG", "breakout/../pong", "", Path("pong")):
        with pytest.raises(ValueError, match=r"expected one of the bundled worlds"):
            find_world(world)
    assert read_config("../other/pong").name == "random" == read_config(Path("../other/pong")).name


def test_name_of_a_bundled_world_that_is_also_a_world_here_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pong").mkdir()
    assert find_world("pong") == BUNDLED / "pong", "a folder that is no world is in nobody's way"
    (tmp_path / "pong" / "config.json").write_text("{}")
    assert find_world("pong") == BUNDLED / "pong"
    shutil.rmtree(tmp_path / "pong")
    make_random_world(tmp_path / "pong")
    with pytest.raises(ValueError, match=r"'pong': is a bundled world and a folder here; write './pong'"):
        load_world("pong", device="cpu")
    assert read_config("./pong").name == read_config(Path("pong")).name == "random"
    monkeypatch.chdir(BUNDLED)
    assert find_world("pong").samefile(BUNDLED / "pong")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a child process at every step")
def test_replaced_world_is_the_old_or_the_new_one_after_a_kill_at_any_step(tmp_path: Path) -> None:
    folder, found = make_random_world(tmp_path / "world"), []
    old, new = random_world(), random_world(seed=1)
    for _ in kills(lambda: save_world(new, folder, card="new", replace=True), ("rename", "rmdir")):
        opened = load_world(folder, device="cpu")
        card = (folder / "README.md").read_text()
        expected = (new if card == "new" else old).dynamics.embed.weight.half().float()
        assert torch.equal(opened.dynamics.embed.weight, expected)
        save_world(old, folder, card="old", replace=True)
        assert [path.name for path in tmp_path.iterdir()] == ["world"]
        found.append(card)
    assert found[1] != "new" and found[-1] == "new", "killed between the two renames, and after them"


def test_world_on_a_disk_that_is_full_stays_the_old_one(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk", 2 * 2**20) as disk:
        folder = make_random_world(disk / "world")
        big = random_world(seed=1, dynamics=dataclasses.replace(random_config().dynamics, width=512, num_heads=4))
        with pytest.raises(OSError, match=r"No space left on device.*world"):
            save_world(big, folder, replace=True)
        assert load_world(folder, device="cpu").config == random_config()
        assert [path.name for path in disk.iterdir()] == ["world"]


def test_world_in_a_folder_that_cannot_be_written_opens(bundle: Path) -> None:
    with read_only(bundle.parent):
        assert load_world(bundle, device="cpu").config == random_config()
        with pytest.raises(OSError, match="bundle"):
            save_world(random_world(), bundle, replace=True)


def test_a_folder_that_is_no_world_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("x")
    with pytest.raises(ValueError, match=r"photos: is not replaced"):
        save_world(random_world(), tmp_path / "photos", replace=True)
    assert (tmp_path / "photos" / "one.jpg").read_text() == "x"
