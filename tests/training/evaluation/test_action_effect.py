"""Action effect sees whether a world obeys: a perfect dream scores one, a copy of the last frame nothing."""

from __future__ import annotations

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch

from genie_env.config import SourceConfig
from genie_env.world import World
from tests.helpers.tiny_game import ENV_ID, TinyPong
from training.evaluation import action_effect
from training.evaluation.action_effect import (
    LEAD,
    Branches,
    NotRepeatable,
    action_effects,
    dream_branches,
    play_branches,
)

SOURCE = SourceConfig(env_id=ENV_ID)
STEPS, MOMENTS = 6, 5


class Forgetful(TinyPong):
    """Begins somewhere else after the same seed."""

    begun = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        Forgetful.begun += 1
        return super().reset(seed=Forgetful.begun, options=options)


@pytest.fixture(scope="module")
def branches(world: World) -> Branches:
    """Branches whose pictures the world's tokens draw without loss."""
    played = play_branches(SOURCE, MOMENTS, STEPS, seed=0)
    tokens = game_tokens(world, played)
    drawn = world.decode(tokens.flatten(0, 1)).unflatten(0, (MOMENTS, 2)).numpy()
    return played._replace(game_S2KHWC=drawn)


def game_tokens(world: World, branches: Branches) -> torch.Tensor:
    flat = branches.game_S2KHWC.reshape(-1, *branches.game_S2KHWC.shape[2:])
    return world.encode(flat).unflatten(0, (MOMENTS, 2))


def test_branches_are_a_function_of_the_seed_and_part_at_the_moment() -> None:
    branches, again = (play_branches(SOURCE, MOMENTS, STEPS, seed=0) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(branches, again, strict=True))
    assert branches.prompts_STHWC.shape[:2] == (MOMENTS, LEAD)
    assert branches.prompt_actions_ST.shape == (MOMENTS, LEAD - 1)
    assert (branches.actions_S2[:, 0] != branches.actions_S2[:, 1]).all()
    assert (branches.game_S2KHWC[:, 0, -1] != branches.game_S2KHWC[:, 1, -1]).any((1, 2, 3)).all()


def test_a_perfect_dream_has_recall_precision_and_accuracy_of_one(world: World, branches: Branches) -> None:
    for effect in action_effects(world, branches, game_tokens(world, branches), (1, STEPS)):
        assert effect.recall.value == effect.precision.value == effect.decided_accuracy.value == 1.0
        assert effect.game_pixels == effect.dream_pixels > 0


def test_a_dream_that_ignores_actions_has_no_recall(world: World, branches: Branches) -> None:
    still = world.encode(branches.prompts_STHWC)[:, None, -1:].expand(-1, 2, STEPS, -1)
    (effect,) = action_effects(world, branches, still, (STEPS,))
    assert effect.recall.value == 0.0 and np.isnan(effect.precision.value) and effect.dream_pixels == 0
    assert effect.decided_accuracy.value < 0.7


def test_exchanged_actions_are_as_wrong_as_they_look(world: World, branches: Branches) -> None:
    (effect,) = action_effects(world, branches, game_tokens(world, branches).flip(1), (STEPS,))
    assert effect.recall.value == 1.0 and effect.decided_accuracy.value == 0.0, "the same places, the wrong tokens"


def test_both_branches_of_a_dream_differ_by_their_actions_alone(world: World, branches: Branches) -> None:
    dreamed = dream_branches(world, branches)
    assert dreamed.shape[:3] == (MOMENTS, 2, STEPS)
    same = branches._replace(actions_S2=np.repeat(branches.actions_S2[:, :1], 2, axis=1))
    dreamed = dream_branches(world, same)
    assert torch.equal(dreamed[:, 0], dreamed[:, 1])


def test_a_game_that_cannot_be_repeated_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    gym.register("Forgetful-v0", entry_point="tests.training.evaluation.test_action_effect:Forgetful")
    try:
        with pytest.raises(NotRepeatable, match="same seed and actions"):
            play_branches(dataclasses.replace(SOURCE, env_id="Forgetful-v0"), 2, STEPS, seed=0)
    finally:
        del gym.registry["Forgetful-v0"]


def test_episodes_that_are_too_short_are_named() -> None:
    with pytest.raises(NotRepeatable, match="random episodes last"):
        play_branches(dataclasses.replace(SOURCE, env_kwargs={"points": 1}), 4, 2000, seed=0)


def test_short_episodes_are_branched_earlier_and_for_fewer_steps() -> None:
    source = dataclasses.replace(SOURCE, env_id="Brief-v0")
    gym.register("Brief-v0", entry_point="tests.helpers.tiny_game:TinyPong", max_episode_steps=12)
    try:
        branches, steps = action_effect._longest_branches(source, 2, (1, 5, 20), seed=0)
    finally:
        del gym.registry["Brief-v0"]
    assert steps == (1, 5) and branches.game_S2KHWC.shape[2] == 5
    assert branches.prompts_STHWC.shape[1] == action_effect.SHORT_LEAD
