from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pygame
import pytest
from PIL import Image

from genie_env.frames import upscale
from genie_env.play.loop import PlaySession, play
from genie_env.window.hud import Hud
from genie_env.window.keyboard import Command
from genie_env.window.renderer import Renderer
from tests.helpers.fake_game import NOOP, START_Y, UP, FakeGame, picture

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


def test_session_carries_out_every_command(tmp_path: Path) -> None:
    session, _ = make_session(tmp_path)
    for command in Command:
        session.run(command)
        session.tick()
    session.close()


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
    before, counts = session.frame_HWC.copy(), session.game.counts
    session.handle(key_event("DOWN"))
    ticks(session, 6)
    after = session.frame_HWC.copy()
    session.run(Command.RESTORE)
    assert np.array_equal(session.frame_HWC, before) and session.game.counts == counts and game.time == 4
    ticks(session, 6)
    assert np.array_equal(session.frame_HWC, after)


def test_restore_brings_a_finished_game_back_and_does_nothing_without_a_snapshot(tmp_path: Path) -> None:
    session, game = make_session(tmp_path, length=5)
    ticks(session, 2)
    session.run(Command.RESTORE)
    assert session.game.counts.step == 2 and "F5" in str(session.hud(0.0).message)
    session.run(Command.SNAPSHOT)
    ticks(session, 10)
    assert session.over and len(game.actions) == 5
    session.run(Command.RESTORE)
    assert not session.idle and session.game.counts.step == 2
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


def test_tuned_world_stays_tuned_after_a_reset_and_goes_back_with_a_snapshot(
    endless_world: Path, tmp_path: Path
) -> None:
    env: Any = gym.make("Genie/World-v0", world=str(endless_world), render_mode="rgb_array").unwrapped
    session = PlaySession(env, tmp_path, FPS, seed=0)
    session.run(Command.WARMER)
    session.run(Command.RESET)
    assert env.temperature == pytest.approx(1.1) and env.action_diversity == 0.0
    ticks(session, 2)
    session.run(Command.SNAPSHOT)
    session.run(Command.MORE_DIVERSE)
    ticks(session, 3)
    assert env.action_diversity == pytest.approx(0.1) and session.hud(0.0).step == 5
    session.run(Command.RESTORE)
    assert env.action_diversity == 0.0 and session.hud(0.0).step == 2


def test_finished_game_waits_two_seconds_then_begins_anew(tmp_path: Path) -> None:
    session, game = make_session(tmp_path, length=3)
    ticks(session, 3 + 2 * FPS - 1)
    assert session.over and session.hud(0.0).message == "game over: press R"
    assert game.actions == [NOOP] * 3 and session.hud(0.0).total == 3.0
    session.tick()
    assert not session.over and session.game.counts.episode == 2 and game.seeds == [7, None]
    ticks(session, 3)
    session.run(Command.RESET)
    assert not session.idle and session.game.counts.episode == 3


def test_film_has_one_frame_a_step_and_quitting_finishes_it(tmp_path: Path) -> None:
    session, _ = make_session(tmp_path)
    session.run(Command.FILM)
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
    session.run(Command.FILM)
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


class ScriptedRenderer(Renderer):
    """Posts window events while a given picture is shown, as a person's keys arrive."""

    def __init__(self, script: dict[int, list[pygame.event.Event]]) -> None:
        super().__init__(scale=2, window=True)
        self.script, self.huds = script, list[Hud | None]()

    def draw(self, frame_HWC: np.ndarray, hud: Hud | None = None) -> np.ndarray:
        shown = super().draw(frame_HWC, hud)
        for event in self.script.get(len(self.huds), []):
            pygame.event.post(event)
        self.huds.append(hud)
        return shown


def test_bar_hides_and_comes_back_by_key_and_by_argument(tmp_path: Path) -> None:
    session, canvas = make_session(tmp_path)[0], Renderer(2)
    heights = []
    for key in (None, "h", "h"):
        if key is not None:
            session.handle(key_event(key, typed=key))
        session.run(Command.SCREENSHOT)
        session.draw(canvas, 30.0)
        with Image.open(tmp_path / f"genie-{len(heights) + 1:03d}.png") as image:
            heights.append(image.height)
    assert heights[1] == 64 and heights[0] == heights[2] > 64
    renderer = ScriptedRenderer({})
    play(FakeGame(), fps=0, renderer=renderer, out=tmp_path, max_steps=2, hud=False)
    renderer.close()
    assert renderer.huds == [None] * 3


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
    assert game.actions == [NOOP, NOOP, UP, UP, NOOP, NOOP]
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
