"""Planners find what pays in a game that is known, and dreams follow the game that they are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genie_env.bundle import read_config
from genie_env.envs.opened_world import OpenedWorld
from genie_env.envs.options import EnvOptions
from genie_env.planners.cross_entropy import CrossEntropy
from genie_env.planners.imagination import Imagination, Imagined, open_imagination
from genie_env.planners.player import Planner, PlanningPlayer, find_planner
from genie_env.planners.tree_search import TreeSearch

PLANNERS = [CrossEntropy(horizon=12, hold=3, rounds=6), TreeSearch(horizon=12, hold=3, rounds=6)]


class Corridor:
    """A walk on a line: +1 at place ``goal``, -1 at place ``pit``, where it ends; 0 stays, 1 goes right, 2 left."""

    def __init__(self, goal: int, pit: int) -> None:
        self.goal, self.pit = goal, pit

    def __call__(self, actions_RT: np.ndarray) -> Imagined:
        places_RT = np.cumsum(np.array([0, 1, -1])[actions_RT], axis=1)
        arrived_RT = (places_RT == self.goal) | (places_RT == self.pit)
        alive_RT = np.cumsum(arrived_RT, axis=1) - arrived_RT == 0
        rewards_RT = alive_RT * (1.0 * (places_RT == self.goal) - 1.0 * (places_RT == self.pit))
        return Imagined(rewards_RT, alive_RT)


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize(("goal", "pit", "wanted"), [(7, -2, 1), (-7, 2, 2)])
def test_planner_walks_towards_what_pays_and_away_from_what_costs(
    planner: Planner, goal: int, pit: int, wanted: int
) -> None:
    chosen = [planner.plan(Corridor(goal, pit), 3, np.random.default_rng(seed)) for seed in range(20)]
    assert chosen.count(wanted) >= 18


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda one: type(one).__name__)
def test_planner_without_rewards_prefers_nothing_and_follows_its_generator(planner: Planner) -> None:
    nothing = Corridor(99, -99)
    chosen = [planner.plan(nothing, 3, np.random.default_rng(seed)) for seed in range(40)]
    assert set(chosen) == {0, 1, 2}
    assert chosen == [planner.plan(nothing, 3, np.random.default_rng(seed)) for seed in range(40)]


@pytest.mark.parametrize("kind", [CrossEntropy, TreeSearch])
def test_planner_dreams_as_many_steps_as_it_says(kind: type[CrossEntropy] | type[TreeSearch]) -> None:
    planner, walk, asked = kind(horizon=10, hold=4, rows=8, rounds=2), Corridor(3, -3), list[int]()

    def imagine(actions_RT: np.ndarray) -> Imagined:
        asked.append(actions_RT.size)
        return walk(actions_RT)

    planner.plan(imagine, 3, np.random.default_rng(0))
    assert sum(asked) == planner.dreamed_steps == 160


def test_returns_are_discounted_sums_from_each_step_on() -> None:
    imagined = Imagined(np.array([[0.0, 1.0, 0.0, -1.0]]), np.ones((1, 4), bool))
    np.testing.assert_allclose(imagined.returns(0.5), [[0.375, 0.75, -0.5, -1.0]])


def imagination(world: Path, runtime: str, rows: int = 4) -> Imagination:
    return open_imagination(str(world), rows, temperature=0.0, runtime=runtime)  # type: ignore[arg-type]


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_dreams_begin_where_the_game_stands_and_leave_it_there(random_world: Path, runtime: str) -> None:
    """What is imagined at temperature 0 is what the game, a dream itself, brings when the same actions are played."""
    config, rng = read_config(random_world), np.random.default_rng(0)
    options = EnvOptions(temperature=0.0, runtime=runtime).resolved(config)  # type: ignore[arg-type]
    game_engine = OpenedWorld(str(random_world), options, 1).engine
    tokens_N = rng.integers(config.tokenizer.vocab_size, size=config.tokenizer.num_tokens)
    game = game_engine.start(tokens_N[None, None], np.zeros((1, 0), np.int64), np.zeros(1, np.int64))
    follower = imagination(random_world, runtime)
    follower.begin(tokens_N)
    zero_1 = np.zeros(1, np.float32)
    for action in (1, 2, 2, 0, 1):
        game_engine.step(game, np.array([action]), zero_1, zero_1)
        follower.see(action, game.tokens_BN[0])
    actions_RT = rng.integers(3, size=(4, 6))
    imagined = follower.imagine(actions_RT, rng)
    again = follower.imagine(actions_RT, rng)
    np.testing.assert_array_equal(imagined.rewards_RT, again.rewards_RT)
    for row, actions_T in enumerate(actions_RT):
        one = game.take(np.zeros(1, np.int64), np.zeros(1, np.int64))
        alive = True
        for t, action in enumerate(actions_T):
            step = game_engine.step(one, np.array([action]), zero_1, zero_1)
            assert imagined.alive_RT[row, t] == alive
            assert imagined.rewards_RT[row, t] == (step.reward_B[0] if alive else 0.0)
            alive = alive and not step.terminated_B[0]


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_player_goes_on_from_a_snapshot_as_it_did(random_world: Path, runtime: str) -> None:
    config, rng = read_config(random_world), np.random.default_rng(1)
    frames_TN = rng.integers(config.tokenizer.vocab_size, size=(20, config.tokenizer.num_tokens))
    planner = find_planner("planner:tree", horizon=4, hold=2, rows=4, rounds=1)
    player = PlanningPlayer(planner, imagination(random_world, runtime), (0, 1, 2), np.random.default_rng(2))
    player.begin(frames_TN[0])
    chosen = player.act()
    player.see(chosen, frames_TN[1])
    state, runs = player.snapshot(), []
    for _ in range(2):
        actions = []
        for tokens_N in frames_TN[2:]:
            actions.append(player.act())
            player.see(actions[-1], tokens_N)
        runs.append(actions)
        player.restore(state)
    assert runs[0] == runs[1] and len(set(runs[0])) > 1
    assert runs[0][0] == chosen, "an action is held"


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"horizon": 0}, "horizon"),
        ({"hold": 9, "horizon": 8}, "hold"),
        ({"rows": 0}, "rows"),
        ({"rounds": -1}, "rounds"),
        ({"discount": 0.0}, "discount"),
        ({"discount": float("nan")}, "discount"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], word: str) -> None:
    for name in ("planner:cem", "tree"):
        with pytest.raises(ValueError, match=word):
            find_planner(name, **settings)
    with pytest.raises(ValueError, match="planner:cem"):
        find_planner("planner:oak")
