"""A policy on disk plays without stable-baselines3, and anything else is refused before it costs anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from genie_env.bundle import read_config
from genie_env.files.errors import FileError
from genie_env.files.reading import checksum
from genie_env.files.tensors import read_tensors
from genie_env.policies.config import JSON, TENSORS, PolicyScore, read_policy_config
from genie_env.policies.player import PolicyPlayer
from genie_env.policies.token_policy import load_token_policy
from tests.helpers.policies import make_token_policy


@pytest.fixture
def policy(random_world: Path, tmp_path: Path) -> Path:
    return make_token_policy(tmp_path / "policy", read_config(random_world), str(random_world))


def edit(policy: Path, **changes: Any) -> None:
    content = json.loads((policy / JSON).read_text())
    (policy / JSON).write_text(json.dumps({**content, **changes}))


def test_logits_of_a_batch_are_those_of_its_rows(policy: Path) -> None:
    loaded = load_token_policy(policy)
    about = loaded.config
    shape = (5, about.spec.frame_stack * about.num_tokens)
    tokens_BX = np.random.default_rng(0).integers(about.vocab_size, size=shape)
    logits_BA = loaded.logits(tokens_BX)
    assert logits_BA.shape == (5, 3) and logits_BA.dtype == np.float32 and len(np.unique(logits_BA)) == 15
    for row, logits_A in enumerate(logits_BA):
        assert np.allclose(loaded.logits(tokens_BX[row : row + 1])[0], logits_A, atol=1e-5)


def test_player_draws_actions_as_often_as_the_policy_says(policy: Path) -> None:
    loaded = load_token_policy(policy)
    player = PolicyPlayer(loaded, np.random.default_rng(0))
    tokens_N = np.arange(loaded.config.num_tokens) % loaded.config.vocab_size
    player.begin(tokens_N)
    counts_A = np.bincount([player.act() for _ in range(4000)], minlength=3)
    stacked_FN = np.zeros((loaded.config.spec.frame_stack, len(tokens_N)), np.int64)
    stacked_FN[-1] = tokens_N
    wanted_A = np.exp(loaded.logits(stacked_FN.reshape(1, -1))[0])
    assert np.allclose(counts_A / 4000, wanted_A / wanted_A.sum(), atol=0.03)


def test_player_goes_on_from_a_snapshot_as_it_did(policy: Path) -> None:
    loaded, rng = load_token_policy(policy), np.random.default_rng(1)
    frames_TN = rng.integers(loaded.config.vocab_size, size=(30, loaded.config.num_tokens))
    player = PolicyPlayer(loaded, np.random.default_rng(2))
    player.begin(frames_TN[0])
    player.see(0, frames_TN[1])
    state, runs = player.snapshot(), []
    for _ in range(2):
        chosen = []
        for tokens_N in frames_TN[2:]:
            chosen.append(player.act())
            player.see(0, tokens_N)
        runs.append(chosen)
        player.restore(state)
    assert runs[0] == runs[1] and len(set(runs[0])) > 1


@pytest.mark.parametrize(
    ("changes", "name", "word"),
    [
        ({"algo": "dqn"}, JSON, "ppo or a2c"),
        ({"vocab_size": 31}, TENSORS, "expected the shape"),
        ({"num_tokens": 4096}, TENSORS, "expected the shape"),
        ({"sha256": "0" * 64}, TENSORS, "sha256"),
        ({"policy_class": "os:system"}, JSON, "unknown fields"),
        ({"score": {"mean": 1.0}}, JSON, "missing"),
        ({"score": {"mean": 1e300, "low": 0, "high": 0, "games": 1, "actions": "x"}}, JSON, "mean: expected"),
        ({"score": {"mean": 1, "low": 0, "high": 0, "games": 1, "actions": "\x1b[2J"}}, JSON, "printable"),
    ],
)
def test_policy_that_cannot_play_is_refused_in_one_line(
    policy: Path, changes: dict[str, Any], name: str, word: str
) -> None:
    edit(policy, **changes)
    with pytest.raises(FileError, match=word) as caught:
        load_token_policy(policy)
    assert caught.value.path == str(policy / name) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tensor", "word"),
    [(torch.full((3,), torch.nan), "not finite"), (torch.zeros(3, dtype=torch.int64), "floating-point")],
)
def test_weights_that_are_no_finite_numbers_are_refused(policy: Path, tensor: torch.Tensor, word: str) -> None:
    # Not by write_tensors, which writes nothing that is not finite.
    save_file({**read_tensors(policy / TENSORS), "action_net.bias": tensor}, policy / TENSORS)
    edit(policy, sha256=checksum(policy / TENSORS))
    with pytest.raises(FileError, match=word):
        load_token_policy(policy)


def test_huge_file_is_refused_without_being_read(policy: Path) -> None:
    with (policy / TENSORS).open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(FileError, match="expected at most"):
        load_token_policy(policy)


def test_policy_fits_its_own_world_and_no_other(policy: Path, random_world: Path) -> None:
    about, config = read_policy_config(policy), read_config(random_world)
    about.require_world(config)
    with pytest.raises(ValueError, match=r"vocab_size: the world 'pong' has 2048"):
        about.require_world(read_config("pong"))
    edit(policy, spec={**about.spec.to_json(), "dream_actions": [0, 1, 3]})
    with pytest.raises(ValueError, match="chooses action 3"):
        read_policy_config(policy).require_world(config)


def test_score_is_printed_with_its_interval_and_its_games() -> None:
    assert str(PolicyScore(17.4, 16.2, 18.5, 30, "drawn actions")) == "17.4 [16.2, 18.5] in 30 games, drawn actions"
