"""Policies that have learned play games that record them: what they see, and how much at random they act."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.sb3.play_policy import check_policy, eyes_of, logits, play_policy
from agents.sb3.policy_io import build_policy
from agents.sb3.recorded_games import RecordedGames
from agents.sb3.recorded_shards import FOLDER, Budget, Shards
from genie_env.bundle import load_world
from genie_env.config import SourceConfig
from genie_env.data.episodes import EpisodeStore, EpisodeWriter
from genie_env.games.registry import Game
from genie_env.games.source_game import make_source_game
from genie_env.policies.config import PolicyConfig
from genie_env.policies.spec import PolicySpec
from tests.helpers.tiny_game import ENV_ID

SOURCE = SourceConfig(ENV_ID, image_size=24, action_meanings=("NOOP", "UP", "DOWN"))
SPEC = PolicySpec("grayscale", "real", (0, 1), (2, 0), 2)
CONFIG = PolicyConfig("", "ppo", "small_cnn", SPEC, 24, 0, 0)


def recorded(
    folder: Path, temperatures: tuple[float, ...], algo: str = "ppo", likely: int | None = None, explored: float = 0.0
) -> EpisodeStore:
    """Forty steps of an untrained policy; ``likely`` is an action whose logit is one more than the others'."""
    config = dataclasses.replace(CONFIG, algo=algo)
    policy = build_policy(config)
    if likely is not None:
        with torch.no_grad():
            policy.action_net.weight.zero_()
            policy.action_net.bias.zero_()[likely] = 1.0
    writer = EpisodeWriter(folder, SOURCE)
    (writer.partial / FOLDER).mkdir()
    space, see = eyes_of(config, SOURCE)
    games = [make_source_game(SOURCE) for _ in range(4)]
    shards = Shards(writer, Budget(400, 1000, parts=1))
    rows = RecordedGames(games, Game(SOURCE), np.random.default_rng(0), space, see)
    play_policy(policy, config, rows, shards, temperatures, explored, seed=0)
    return shards.finish()


def actions(store: EpisodeStore, player: str) -> np.ndarray:
    return np.concatenate([store.array("actions", e)[:-1] for e in store.manifest.episodes if e.player == player])


def test_a_low_temperature_plays_the_likeliest_action_and_a_high_one_any(tmp_path: Path) -> None:
    assert set(actions(recorded(tmp_path / "low", (0.01,), likely=1), "policy_t0.01")) == {0}, "its second is action 0"
    chosen = actions(recorded(tmp_path / "high", (100.0,), likely=1), "policy_t100")
    assert set(chosen) == {0, 2} and 0.35 < np.mean(chosen == 0) < 0.65
    assert len(chosen) == 400


def test_games_are_recorded_under_their_temperature(tmp_path: Path) -> None:
    store = recorded(tmp_path / "data", (0.5, 2.0))
    assert {entry.player for entry in store.manifest.episodes} == {"policy_t0.5", "policy_t2"}


def test_games_of_a_sure_policy_differ_where_they_are_explored(tmp_path: Path) -> None:
    chosen = actions(recorded(tmp_path / "data", (0.01,), likely=1, explored=0.5), "policy_t0.01")
    assert set(chosen) == {0, 2} and 0.5 < np.mean(chosen == 0) < 1


def test_values_of_a_dqn_serve_as_logits(tmp_path: Path) -> None:
    assert len(actions(recorded(tmp_path / "data", (1.0,), algo="dqn"), "policy_t1")) == 400


def test_every_kind_of_sight_is_that_of_the_policy(random_world: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    source, world = SourceConfig(ENV_ID), load_world(random_world, "cpu")
    sizes = (world.config.tokenizer.num_tokens, world.config.tokenizer.vocab_size)
    for obs_type, network in (("grayscale", "small_cnn"), ("rgb", "small_cnn"), ("tokens", "tokens")):
        config = PolicyConfig(
            str(random_world), "ppo", network, PolicySpec(obs_type, "real", (0,), (0,), 1), 64, *sizes
        )
        space, see = eyes_of(config, source)
        seen = see(frames)
        assert len(seen) == 3 and all(space.contains(one) for one in seen)
    assert np.array_equal(seen, world.encode(frames[:, None])[:, 0].numpy())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 64}, "--image-size 64"),
        ({"spec": PolicySpec("grayscale", "real", (0,), (3,))}, "has 3 actions"),
        ({"spec": PolicySpec("grayscale", "latent", (0,), (1,))}, "real actions"),
    ],
)
def test_a_policy_that_cannot_play_the_game_is_refused(changes: dict[str, object], message: str) -> None:
    check_policy(CONFIG, SOURCE)
    with pytest.raises(ValueError, match=message):
        check_policy(dataclasses.replace(CONFIG, **changes), SOURCE)


def test_logits_are_those_of_the_actions() -> None:
    policy = build_policy(CONFIG)
    seen = np.random.default_rng(0).integers(0, 256, (5, 2, 24, 24), dtype=np.uint8)
    with torch.no_grad():
        expected = policy.get_distribution(torch.from_numpy(seen)).distribution.probs
    found = np.exp(logits(policy, seen))
    assert np.allclose(found / found.sum(1, keepdims=True), expected, atol=1e-6)
