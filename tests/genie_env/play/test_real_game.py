"""The real game beside a dream: same beginning, same actions, and back to where it was."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from genie_env.bundle import read_config
from genie_env.cli import main
from genie_env.play.loop import PlaySession
from genie_env.play.real_game import RealGameBeside
from genie_env.window.keyboard import Command
from genie_env.window.renderer import GAP, Renderer
from tests.helpers.fake_game import START_Y, FakeGame, picture
from tests.helpers.tiny_game import TinyPong
from tests.helpers.worlds import LATENT_TO_REAL, TELLING_CHANGES, make_random_world, random_config

CONFIG = random_config()
LEAD = CONFIG.dynamics.window


def twin(action_type: str = "real") -> RealGameBeside:
    return RealGameBeside(CONFIG, action_type, TinyPong())


def test_prompt_ends_where_the_game_stands_and_follows_its_seed() -> None:
    one, other = twin(), twin()
    clip = one.reset(seed=3)
    assert clip.shape == (LEAD, 64, 64, 3) and clip.dtype == np.uint8
    assert np.array_equal(clip[-1], one.frame_HWC) and not np.array_equal(clip[0], clip[-1])
    assert np.array_equal(other.reset(seed=3), clip)
    following = one.reset()
    assert np.array_equal(other.reset(), following) and not np.array_equal(following, clip)


def test_restored_game_goes_on_as_it_did() -> None:
    game = twin()
    game.reset(seed=1)
    for action in (1, 1, 2):
        game.step(action)
    place, here = game.snapshot(), game.frame_HWC
    later = []
    for _ in range(2):
        for action in (2, 2, 1, 0):
            game.step(action)
        later.append(game.frame_HWC)
        game.restore(place)
        assert np.array_equal(game.frame_HWC, here)
    assert np.array_equal(*later)


def test_latent_action_plays_the_real_one_it_stands_for() -> None:
    real, latent = twin(), twin("latent")
    real.reset(seed=0), latent.reset(seed=0)
    for action in (0, 1, 2, 2):
        latent.step(action)
        real.step(LATENT_TO_REAL[action])
        assert np.array_equal(real.frame_HWC, latent.frame_HWC)
    with pytest.raises(ValueError, match="no action map"):
        RealGameBeside(random_config(action_map=None), "latent", TinyPong())


def test_latent_action_that_tells_a_change_plays_what_it_changes_to() -> None:
    config = dataclasses.replace(CONFIG, action_map=TELLING_CHANGES)
    real, latent = RealGameBeside(config, "real", TinyPong()), RealGameBeside(config, "latent", TinyPong())
    real.reset(seed=0), latent.reset(seed=0)
    for change, action in ((1, 1), (0, 1), (1, 2), (1, 0), (2, 2)):
        place = latent.snapshot()
        latent.step((change + 1) % 3)
        latent.restore(place)
        latent.step(change)
        real.step(action)
        assert np.array_equal(real.frame_HWC, latent.frame_HWC)


def test_game_that_is_over_stands_still() -> None:
    game = RealGameBeside(CONFIG, "real", FakeGame(length=LEAD + 1))
    game.reset(seed=0)
    for _ in range(5):
        game.step(1)
    # Three steps led up to the dream; one was left to play, and one to end the game.
    assert np.array_equal(game.frame_HWC, picture(START_Y - 2))


class Prompted(FakeGame):
    """Remembers what its dreams began with."""

    prompts: list[Any]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        self.prompts = [*getattr(self, "prompts", []), (options or {}).get("frames")]
        return super().reset(seed=seed, options=options)


def test_session_leads_both_games_shows_both_and_films_both(tmp_path: Path) -> None:
    dream, real = Prompted(), FakeGame()
    session = PlaySession(dream, tmp_path, fps=30, scale=2, seed=5, real_game=RealGameBeside(CONFIG, "real", real))
    assert len(dream.prompts) == 1 and dream.prompts[0].shape == (LEAD, 32, 32, 3)
    session.run(Command.FILM)
    session.held.press("up")
    for _ in range(3):
        session.tick()
    session.run(Command.SNAPSHOT)
    for _ in range(2):
        session.tick()
    session.run(Command.RESTORE)
    assert real.y == dream.y == START_Y - 3
    session.run(Command.SCREENSHOT)
    session.draw(Renderer(2), 30.0)
    with Image.open(tmp_path / "genie-001.png") as image:
        shown = np.asarray(image)
    assert shown.shape[1] >= 2 * 64 + GAP
    session.close()
    with Image.open(tmp_path / "genie-001.gif") as image:
        assert image.size == (2 * 64 + GAP, 64)
    session.run(Command.RESET)
    assert len(dream.prompts) == 2


def test_dream_begins_with_the_real_games_picture(random_world: Path, tmp_path: Path) -> None:
    env = gym.make("Genie/World-v0", world=str(random_world), render_mode="rgb_array")
    game: Any = env.unwrapped
    beside = twin()
    session = PlaySession(env, tmp_path, fps=30, seed=0, real_game=beside)
    shown = game.world.decode(game.world.encode(beside.frame_HWC[None, None]))[0, 0].numpy()
    assert np.array_equal(session.frame_HWC, shown)
    session.tick()
    env.close()


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("", "names no source game"),
        ("ALE/Pong-v5", "genie-env[atari]"),
        ("Nowhere/NoSuchGame-v0", "NoSuchGame"),
    ],
)
def test_game_that_is_not_there_is_one_line_and_status_2(
    env_id: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    source = dataclasses.replace(CONFIG.source, env_id=env_id)
    world = make_random_world(tmp_path / "world", source=source)
    assert main(["play", "--world", str(world), "--beside-real", "--record", str(tmp_path / "data")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


@pytest.mark.skipif(importlib.util.find_spec("ale_py") is None, reason="needs the Atari extra")
def test_real_pong_comes_back_to_an_earlier_place() -> None:
    game = RealGameBeside(read_config("pong"), "real")
    game.reset(seed=0)
    rng = np.random.default_rng(0)
    for action in rng.integers(6, size=60):
        game.step(int(action))
    place = game.snapshot()
    frames = []
    for _ in range(2):
        for action in (2, 2, 3, 3, 3, 0) * 5:
            game.step(action)
        frames.append(game.frame_HWC)
        game.restore(place)
    assert np.array_equal(*frames)
    game.close()
