"""Names of latent actions from what they do to the picture."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from genie_env.config import LatentActionConfig
from genie_env.effect_names import ActionEffect, effect_arrow, effect_names, effect_vectors, still_code
from genie_env.envs.env import GenieEnv
from genie_env.window.keyboard import key_code
from tests.helpers.worlds import make_random_world, random_config


def test_directions_are_named_as_a_person_at_the_screen_sees_them() -> None:
    assert effect_names([(0, -2, 0), (0, 0.1, 0), (0, 1.9, 0)]) == ("up", "still", "down")
    assert effect_names([(-3, 0, 0), (3, 0, 0), (0, 0, 0)]) == ("left", "right", "still")
    assert effect_names([(2, -2, 0), (-2, 2, 0)]) == ("up-right", "down-left")


def test_names_do_not_depend_on_how_fast_things_move() -> None:
    slow, fast = ([(0.0, -s, 0.0), (0.0, 0.1 * s, 0.0), (0.0, s, 0.0)] for s in (0.5, 50))
    assert effect_names(slow) == effect_names(fast) == ("up", "still", "down")


def test_equal_names_are_numbered_so_that_no_two_codes_share_one() -> None:
    names = effect_names([(0, 0, 0), (3, 0, 0), (0.1, 0, 0), (-3, 0, 0), (3, 0.2, 0)])
    assert names == ("still 1", "right 1", "still 2", "left", "right 2")
    assert [effect_arrow(name) for name in names] == ["•", "→", "•", "←", "→"]


def test_what_appears_without_moving_is_named_so() -> None:
    assert effect_names([(0, 0, 0.5), (0, 0, -0.5), (0, 0, 0)]) == ("appear", "vanish", "still")


@pytest.mark.parametrize("prototypes", [[(0, 0, 0)] * 3, [(0.1, 0, 0.01), (-0.1, 0, 0), (0, 0.1, 0)]])
def test_codes_that_do_nothing_measurable_get_numbers(prototypes: list[tuple[float, float, float]]) -> None:
    assert effect_names(prototypes) == ("effect 0", "effect 1", "effect 2")
    assert effect_arrow("effect 0") == "?"


def test_no_codes_have_no_names() -> None:
    assert effect_names([]) == ()


def test_prototypes_survive_json_and_must_be_one_for_each_code() -> None:
    config = LatentActionConfig(num_actions=2, prototypes=((0.0, -1.0, 0.0), (0.0, 1.0, 0.5)))
    assert LatentActionConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="prototypes: expected 3 or none"):
        LatentActionConfig(num_actions=3, prototypes=config.prototypes)
    with pytest.raises(ValueError, match="finite"):
        LatentActionConfig(num_actions=2, prototypes=((0.0, math.nan, 0.0), (0.0, 1.0, 0.0)))


def test_arrows_are_as_long_as_effects_are_strong_and_nothing_else_has_one() -> None:
    assert effect_vectors([(0, -4, 0), (2, 0, 0), (0.1, 0, 0), (0, 0, 0.5)]) == ((0, -1), (0.5, 0), (0, 0), (0, 0))
    assert effect_vectors([]) == ()


def test_still_code_is_the_one_that_does_least() -> None:
    assert still_code([(0, -2, 0), (0, 2, 0), (0, 0.1, 0)]) == 2
    assert still_code([]) == 0


def world_of_effects(folder: Path, *prototypes: tuple[float, float, float]) -> Path:
    measured = replace(random_config().latent_action, prototypes=prototypes)
    return make_random_world(folder, action_map=None, latent_action=measured)


def test_a_world_from_video_is_played_with_the_keys_of_its_effects(tmp_path: Path) -> None:
    world = world_of_effects(tmp_path / "world", (0.0, 2.0, 0.0), (0.0, 0.1, 0.0), (0.0, -2.0, 0.0))
    env = GenieEnv(world=world, action_type="latent")
    assert env.get_action_meanings() == ["LATENT_0(down)", "LATENT_1(still)", "LATENT_2(up)"]
    keys = env.get_keys_to_action()
    assert (keys[(key_code("down"),)], keys[(key_code("up"),)], keys[(key_code("2"),)]) == (0, 2, 1)
    assert env.noop_action == 1
    assert env.action_effects == (
        ActionEffect("down s", "down", "↓", 0.0, 1.0),
        ActionEffect("2 no key", "still", "•", 0.0, 0.0),
        ActionEffect("up w", "up", "↑", 0.0, -1.0),
    )
    env.close()


def test_slanting_effects_are_played_with_two_keys_and_the_first_of_equal_ones_has_the_arrow(tmp_path: Path) -> None:
    world = world_of_effects(tmp_path / "world", (2.0, -2.0, 0.0), (0.0, 2.0, 0.0), (0.0, 2.1, 0.0))
    env = GenieEnv(world=world, action_type="latent")
    keys = {frozenset(held): action for held, action in env.get_keys_to_action().items()}
    assert (
        keys[frozenset((key_code("up"), key_code("right")))] == 0
        and keys[frozenset((key_code("w"), key_code("d")))] == 0
    )
    assert keys[frozenset((key_code("down"),))] == 1 and [effect.name for effect in env.action_effects][1:] == [
        "down 1",
        "down 2",
    ]
    env.close()


def test_real_actions_and_unmeasured_ones_show_no_effects(random_world: Path) -> None:
    for action_type in ("real", "latent"):
        env = GenieEnv(world=random_world, action_type=action_type)
        assert env.action_effects == ()
        env.close()
