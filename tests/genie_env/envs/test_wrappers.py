"""Gymnasium's own wrappers and tools work unchanged, around one environment and around many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium import wrappers
from gymnasium.utils.play import play
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import genie_env  # noqa: F401 (registers the ids)
from genie_env.files.video import import_av
from tests.helpers.worlds import NUM_ACTIONS, REAL_TO_LATENT

ID = "Genie/World-v0"
ROWS = 3
BOTH_MODES = pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])


def single(world: Path, **options: Any) -> gym.Env[Any, Any]:
    return gym.make(ID, world=str(world), **options)


def many(world: Path, **options: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
    return gym.make_vec(ID, num_envs=ROWS, world=str(world), **options)


def moves(steps: int, rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(0).integers(NUM_ACTIONS, size=(steps, rows))


def frames_of(path: Path) -> np.ndarray:
    with import_av().open(str(path)) as film:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])


@pytest.mark.parametrize(
    ("wrap", "shape"),
    [
        (wrappers.RecordEpisodeStatistics, (64, 64, 3)),
        (wrappers.GrayscaleObservation, (64, 64)),
        (lambda env: wrappers.FrameStackObservation(env, 4), (4, 64, 64, 3)),
        (lambda env: wrappers.ResizeObservation(env, (32, 40)), (32, 40, 3)),
        (lambda env: wrappers.TransformReward(env, lambda reward: 2 * reward), (64, 64, 3)),
        (lambda env: wrappers.TimeLimit(env, 3), (64, 64, 3)),
        (lambda env: wrappers.FlattenObservation(wrappers.RescaleObservation(env, 0.0, 1.0)), (64 * 64 * 3,)),
    ],
)
def test_wrapper_of_one_environment(random_world: Path, wrap: Callable[[Any], Any], shape: tuple[int, ...]) -> None:
    env, plain = wrap(single(random_world)), single(random_world)
    obs, _ = env.reset(seed=0)
    plain.reset(seed=0)
    assert obs.shape == shape and obs in env.observation_space
    for step, action in enumerate(moves(5)[:, 0].tolist()):
        obs, reward, terminated, truncated, _ = env.step(action)
        _, own_reward, own_terminated, _, _ = plain.step(action)
        assert obs in env.observation_space and terminated == own_terminated
        assert reward == own_reward * (2 if isinstance(env, wrappers.TransformReward) else 1)
        assert truncated == (isinstance(env, wrappers.TimeLimit) and step >= 2)


@pytest.mark.parametrize(
    ("wrap", "shape"),
    [
        (wrappers.vector.GrayscaleObservation, (ROWS, 64, 64)),
        (lambda envs: wrappers.vector.ResizeObservation(envs, (32, 40)), (ROWS, 32, 40, 3)),
        (lambda envs: wrappers.vector.TransformReward(envs, lambda rewards: 2 * rewards), (ROWS, 64, 64, 3)),
        (wrappers.vector.FlattenObservation, (ROWS, 64 * 64 * 3)),
        (wrappers.vector.DictInfoToList, (ROWS, 64, 64, 3)),
    ],
)
def test_wrapper_of_many_environments(random_world: Path, wrap: Callable[[Any], Any], shape: tuple[int, ...]) -> None:
    envs, plain = wrap(many(random_world, max_episode_steps=3)), many(random_world, max_episode_steps=3)
    obs, _ = envs.reset(seed=0)
    plain.reset(seed=0)
    assert obs.shape == shape == envs.observation_space.shape
    for actions in moves(8):
        obs, rewards, *ends, _ = envs.step(actions)
        _, own_rewards, *own_ends, _ = plain.step(actions)
        factor = 2 if isinstance(envs, wrappers.vector.TransformReward) else 1
        assert np.array_equal(rewards, factor * own_rewards) and np.array_equal(ends, own_ends)


@BOTH_MODES
def test_episode_statistics_of_many_are_those_of_gymnasiums_own(
    random_world: Path, mode: AutoresetMode, lively: None
) -> None:
    ours = wrappers.vector.RecordEpisodeStatistics(many(random_world, autoreset_mode=mode, max_episode_steps=6))
    singles = [lambda: single(random_world, max_episode_steps=6)] * ROWS
    theirs = wrappers.vector.RecordEpisodeStatistics(SyncVectorEnv(singles, autoreset_mode=mode))
    ours.reset(seed=0), theirs.reset(seed=0)
    counted = 0
    for actions in moves(40):
        got, expected = ours.step(actions)[-1], theirs.step(actions)[-1]
        assert ("episode" in got) == ("episode" in expected)
        if "episode" in got:
            for key in ("r", "l"):
                assert np.array_equal(got["episode"][key], expected["episode"][key])
            counted += int(got["_episode"].sum())
    assert counted > 10


def test_video_of_one_environment_has_a_frame_a_step(random_world: Path, tmp_path: Path) -> None:
    env = single(random_world, render_mode="rgb_array", max_episode_steps=6)
    film = wrappers.RecordVideo(env, str(tmp_path / "film"), episode_trigger=lambda episode: episode == 0)
    film.reset(seed=0)
    steps = 0
    for action in moves(6)[:, 0].tolist():
        steps += 1
        _, _, terminated, truncated, _ = film.step(action)
        if terminated or truncated:
            break
    film.close()
    assert len(frames_of(tmp_path / "film" / "rl-video-episode-0.mp4")) == steps + 1


def test_video_of_many_environments_is_that_of_gymnasiums_own(random_world: Path, tmp_path: Path) -> None:
    kinds = {"ours": None, "theirs": "sync"}
    for name, kind in kinds.items():
        envs = many(random_world, render_mode="rgb_array", max_episode_steps=4, vectorization_mode=kind)
        film = wrappers.vector.RecordVideo(
            envs, str(tmp_path / name), step_trigger=lambda step: step == 0, video_length=5
        )
        film.reset(seed=0)
        for actions in moves(7):
            film.step(actions)
        film.close()
    ours, theirs = (frames_of(tmp_path / name / "rl-video-step-0.mp4") for name in kinds)
    assert len(ours) >= 5 and np.array_equal(ours, theirs)


@pytest.mark.parametrize("action_type", ["real", "latent"])
def test_gymnasiums_play_plays_with_the_worlds_keys(
    random_world: Path, action_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = single(random_world, render_mode="rgb_array", action_type=action_type)
    game: Any = env.unwrapped
    monkeypatch.setattr(pygame, "quit", lambda: None)  # Other tests have windows too.
    pygame.display.init()
    pygame.event.clear()  # And keys that nobody has read.
    played: list[int] = []
    script = {
        2: pygame.event.Event(pygame.KEYDOWN, key=pygame.K_UP),
        4: pygame.event.Event(pygame.KEYUP, key=pygame.K_UP),
        5: pygame.event.Event(pygame.KEYDOWN, key=pygame.K_DOWN),
        8: pygame.event.Event(pygame.QUIT),
    }

    def after_step(_obs: Any, _next: Any, action: int, *_rest: Any) -> None:
        played.append(action)
        if len(played) in script:
            pygame.event.post(script[len(played)])

    play(env, zoom=2, seed=0, noop=game.noop_action, callback=after_step)
    pygame.display.quit()
    names = [0, 0, 1, 1, 0, 2, 2, 2]
    assert played == [name if action_type == "real" else REAL_TO_LATENT[name] for name in names]
