from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from PIL import Image

from genie_env.keyboard import (
    COMMAND_KEYS,
    Command,
    HeldKeys,
    action_of,
    command_of,
    key_code,
    key_name,
    key_table,
)
from genie_env.pacer import Pacer
from genie_env.play import PlaySession, play
from genie_env.renderer import Hud, Renderer, upscale
from tests import fake_game
from tests.fake_game import DOWN, JUMP, NOOP, START_Y, UP, FakeGame, picture

FPS = 30


def make_session(tmp_path: Path, length: int = 10**9) -> tuple[PlaySession, FakeGame]:
    game = FakeGame(length)
    return PlaySession(game, tmp_path, FPS, scale=2, seed=7), game


def ticks(session: PlaySession, num: int) -> None:
    for _ in range(num):
        session.tick()


def key_event(name: str, down: bool = True, typed: str = "") -> pygame.event.Event:
    kind = pygame.KEYDOWN if down else pygame.KEYUP
    return pygame.event.Event(kind, key=getattr(pygame, f"K_{name}"), unicode=typed)


class FakeClock:
    """A clock that only moves when told to; sleeping oversleeps a little, as real ones do."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds + 0.0007


def test_every_command_has_exactly_one_key() -> None:
    assert sorted(command.value for command in COMMAND_KEYS.values()) == sorted(
        command.value for command in Command
    )


def test_session_carries_out_every_command(tmp_path: Path) -> None:
    session, _ = make_session(tmp_path)
    for command in Command:
        session.run(command)
        session.tick()
    session.close()


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


def test_held_key_plays_until_it_comes_up(tmp_path: Path) -> None:
    session, game = make_session(tmp_path)
    session.handle(key_event("UP"))
    ticks(session, 3)
    session.handle(key_event("UP", down=False))
    ticks(session, 2)
    assert game.actions == [UP, UP, UP, NOOP, NOOP]
    assert np.array_equal(session.frame_HWC, picture(START_Y - 3))
    assert session.hud(30.0).action == "NOOP" and session.hud(30.0).total == 5.0


def test_key_does_not_stick_when_the_window_loses_the_keyboard(tmp_path: Path) -> None:
    session, game = make_session(tmp_path)
    session.handle(key_event("UP"))
    session.handle(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    session.tick()
    assert game.actions == [NOOP]


def test_pause_stops_stepping_and_n_plays_one_step(tmp_path: Path) -> None:
    session, game = make_session(tmp_path)
    session.run(Command.STEP)
    session.tick()
    assert len(game.actions) == 1  # While it runs, N adds nothing.
    session.run(Command.PAUSE)
    ticks(session, 200)
    assert len(game.actions) == 1 and session.hud(0.0).message == "paused: P goes on, N plays one step"
    session.handle(key_event("UP"))
    session.run(Command.STEP)
    ticks(session, 5)
    assert game.actions == [NOOP, UP]
    session.run(Command.PAUSE)
    ticks(session, 2)
    assert len(game.actions) == 4


def test_restored_game_goes_on_as_it_did(tmp_path: Path) -> None:
    session, game = make_session(tmp_path)
    ticks(session, 4)
    session.run(Command.SNAPSHOT)
    before, counts = session.frame_HWC.copy(), session.counts
    session.handle(key_event("DOWN"))
    ticks(session, 6)
    after = session.frame_HWC.copy()
    session.run(Command.RESTORE)
    assert np.array_equal(session.frame_HWC, before) and session.counts == counts and game.time == 4
    ticks(session, 6)
    assert np.array_equal(session.frame_HWC, after)


def test_restore_brings_a_finished_game_back_and_does_nothing_without_a_snapshot(tmp_path: Path) -> None:
    session, game = make_session(tmp_path, length=5)
    ticks(session, 2)
    session.run(Command.RESTORE)
    assert session.counts.step == 2 and "F5" in str(session.hud(0.0).message)
    session.run(Command.SNAPSHOT)
    ticks(session, 10)
    assert session.counts.over and len(game.actions) == 5
    session.run(Command.RESTORE)
    assert not session.idle and session.counts.step == 2
    session.tick()
    assert len(game.actions) == 6


def test_temperature_and_diversity_move_by_a_tenth_within_bounds_and_outlive_a_reset(tmp_path: Path) -> None:
    session, game = make_session(tmp_path)
    for _ in range(3):
        session.run(Command.WARMER)
        session.run(Command.MORE_DIVERSE)
    session.run(Command.RESET)
    assert game.temperature == 1.3 and game.action_diversity == 0.3
    for _ in range(20):
        session.run(Command.COOLER)
        session.run(Command.LESS_DIVERSE)
    assert game.temperature == 0.0 and game.action_diversity == 0.0
    for _ in range(20):
        session.run(Command.MORE_DIVERSE)
    assert game.action_diversity == 1.0


def test_untouched_temperature_stays_the_environments_own(tmp_path: Path) -> None:
    session, game = make_session(tmp_path)
    session.run(Command.WARMER)
    session.run(Command.RESET)
    game.action_diversity = 0.4
    session.run(Command.RESET)
    assert game.temperature == 1.1 and game.action_diversity == 0.0


def test_finished_game_waits_two_seconds_then_begins_anew(tmp_path: Path) -> None:
    session, game = make_session(tmp_path, length=3)
    ticks(session, 3 + 2 * FPS - 1)
    assert session.counts.over and session.hud(0.0).message == "game over: press R"
    assert game.actions == [NOOP] * 3 and session.hud(0.0).total == 3.0
    session.tick()
    assert not session.counts.over and session.episode == 2 and game.seeds == [7, None]
    ticks(session, 3)
    session.run(Command.RESET)
    assert not session.idle and session.episode == 3


def test_film_has_one_frame_a_step_and_quitting_finishes_it(tmp_path: Path) -> None:
    session, _ = make_session(tmp_path)
    session.run(Command.RECORD)
    session.handle(key_event("UP"))
    ticks(session, 6)
    session.run(Command.PAUSE)
    ticks(session, 5)
    session.close()
    session.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genie-001.gif", "genie-001.mp4"]
    with Image.open(tmp_path / "genie-001.gif") as image:
        assert image.size == (64, 64) and getattr(image, "n_frames", 1) == 6


def test_screenshots_are_of_the_picture_shown_and_never_overwrite(tmp_path: Path) -> None:
    session, _ = make_session(tmp_path)
    for number in (1, 2):
        session.run(Command.SCREENSHOT)
        session.shown(np.full((4, 4, 3), number, np.uint8))
        session.shown(np.zeros((4, 4, 3), np.uint8))
    for number in (1, 2):
        with Image.open(tmp_path / f"genie-{number:03d}.png") as image:
            assert (np.asarray(image) == number).all()


def test_full_disk_does_not_end_the_game(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("where the folder should be")
    session = PlaySession(FakeGame(), blocked, FPS)
    session.run(Command.SCREENSHOT)
    session.shown(picture(0))
    assert str(session.hud(0.0).message).startswith("not saved")
    session.run(Command.RECORD)
    session.tick()
    assert str(session.hud(0.0).message).startswith("not filmed")
    session.tick()
    session.close()


def test_environment_without_pictures_is_refused(tmp_path: Path) -> None:
    game = FakeGame()
    game.render_mode = "human"
    with pytest.raises(ValueError, match="rgb_array"):
        PlaySession(game, tmp_path, FPS)
    with pytest.raises(ValueError, match="fps"):
        play(FakeGame(), fps=-1)


@pytest.mark.parametrize("fps", [15, 30, 59.94])
def test_pace_does_not_drift(fps: float) -> None:
    clock = FakeClock()
    pacer = Pacer(fps, clock.now, clock.sleep)
    work = np.random.default_rng(0).uniform(0, 0.9 / fps, 3000)
    for index, seconds in enumerate(work):
        clock.time += 2.5 / fps if index % 500 == 0 else seconds
        pacer.wait()
    assert clock.time - 100 == pytest.approx(3000 / fps, abs=0.001)
    assert pacer.rate == pytest.approx(fps, rel=0.05)


def test_stall_is_not_made_up_for() -> None:
    clock = FakeClock()
    pacer = Pacer(20, clock.now, clock.sleep)
    pacer.wait()
    clock.time += 10
    pacer.wait()
    began = clock.time
    for _ in range(20):
        pacer.wait()
    assert clock.time - began == pytest.approx(1.0, abs=0.002)


def test_unpaced_loop_sleeps_only_when_asked_to() -> None:
    clock = FakeClock()
    pacer = Pacer(0, clock.now, clock.sleep)
    pacer.wait()
    assert clock.time == 100 and pacer.rate == 0
    pacer.wait(at_most=20)
    assert clock.time == pytest.approx(100.05, abs=0.002)


class ScriptedRenderer(Renderer):
    """Posts window events while a given picture is shown, as a person's keys arrive."""

    def __init__(self, script: dict[int, list[pygame.event.Event]]) -> None:
        super().__init__(scale=2, window=True)
        self.script, self.huds = script, list[Hud]()

    def draw(self, frame_HWC: np.ndarray, hud: Hud | None = None) -> np.ndarray:
        shown = super().draw(frame_HWC, hud)
        assert hud is not None
        for event in self.script.get(len(self.huds), []):
            pygame.event.post(event)
        self.huds.append(hud)
        return shown


def test_key_pressed_while_a_picture_shows_plays_in_the_very_next_step(tmp_path: Path) -> None:
    game = FakeGame()
    renderer = ScriptedRenderer(
        {
            2: [key_event("UP")],
            4: [key_event("UP", down=False), key_event("F12")],
            6: [key_event("p", typed="p")],
            9: [pygame.event.Event(pygame.QUIT)],
        }
    )
    play(game, fps=0, renderer=renderer, out=tmp_path)
    renderer.close()
    assert game.actions == [NOOP, NOOP, UP, UP, NOOP, NOOP, NOOP]
    with Image.open(tmp_path / "genie-001.png") as image:
        shown = np.asarray(image)
    left = (shown.shape[1] - 64) // 2
    assert np.array_equal(shown[:64, left : left + 64], upscale(picture(START_Y - 2), 2))


def test_play_runs_headless_at_its_rate_and_stops_after_max_steps(tmp_path: Path) -> None:
    game = FakeGame()
    began = time.perf_counter()
    play(game, fps=50, scale=1, max_steps=10, renderer=Renderer(1), seed=3, out=tmp_path)
    assert time.perf_counter() - began >= 10 / 50
    assert len(game.actions) == 10 and game.seeds == [3] and list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def virtual_display() -> Iterator[str]:
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x700x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            yield f":{pipe.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.mark.skipif(not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="needs Xvfb and xdotool")
def test_person_plays_in_a_real_window(tmp_path: Path) -> None:
    with virtual_display() as display:
        environment = os.environ | {"DISPLAY": display, "SDL_VIDEODRIVER": "x11"}

        def xdotool(*words: str) -> str:
            return subprocess.run(
                ["xdotool", *words], env=environment, check=True, text=True, capture_output=True, timeout=30
            ).stdout

        command = [sys.executable, "-m", fake_game.__name__, str(tmp_path)]
        player = subprocess.Popen(command, env=environment, cwd=Path(__file__).parent.parent)
        try:
            window = xdotool("search", "--sync", "--onlyvisible", "--name", "Genie Env").split()[0]
            xdotool("windowfocus", "--sync", window)
            xdotool("keydown", "Up", "sleep", "1.5", "keyup", "Up", "key", "p", "sleep", "0.3", "key", "F12")
            wait_for((tmp_path / "genie-001.png").exists)
            xdotool("windowsize", "--sync", window, "640", "480")
            xdotool("windowfocus", "--sync", window, "key", "Escape")
            assert player.wait(20) == 0
        finally:
            player.kill()
            player.wait()
    with Image.open(tmp_path / "genie-001.png") as image:
        shown = np.asarray(image)
    left = (shown.shape[1] - 256) // 2
    # Half a second of holding the key is more than the dot needs to reach the top.
    assert np.array_equal(shown[:256, left : left + 256], upscale(picture(0), 8))
    assert (shown[256:] > 200).any(), "the bar is empty"
