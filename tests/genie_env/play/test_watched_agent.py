"""An agent plays the window until a person takes over: whose turn it is, what it sees, and the way back."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from PIL import Image

from genie_env.bundle import read_config
from genie_env.bundled_policy import put_policy
from genie_env.cli import main
from genie_env.envs.options import OptionFlags
from genie_env.play import commands
from genie_env.play.real_game import RealGameBeside
from genie_env.play.session import PlaySession
from genie_env.play.watched_agent import WatchedAgent
from genie_env.play.watching import watchable_policy
from genie_env.policies.token_policy import TokenPolicy, load_token_policy
from genie_env.window.keyboard import Command
from tests.helpers.policies import make_token_policy
from tests.helpers.tiny_game import TinyPong
from tests.helpers.worlds import NUM_ACTIONS

NOOP, UP, DOWN = range(NUM_ACTIONS)


def no_encoder(frame_HWC: np.ndarray) -> np.ndarray:
    raise AssertionError("there is no real game to look at")


class Watched:
    """A session of an endless world that an agent plays."""

    def __init__(self, world: Path, folder: Path, always: int | None, beside: bool = False) -> None:
        import gymnasium as gym

        policy = load_token_policy(make_token_policy(folder / "policy", read_config(world), str(world), always=always))
        env = gym.make("Genie/World-v0", world=str(world), render_mode="rgb_array", obs_type="tokens")
        game: Any = env.unwrapped
        self.real_game = RealGameBeside(game.config, "real", TinyPong()) if beside else None

        def encode(frame_HWC: np.ndarray) -> np.ndarray:
            return game.world.encode(frame_HWC[None, None])[0, 0].numpy()

        agent = watchable_policy(policy)
        encoder = encode if beside else no_encoder
        self.agent = WatchedAgent(agent.make_player, agent.actions, encoder, seed=0, beside=beside)
        self.session = PlaySession(env, folder, fps=15, seed=0, real_game=self.real_game, agent=self.agent)

    def ticks(self, count: int) -> list[int]:
        """Actions of so many steps."""
        actions = []
        for _ in range(count):
            self.session.tick()
            actions.append(self.session.game.counts.action)
        return actions

    def press(self, key: int, typed: str = "", down: bool = True) -> None:
        kind = pygame.KEYDOWN if down else pygame.KEYUP
        self.session.handle(pygame.event.Event(kind, key=key, unicode=typed))


def test_agent_plays_until_a_key_of_the_game_and_again_after_g(endless_world: Path, tmp_path: Path) -> None:
    watched = Watched(endless_world, tmp_path, always=DOWN)
    assert watched.ticks(3) == [DOWN] * 3 and watched.session.hud(15).player == "agent"
    watched.press(pygame.K_UP)
    assert watched.ticks(2) == [UP] * 2 and watched.session.hud(15).player == "you"
    watched.press(pygame.K_UP, down=False)
    assert watched.ticks(2) == [NOOP] * 2
    watched.press(pygame.K_g, "g")
    assert watched.ticks(2) == [DOWN] * 2 and watched.session.hud(15).player == "agent"


def test_policy_is_watched_at_the_temperature_it_learned_at_unless_another_is_asked_for(
    endless_world: Path, tmp_path: Path
) -> None:
    policy = load_token_policy(make_token_policy(tmp_path / "policy", read_config(endless_world), str(endless_world)))
    warm = dataclasses.replace(policy, config=dataclasses.replace(policy.config, temperature=0.5))
    for asked, found in ((None, 0.5), (0.2, 0.2)):
        env = commands._make(str(endless_world), OptionFlags(temperature=asked), watchable_policy(warm))
        game: Any = env.unwrapped
        assert game.temperature == found
        env.close()


def test_bar_says_how_to_take_over_and_how_to_give_back(endless_world: Path, tmp_path: Path) -> None:
    watched = Watched(endless_world, tmp_path, always=DOWN)
    assert "takes over" in str(watched.session.hud(15).message)
    watched.press(pygame.K_UP)
    for _ in range(2):
        assert "G gives back" in str(watched.session.hud(15).message)
        watched.ticks(60)


def test_keys_of_no_action_leave_the_agent_playing(endless_world: Path, tmp_path: Path) -> None:
    watched = Watched(endless_world, tmp_path, always=DOWN)
    for key in (pygame.K_F1, pygame.K_h, pygame.K_v, pygame.K_RIGHTBRACKET):
        watched.press(key)
    assert watched.ticks(2) == [DOWN] * 2
    watched.session.close()


def test_paused_agent_plays_nothing_and_n_lets_it_play_one_step(endless_world: Path, tmp_path: Path) -> None:
    watched = Watched(endless_world, tmp_path, always=DOWN)
    watched.session.run(Command.PAUSE)
    watched.ticks(5)
    assert watched.session.num_steps == 0
    watched.session.run(Command.STEP)
    watched.ticks(3)
    assert watched.session.num_steps == 1


@pytest.mark.parametrize("beside", [False, True])
def test_restored_game_goes_on_as_the_agent_went_on(endless_world: Path, tmp_path: Path, beside: bool) -> None:
    watched = Watched(endless_world, tmp_path, always=None, beside=beside)
    watched.ticks(5)
    watched.session.run(Command.SNAPSHOT)
    runs = []
    for _ in range(2):
        actions = watched.ticks(20)
        real_game = watched.real_game.snapshot() if watched.real_game else None
        runs.append((actions, watched.session.frame_HWC.tobytes(), real_game))
        watched.session.run(Command.RESTORE)
    assert runs[0] == runs[1] and len(set(runs[0][0])) > 1


def test_agent_looks_at_each_game_and_a_person_plays_both_alike(
    endless_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, seen = Watched(endless_world, tmp_path, always=None, beside=True), list[bytes]()
    plain = TokenPolicy.logits
    monkeypatch.setattr(TokenPolicy, "logits", lambda self, x: (seen.append(x.tobytes()), plain(self, x))[1])
    real_game = watched.real_game
    assert real_game is not None
    lead = len(real_game.snapshot().actions)
    dreamed = watched.ticks(30)
    played = list(real_game.snapshot().actions[lead:])
    assert len(played) == 30 and played != dreamed and len(seen) == 60
    assert seen[0] == seen[1] and seen[-2] != seen[-1], "both begin alike and then differ"
    watched.press(pygame.K_UP)
    watched.ticks(4)
    assert real_game.snapshot().actions[-4:] == (UP,) * 4
    assert watched.session.hud(15).real_total == real_game.total


def test_world_shows_its_own_policy_in_the_window(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played, tick = list[int](), PlaySession.tick
    monkeypatch.setattr(
        PlaySession, "tick", lambda self: (tick(self), played.append(self.game.counts.action), stop(self))[0]
    )

    def stop(session: PlaySession) -> None:
        session.finished = len(played) >= 8

    assert main(["play", "--watch", "--world", str(bundle), "--fps", "0", "--out", str(tmp_path)]) == 0
    assert played == [DOWN] * 8
    other = make_token_policy(tmp_path / "other", read_config(bundle), str(bundle), "latent", always=0)
    argv = ["play", "--watch", str(other), "--world", str(bundle), "--fps", "0", "--beside-real"]
    played.clear()
    assert main(argv) == 0
    assert played == [0] * 8


@pytest.mark.parametrize("planner", ["planner:cem", "planner:tree"])
def test_planner_plays_dream_and_real_game_in_the_window(
    endless_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planner: str
) -> None:
    played, tick = list[int](), PlaySession.tick

    def eight_ticks(self: PlaySession) -> None:
        tick(self)
        played.append(self.game.counts.action)
        if len(played) == 8:
            self.finished = True

    monkeypatch.setattr(PlaySession, "tick", eight_ticks)
    argv = ["play", "--watch", planner, "--world", str(endless_world), "--fps", "0", "--beside-real"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    assert len(played) == 8 and played[0] == played[3] and played[4] == played[7], "each choice is held for four steps"


@pytest.fixture
def bundle(endless_world: Path, tmp_path: Path) -> Path:
    """A world that brings an agent which always moves down."""
    policy = make_token_policy(tmp_path / "own", read_config(endless_world), str(endless_world), always=DOWN)
    return put_policy(shutil.copytree(endless_world, tmp_path / "bundle"), policy)


REFUSED: dict[str, Callable[[Path], list[str]]] = {
    "brings no policy": lambda policy: ["--watch"],
    "expected one policy": lambda policy: ["--watch", str(policy), str(policy)],
    "missing": lambda policy: ["--watch", "no/such/policy"],
    "planner:tree": lambda policy: ["--watch", "planner:oak"],
    "without --watch": lambda policy: ["--watch", str(policy), "--record", "played"],
    "chooses real actions": lambda policy: ["--watch", str(policy), "--action-type", "latent"],
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_cannot_be_watched_is_one_line(
    endless_world: Path, tmp_path: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = make_token_policy(tmp_path / "policy", read_config(endless_world), str(endless_world))
    assert main(["play", "--world", str(endless_world), *REFUSED[word](policy)]) == 2
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1


def test_demo_without_a_display_shows_the_agent_in_dream_and_real_game(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["demo", "--world", str(bundle), "--steps", "12", "--scale", "2", "--out", str(tmp_path / "out")]
    assert main(argv) == 0
    shown = capsys.readouterr().out
    assert "the agent that learned in the dream: dream" in shown and "real game" in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["demo.gif", "demo.mp4"]
    with Image.open(tmp_path / "out" / "demo.gif") as image:
        assert image.width >= 2 * 2 * 64


def test_demo_shows_the_dream_alone_where_the_game_is_not_installed(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("needs the Atari extra")

    monkeypatch.setattr("genie_env.games.source_game.make_source_game", missing)
    assert main(["demo", "--world", str(bundle), "--steps", "5", "--out", str(tmp_path / "out")]) == 0
    assert "the agent that learned in the dream: dream" in (shown := capsys.readouterr().out)
    assert "real game" not in shown


def test_demo_with_a_display_lets_the_agent_play_both_games_in_the_window(
    bundle: Path, endless_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[commands.Play]()
    monkeypatch.setattr("genie_env.window.display.has_display", lambda: True)
    monkeypatch.setattr(commands, "play_world", asked.append)
    for world in (bundle, endless_world):
        assert main(["demo", "--world", str(world)]) == 0
    with_agent, without = asked
    assert with_agent.watch == () and with_agent.beside_real
    assert without.watch is None and not without.beside_real
