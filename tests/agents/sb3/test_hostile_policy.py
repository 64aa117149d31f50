"""A policy from anywhere costs nothing until it is known to be sound, and never makes anything be imported or run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from agents.sb3.policy_io import load_policy
from genie_env.files.errors import FileError
from genie_env.files.reading import checksum
from genie_env.files.tensors import read_tensors, write_tensors
from genie_env.policies.config import JSON, TENSORS
from tests.helpers.specimens import SPECIMENS


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A sound one, to damage."""
    SPECIMENS["policy"].make(tmp_path / "policy")
    return tmp_path / "policy"


def edit(policy: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((policy / JSON).read_text())
    change(content)
    (policy / JSON).write_text(json.dumps(content))


def refused(policy: Path, name: str, word: str) -> None:
    with pytest.raises(FileError, match=word) as caught:
        load_policy(policy)
    assert caught.value.path == str(policy / name) and "\n" not in str(caught.value)


SETTINGS: dict[str, Callable[[dict[str, Any]], object]] = {
    "frame_stack": lambda p: p["spec"].update(frame_stack=10**6),
    "image_size": lambda p: p.update(image_size=10**6),
    "num_tokens": lambda p: p.update(num_tokens=10**6),
    "vocab_size": lambda p: p.update(vocab_size=2**40),
    "dream_actions": lambda p: p["spec"].update(dream_actions=[0] * 10**4, real_actions=[0] * 10**4),
    "actions": lambda p: p["spec"].update(dream_actions=[-1, 0, 0]),
    "algo": lambda p: p.update(algo="os:system"),
    "network|expected one of|cannot read": lambda p: p.update(network="os:system"),
    "action_type": lambda p: p["spec"].update(action_type="other"),
    "printable": lambda p: p.update(world="\x1b[2J"),
    "unknown fields": lambda p: p.update(policy_class="os:system"),
}


@pytest.mark.parametrize("word", SETTINGS)
def test_settings_of_which_no_policy_is_built_are_refused(policy: Path, word: str) -> None:
    edit(policy, SETTINGS[word])
    refused(policy, JSON, word)


def test_network_of_other_pictures_than_its_tensors_is_refused(policy: Path) -> None:
    edit(policy, lambda p: p.update(num_tokens=4096))
    refused(policy, TENSORS, "expected torch.float32")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e300])
def test_weights_that_are_not_finite_are_refused(policy: Path, value: float) -> None:
    tensors = read_tensors(policy / TENSORS)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name] = torch.full_like(tensors[name], value, dtype=torch.float64)
    # Of another program: without a seal.
    save_file(tensors, policy / TENSORS)
    edit(policy, lambda p: p.update(sha256=checksum(policy / TENSORS)))
    refused(policy, TENSORS, "not finite|too large")


def test_weights_of_another_policy_are_noticed_by_their_checksum(policy: Path) -> None:
    tensors = {name: tensor + 1 for name, tensor in read_tensors(policy / TENSORS).items()}
    write_tensors(policy / TENSORS, tensors)
    refused(policy, TENSORS, "sha256")


@pytest.mark.skipif(os.name != "posix", reason="makes files that only POSIX has")
def test_what_is_no_file_is_refused(policy: Path) -> None:
    for name in (JSON, TENSORS):
        kept = (policy / name).read_bytes()
        makers = {"a folder": Path.mkdir, "a FIFO": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero")}
        for word, make in makers.items():
            (policy / name).unlink()
            make(policy / name)
            refused(policy, name, word)
            (policy / name).rmdir() if (policy / name).is_dir() else (policy / name).unlink()
            (policy / name).write_bytes(kept)
