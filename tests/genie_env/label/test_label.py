"""A world that knows no actions gets them from a person's answers, which survive an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pygame
import pytest

from genie_env.bundle import load_world, read_config
from genie_env.cli import main
from genie_env.config import SourceConfig
from genie_env.files.errors import FileError
from genie_env.label.answers import Answer, key_problem
from genie_env.label.asking import Stopped, TerminalAsker, WindowAsker
from genie_env.label.clips import codes_of, dream_clip
from genie_env.label.commands import ANSWERS, Label, label_world
from genie_env.label.mapping import with_map
from genie_env.window.keyboard import key_code
from tests.helpers.worlds import NUM_ACTIONS, make_random_world, random_config

KEYS = ("down", "", "up")
"""What each code is, to a person who sees it clearly."""
FILM = SourceConfig(image_size=64, fps=15.0, has_actions=False)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A world of pictures alone."""
    return make_random_world(tmp_path / "film", source=FILM, action_map=None)


class Person:
    """Answers as told; remembers what was shown."""

    def __init__(self, answers: Iterator[str]) -> None:
        self.answers, self.shown, self.closed = answers, [], False

    def ask(self, frames_THWC: np.ndarray, number: int, total: int) -> str:
        self.shown.append((number, total, frames_THWC))
        try:
            return next(self.answers)
        except StopIteration:
            raise Stopped from None

    def close(self) -> None:
        self.closed = True


def seeing(count: int, seed: int = 0) -> Iterator[str]:
    return (KEYS[code] for code in codes_of(count, NUM_ACTIONS, seed))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_answers_become_the_actions_of_the_world(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    person = Person(seeing(12))
    before = load_world(film, "cpu")
    assert label_world(Label(str(film), clips=12, steps=4), person) and person.closed
    config = read_config(str(film))
    assert config.source.action_meanings == ("NOOP", "DOWN", "UP") and config.source.noop == 0
    assert config.action_map is not None and config.action_map.real_to_latent == (1, 0, 2)
    assert config.action_map.purity == (1.0, 1.0, 1.0) and config.action_map.num_labels == 12
    after = load_world(film, "cpu")
    assert all(
        bool((a == b).all()) for a, b in zip(before.dynamics.parameters(), after.dynamics.parameters(), strict=True)
    )
    env: Any = gym.make("Genie/World-v0", world=str(film)).unwrapped
    assert env.get_action_meanings() == ["NOOP", "DOWN", "UP"]
    keys = env.get_keys_to_action()
    assert keys[(key_code("up"),)] == keys[(key_code("w"),)] == 2 and keys[(key_code("s"),)] == 1
    env.reset(seed=0)
    assert env.step(2)[4]["latent_action"] == 2 and env.step(0)[4]["latent_action"] == 1
    assert "12 answers" in capsys.readouterr().out


def test_an_interrupted_session_goes_on_and_ends_as_if_it_had_not_been(film: Path, tmp_path: Path) -> None:
    whole = make_random_world(tmp_path / "whole", source=FILM, action_map=None)
    label_world(Label(str(whole), clips=9, steps=3), Person(seeing(9)))
    untouched, said = contents(film), list(seeing(9))

    def interrupted() -> Iterator[str]:
        yield from said[2:5]
        raise KeyboardInterrupt

    first, second, third = Person(iter(said[:2])), Person(interrupted()), Person(iter(said[5:]))
    assert not label_world(Label(str(film), clips=9, steps=3), first)
    with pytest.raises(KeyboardInterrupt):
        label_world(Label(str(film), clips=9, steps=3), second)
    assert contents(film) == untouched, "no map before all is answered"
    assert label_world(Label(str(film), clips=9, steps=3), third)
    assert [number for number, _, _ in third.shown] == [6, 7, 8, 9]
    assert read_config(str(film)).action_map == read_config(str(whole)).action_map
    assert (tmp_path / "film_labels" / ANSWERS).read_bytes() == (tmp_path / "whole_labels" / ANSWERS).read_bytes()
    more = Person(iter(list(seeing(12))[9:]))
    assert label_world(Label(str(film), clips=12, steps=3), more), "more clips ask only what is new"
    assert len(more.shown) == 3


def test_a_bundle_that_cannot_be_written_stays_as_it_is(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untouched = contents(film)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("genie_env.bundle.write_text", full)
        with pytest.raises(OSError, match="no space"):
            label_world(Label(str(film), clips=3, steps=2), Person(seeing(3)))
    assert contents(film) == untouched
    assert label_world(Label(str(film), clips=3, steps=2), Person(iter(()))), "nothing is asked twice"


def test_who_cannot_tell_is_not_counted_and_someone_must_tell() -> None:
    config = random_config(source=FILM, action_map=None)
    answers = (Answer(0, "left"), Answer(1, "?"), Answer(2, "x"), Answer(0, "left"))
    mapped = with_map(config, answers)
    assert mapped.source.action_meanings == ("LEFT", "X") and mapped.source.noop is None
    assert mapped.action_map is not None and mapped.action_map.real_to_latent == (0, 2)
    assert mapped.source.keys == {"left": 0, "a": 0, "x": 1} and mapped.action_map.num_labels == 3
    with pytest.raises(ValueError, match="none was"):
        with_map(config, (Answer(0, "?"),))


def test_two_keys_for_one_thing_are_one_effect() -> None:
    answers = tuple(Answer(code, key) for code, key in [(0, "up"), (0, "x"), (1, ""), (2, "down")] * 3)
    mapped = with_map(random_config(source=FILM, action_map=None), answers)
    names = dict(zip(mapped.source.action_meanings, mapped.source.effects, strict=True))
    assert names["UP"] == names["X"] and len(set(names.values())) == 3


@pytest.mark.parametrize(
    ("key", "said"), [("r", "already means reset"), ("tabulator", "one character"), ("\x1b", "key")]
)
def test_keys_that_cannot_be_played_are_refused(key: str, said: str) -> None:
    assert said in (key_problem(key) or "")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda kept: "nonsense", "answers"),
        (lambda kept: json.dumps({**kept, "world": "0" * 64}), "another world"),
        (lambda kept: json.dumps({**kept, "given": [{"code": 7, "key": "up"}]}), "from 0 to 2"),
        (lambda kept: json.dumps({**kept, "given": [{"code": 1, "key": "r"}]}), "already means"),
        (lambda kept: json.dumps({**kept, "given": [{"code": 1, "key": 3}]}), "answers"),
    ],
)
def test_answers_that_are_damaged_are_refused_by_name(
    film: Path, damage: Callable[[dict[str, Any]], str], message: str
) -> None:
    label_world(Label(str(film), clips=3, steps=2), Person(iter(["up"])))
    path = film.parent / "film_labels" / ANSWERS
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(FileError, match=message) as caught:
        label_world(Label(str(film), clips=3, steps=2), Person(seeing(3)))
    assert str(caught.value).startswith(str(path))


def test_worlds_whose_actions_are_known_are_not_labelled(random_world: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fit_action_map"):
        label_world(Label(str(random_world)), Person(iter(())))
    with pytest.raises(ValueError, match="clips: expected"):
        Label("w", clips=0)


def test_clips_hold_each_code_as_often_and_are_the_same_whenever_they_are_shown(film: Path) -> None:
    codes = codes_of(20, NUM_ACTIONS, 3)
    assert np.bincount(codes).min() >= 6 and np.array_equal(codes_of(50, NUM_ACTIONS, 3)[:20], codes)
    env = gym.make("Genie/World-v0", world=str(film), action_type="latent", render_mode="rgb_array")
    one, other, again = (dream_clip(env, number, 1, 5, 0).frames_THWC for number in (4, 5, 4))
    assert 2 <= len(one) <= 6 and one.shape[1:] == (64, 64, 3)
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    env.close()


def test_the_terminal_shows_files_and_asks_again_for_what_is_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (5, 16, 16, 3), dtype=np.uint8)
    said, prompts = iter(["r", "Tabulator", " UP ", "", "?", "quit"]), []

    def read(prompt: str) -> str:
        prompts.append(prompt)
        return next(said)

    asker = TerminalAsker(tmp_path, 15.0, 2, read)
    assert [asker.ask(frames, number, 9) for number in (1, 2, 3)] == ["up", "", "?"]
    with pytest.raises(Stopped):
        asker.ask(frames, 4, 9)
    assert "clip 1 of 9" in prompts[0] and str(tmp_path / "clip_001.gif") in prompts[0]
    assert {path.name for path in tmp_path.iterdir()} == {
        f"clip_00{n}.{kind}" for n in range(1, 5) for kind in ("gif", "png")
    }
    assert "already means reset" in capsys.readouterr().out


def test_the_command_asks_in_the_terminal_where_there_is_no_display(
    film: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = seeing(6)
    monkeypatch.setattr("builtins.input", lambda prompt: next(said))
    assert main(["label", str(film), "--clips", "6", "--steps", "3", "--scale", "1"]) == 0
    assert "UP: latent action 2" in capsys.readouterr().out
    assert (film.parent / "film_labels" / "clip_006.gif").exists()
    assert main(["label", str(film.parent / "missing")]) == 2


def test_a_key_pressed_in_the_window_is_the_answer() -> None:
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    asker = WindowAsker(1000.0, 1)

    def pressed(*keys: int) -> str:
        asker._renderer.draw(frames[0])
        pygame.event.clear()
        for key in keys:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=""))
        return asker.ask(frames, 1, 2)

    assert pressed(pygame.K_r, pygame.K_UP) == "up", "R is taken"
    assert pressed(pygame.K_RETURN) == "" and pressed(pygame.K_BACKSPACE) == "?" and pressed(pygame.K_SPACE) == "space"
    with pytest.raises(Stopped):
        pressed(pygame.K_ESCAPE)
    asker.close()
