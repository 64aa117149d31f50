"""Policies that need no learning."""

from __future__ import annotations

import numpy as np
import pytest

from agents.scripted import POLICIES, FollowPolicy, make_policy
from genie_env.config import SourceConfig
from genie_env.games.players import DiversePlayer, Follow
from genie_env.games.registry import game_for, known_games
from genie_env.games.sprites import SpriteColours
from tests.helpers import tiny_game
from tests.helpers.worlds import random_config

COLOURS = SpriteColours(
    tiny_game.BACKGROUND_COLOUR,
    {"ball": tiny_game.BALL_COLOUR, "own": tiny_game.OWN_COLOUR, "opp": tiny_game.OPP_COLOUR},
    rows=(0, 64),
)
TINY = (COLOURS, Follow(tiny_game.NOOP, tiny_game.UP, tiny_game.DOWN))
PONG = random_config(
    source=SourceConfig(env_id="ALE/Pong-v5", action_meanings=("a",) * 6, effects=(0, 0, 1, 2, 1, 2)), action_map=None
)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_plays_the_same_actions_for_the_same_seed_and_only_real_ones(name: str) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)
    played = []
    for seed in (3, 3, 4):
        policy = make_policy(name, PONG, seed)
        policy.reset()
        played.append([policy.act(frame) for frame in frames])
    assert played[0] == played[1]
    assert set(played[0]) <= set(range(6))
    assert name == "heuristic" or played[0] != played[2]


def test_unknown_policies_and_games_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        make_policy("clever", PONG, 0)
    with pytest.raises(ValueError, match="no scripted player"):
        make_policy("heuristic", random_config(), 0)


def test_diverse_actions_of_weight_one_are_among_the_least_used_of_the_last_five() -> None:
    player, recent = DiversePlayer(3, np.random.default_rng(0), weight=1.0), []
    for _ in range(200):
        action = player.act(None)
        used = np.bincount(np.array(recent[-5:], dtype=int), minlength=3)
        assert used[action] == used.min()
        recent.append(action)


def test_diverse_actions_of_weight_zero_are_uniform() -> None:
    player = DiversePlayer(3, np.random.default_rng(0), weight=0.0)
    counts = np.bincount([player.act(None) for _ in range(3000)])
    assert (abs(counts - 1000) < 100).all()


@pytest.mark.parametrize(("weight", "window"), [(-0.1, 5), (1.1, 5), (0.5, 0)])
def test_settings_of_diverse_play_are_checked(weight: float, window: int) -> None:
    with pytest.raises(ValueError, match="expected a weight"):
        DiversePlayer(3, np.random.default_rng(0), weight, window)


def test_the_heuristic_beats_random_play_from_pictures_alone() -> None:
    def points(policy: object) -> float:
        game, total = tiny_game.TinyPong(points=99), 0.0
        frame, _ = game.reset(seed=0)
        for _ in range(600):
            frame, reward, terminated, _, _ = game.step(policy.act(frame))
            total += reward
            assert not terminated
        return total

    config = random_config()
    assert points(FollowPolicy(*TINY, np.random.default_rng(0))) > points(make_policy("random", config, 0)) + 3


def test_known_games_name_actions_and_sprites_of_their_own() -> None:
    for known in map(game_for, known_games()):
        assert known.colours is not None and known.follow is not None
        assert {"ball", "own"} <= set(known.colours.sprites)
        moves = [known.follow.stay, known.follow.back, known.follow.forth, known.follow.serve]
        assert len({*moves}) == 4, "a serve, where there is one, is an action of its own"


def test_a_paddle_of_the_balls_colour_is_not_followed() -> None:
    known = game_for("ALE/Breakout-v5")
    assert known.colours is not None and known.follow is not None
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[40, 10] = frame[62:64, 30:36] = (200, 72, 72)
    player = FollowPolicy(known.colours, known.follow, np.random.default_rng(0), reach=0.0)
    assert player.act(frame) == known.follow.back
    frame[40, 10] = 0
    assert player.act(frame) == known.follow.serve
