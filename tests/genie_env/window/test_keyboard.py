from __future__ import annotations

import pygame
import pytest

from genie_env.window.keyboard import (
    COMMAND_KEYS,
    Command,
    HeldKeys,
    action_of,
    command_of,
    key_code,
    key_name,
    key_table,
)
from tests.helpers.fake_game import DOWN, JUMP, NOOP, UP, FakeGame


def test_every_command_has_exactly_one_key() -> None:
    assert sorted(command.value for command in COMMAND_KEYS.values()) == sorted(command.value for command in Command)


@pytest.mark.parametrize("name", list(COMMAND_KEYS))
def test_pygame_calls_the_command_keys_by_these_names(name: str) -> None:
    symbols = {"[": "LEFTBRACKET", "]": "RIGHTBRACKET", ";": "SEMICOLON", "'": "QUOTE"}
    constant = symbols.get(name) or (name.upper() if len(name) > 1 else name)
    assert pygame.key.name(getattr(pygame, f"K_{constant}")) == name


def test_command_goes_by_the_character_wherever_the_keyboard_has_it() -> None:
    assert command_of("8", "[") is Command.COOLER  # AltGr+8 of a German keyboard
    assert command_of("r", "R") is Command.RESET
    assert command_of("f5") is Command.SNAPSHOT
    assert command_of("up") is None and command_of("w", "w") is None


@pytest.mark.parametrize("name", ["up", "down", "left", "right", "space", "return", "tab", "w", "1", "["])
def test_key_names_and_codes_are_those_of_pygame(name: str) -> None:
    assert pygame.key.name(key_code(name)) == name
    assert key_name(key_code(name)) == key_name(name) == name


def test_unknown_key_name_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one character"):
        key_code("hyper")


def test_key_table_takes_names_and_codes_and_falls_back_on_meanings() -> None:
    assert key_table({("up",): 2, (ord("w"), pygame.K_SPACE): 3}, []) == {
        frozenset(["up"]): 2,
        frozenset(["w", "space"]): 3,
    }
    table = key_table({}, ["NOOP", "UP", "FIRE"])
    assert {"1", "up", "w"} == {key for keys, action in table.items() if action == 1 for key in keys}
    assert table[frozenset(["space"])] == 2 and table[frozenset(["0"])] == 0


def test_largest_combination_wins_then_the_key_pressed_last() -> None:
    table = key_table(FakeGame().get_keys_to_action(), [])
    assert action_of([], table, NOOP) == NOOP
    assert action_of(["x"], table, NOOP) == NOOP
    assert action_of(["up", "down"], table, NOOP) == DOWN
    assert action_of(["down", "up"], table, NOOP) == UP
    assert action_of(["space", "up", "down"], table, NOOP) == JUMP


def test_tap_shorter_than_a_frame_plays_for_one_frame() -> None:
    held = HeldKeys()
    held.press("up")
    held.release("up")
    assert held.names == ["up"]
    held.frame_done()
    assert held.names == []
    held.press("up")
    held.frame_done()
    held.release("up")
    assert held.names == []


def test_names_made_of_directions_are_keys_held_together_and_other_names_have_a_key_each() -> None:
    table = key_table({}, ["NOOP", "FIRE", "UP", "UPRIGHTFIRE", "JUMP", *(f"SPELL_{n}" for n in range(10))])
    assert table[frozenset(["up", "right", "space"])] == table[frozenset(["w", "d", "space"])] == 3
    assert action_of(["up", "right", "space"], table, 0) == 3 and action_of(["up", "right"], table, 0) == 2
    assert table[frozenset(["4"])] == 4 and table[frozenset(["q"])] == 10
    taken = {key for keys in table for key in keys}
    assert not taken & set(COMMAND_KEYS)


def test_without_a_key_a_game_whose_actions_all_do_something_waits() -> None:
    assert action_of([], key_table({}, ["LEFT", "RIGHT"]), None) is None
