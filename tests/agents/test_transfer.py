"""Scores in the real game beside other players', as JSON, a table and a picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agents.real_env import make_real_env
from agents.sb3.evaluate_policy import play, row_by_row
from agents.sb3.make_envs import RandomStart, make_real_games
from agents.sb3.policy_io import build_policy, load_policy, policy_config, save_policy
from agents.sb3.policy_spec import Senses, make_senses
from agents.transfer import TransferConfig, markdown, plain_senses, transfer
from genie_env.bundle import load_world, read_config, save_world
from tests.helpers.worlds import TELLING_CHANGES
from tests.helpers.worlds import random_world as make_world


@pytest.fixture(scope="module")
def policy(random_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained policy on tokens."""
    config = read_config(random_world)
    kept = policy_config(config, str(random_world), "ppo", "tokens", make_senses(config, "tokens", "real"))
    folder = tmp_path_factory.mktemp("policies") / "untrained"
    save_policy(folder, build_policy(kept), kept)
    return folder


def test_transfer_writes_json_table_and_picture(policy: Path, tmp_path: Path) -> None:
    found = transfer(
        TransferConfig(policy, episodes=2, out=tmp_path, real_policy=policy, dream_steps=5, gif_steps=6, device="cpu")
    )
    assert json.loads((tmp_path / "transfer.json").read_text()) == json.loads(json.dumps(found))
    # The tiny game has no scripted heuristic; Pong's is tested with the twin.
    assert [len(figures["scores"]) for figures in found["real"].values()] == [2, 2, 2, 2, 2]
    assert [name.split(", ")[-1] for name in found["dream"]] == ["likeliest actions", "drawn actions"]
    for figures in found["real"].values():
        assert figures["low"] <= figures["mean"] <= figures["high"]
    table = (tmp_path / "transfer.md").read_text()
    assert table == markdown(found) and table.count("\n") == 2 + 5 + 2
    with Image.open(tmp_path / "transfer.gif") as picture:
        assert picture.n_frames > 1 and picture.width > picture.height  # type: ignore[attr-defined]


def test_transfer_repeats_itself(policy: Path, tmp_path: Path) -> None:
    config = TransferConfig(policy, episodes=2, dream_steps=0, gif_steps=0, device="cpu")
    first, second = (transfer(dataclasses.replace(config, out=tmp_path / name)) for name in "ab")
    assert first == second


def test_real_games_show_what_the_dream_shows(random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    for obs_type in ("tokens", "grayscale", "rgb"):
        games = make_real_games(
            world, make_senses(world.config, obs_type, "real", frame_stack=2), 2, random_starts=False
        )
        games.seed(4)
        observations = games.reset()
        frame, _ = make_real_env(world).reset(seed=4)
        tokens = world.encode(frame[None, None])[0, 0].numpy()
        expected = {"tokens": tokens, "grayscale": None, "rgb": frame}[obs_type]
        assert observations.shape[0] == 2  # type: ignore[union-attr]
        if expected is not None:
            np.testing.assert_array_equal(observations[0, ..., -expected.shape[-1] :], expected)  # type: ignore[index]
        np.testing.assert_array_equal(games.get_images()[0], frame)
        games.close()


def test_terminal_observations_of_real_games_are_seen_the_same_way(random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    games = make_real_games(world, make_senses(world.config, "tokens", "real"), 1)
    games.reset()
    for _ in range(3000):
        _, _, dones, infos = games.step(np.zeros(1, dtype=int))
        if dones[0]:
            break
    assert dones[0] and infos[0]["terminal_observation"].shape == (4 * 64,)


def test_latent_actions_reach_the_real_game_through_the_map(random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    mapped = world.config.action_map
    assert mapped is not None
    latent = make_senses(world.config, "rgb", "latent", frame_stack=1)
    real = Senses("rgb", "real", (0, 1, 2), mapped.latent_to_real, frame_stack=1)
    frames = []
    for senses in (latent, real):
        games = make_real_games(world, senses, 1, random_starts=False)
        games.seed(0)
        games.reset()
        frames.append([games.step(np.array([action]))[0] for action in (0, 1, 2, 0)])
    np.testing.assert_array_equal(*frames)


def test_latent_actions_that_tell_changes_reach_the_real_game(random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    world = world.replace(config=dataclasses.replace(world.config, action_map=TELLING_CHANGES))
    latent = make_senses(world.config, "rgb", "latent", frame_stack=1)
    frames = []
    for senses, actions in ((latent, (1, 0, 1, 2)), (Senses("rgb", "real", (0, 1, 2), (0, 1, 2), 1), (1, 1, 2, 1))):
        games = make_real_games(world, senses, 1, random_starts=False)
        games.seed(0)
        games.reset()
        frames.append([games.step(np.array([action]))[0] for action in actions])
    np.testing.assert_array_equal(*frames)


def test_games_begin_with_different_random_actions_and_repeat_a_seed(random_world: Path) -> None:
    game = RandomStart(make_real_env(str(random_world)), most=7)
    begun = [game.reset(seed=seed)[0] for seed in (0, 1, 2, 3, 0)]
    np.testing.assert_array_equal(begun[0], begun[4])
    assert len({frame.tobytes() for frame in begun}) > 2


def test_a_random_start_in_which_somebody_scores_begins_anew(random_world: Path) -> None:
    """Points of the start are nobody's: a game that is played to the end counts all of its own."""
    game = RandomStart(make_real_env(str(random_world)), most=2000)
    first = make_real_env(str(random_world)).reset()[0]
    plain = 0
    for seed in range(8):
        frame, _ = game.reset(seed=seed)
        plain += int((np.abs(frame.astype(int) - first).sum(-1) > 0).mean() < 0.05)
    assert plain > 4


def test_players_of_rows_begin_anew_with_their_games(random_world: Path) -> None:
    class Counting:
        resets = steps = 0

        def reset(self) -> None:
            self.resets += 1

        def act(self, seen: np.ndarray) -> int:
            self.steps += 1
            return 0

    world, players = load_world(random_world, "cpu"), [Counting(), Counting()]
    games = make_real_games(world, plain_senses(world), 2)
    scores = play(row_by_row(players), games, games=4)
    assert len(scores.games) == 4
    assert all(player.resets >= 2 and player.steps > 0 for player in players)


def test_a_world_without_a_map_says_what_to_do(tmp_path: Path) -> None:
    folder = save_world(make_world(action_map=None), tmp_path / "unmapped")
    with pytest.raises(ValueError, match=r"agents\.fit_action_map"):
        make_senses(read_config(folder), "tokens", "latent")


def test_a_policy_reads_only_what_its_network_can(policy: Path) -> None:
    _, kept = load_policy(policy)
    with pytest.raises(ValueError, match="cannot read"):
        dataclasses.replace(kept, network="cnn")
