"""Environments on a server are those of this machine, frame for frame."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

pytest.importorskip("websockets", reason="the extra 'serve' is not installed")
pytest.importorskip("msgpack", reason="the extra 'serve' is not installed")

import genie_env  # noqa: F401 (registers the ids)
from genie_env.remote import connection
from genie_env.remote.client import RemoteEnv, RemoteVectorEnv
from genie_env.remote.connection import RemoteError
from genie_env.remote.server import ServeConfig, background_server
from genie_env.remote.wire import pack
from tests.helpers.results import same

ID = "Genie/Remote-v0"


def make(url: str, **options: Any) -> Any:
    return gym.make(ID, url=url, **options)


@pytest.mark.parametrize("obs_type", ["rgb", "tokens"])
def test_remote_dream_is_the_local_one(url: str, random_world: Path, obs_type: str) -> None:
    options = {"obs_type": obs_type, "action_diversity": 0.3, "render_mode": "rgb_array"}
    far, near = make(url, **options), gym.make("Genie/World-v0", world=str(random_world), **options)
    assert far.observation_space == near.observation_space and far.action_space == near.action_space
    assert far.unwrapped.get_action_meanings() == near.unwrapped.get_action_meanings()
    assert far.metadata["render_fps"] == near.metadata["render_fps"]
    assert same(far.reset(seed=7, options={"temperature": 0.7}), near.reset(seed=7, options={"temperature": 0.7}))
    for step in range(60):
        results = far.step(step % 3), near.step(step % 3)
        assert same(*results) and same(far.render(), near.render())
        if results[0][2]:
            assert same(far.reset(), near.reset())
    far.close()


def test_passes_gymnasiums_checker(url: str) -> None:
    env = make(url, render_mode="rgb_array")
    check_env(env.unwrapped)
    json.dumps(env.spec.to_json())
    env.close()
    env.close()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_remote_rows_are_the_local_ones(url: str, random_world: Path, mode: str, lively: None) -> None:
    options = {"autoreset_mode": mode, "max_episode_steps": 15, "render_mode": "rgb_array"}
    far = gym.make_vec(ID, 3, url=url, **options)
    near = gym.make_vec("Genie/World-v0", 3, world=str(random_world), **options)
    assert isinstance(far, RemoteVectorEnv) and far.metadata["autoreset_mode"] == AutoresetMode(mode)
    assert far.observation_space == near.observation_space and far.action_space == near.action_space
    assert same(far.reset(seed=4), near.reset(seed=4))
    rng = np.random.default_rng(0)
    for _ in range(40):
        actions = rng.integers(0, 3, 3)
        assert same(far.step(actions), near.step(actions))
    assert same(far.render(), near.render())
    mask = np.array([True, False, True])
    assert same(far.reset(options={"reset_mask": mask}), near.reset(options={"reset_mask": mask}))
    far.close()


def test_uncertainty_of_an_ensemble_travels(ensemble_world: Path) -> None:
    options = {"members": 2, "max_uncertainty": 30.0, "uncertainty_penalty": 0.1}
    with background_server(ServeConfig(str(ensemble_world), port=0)) as address:
        far, near = make(address, **options), gym.make("Genie/World-v0", world=str(ensemble_world), **options)
        assert same(far.reset(seed=7), near.reset(seed=7))
        for step in range(12):
            results = far.step(step % 3), near.step(step % 3)
            assert same(*results) and {"uncertainty", "too_uncertain"} <= set(results[0][-1])
        far.close()
        rows = [gym.make_vec(ID, 3, url=address, **options)]
        rows.append(gym.make_vec("Genie/World-v0", 3, world=str(ensemble_world), **options))
        assert same(*(envs.reset(seed=4) for envs in rows))
        for _ in range(8):
            assert same(*(envs.step(np.ones(3, int)) for envs in rows))
        rows[0].close()


def test_prompts_of_frames_begin_remote_dreams(url: str, random_world: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    far, near = make(url), gym.make("Genie/World-v0", world=str(random_world))
    assert same(far.reset(seed=1, options={"frames": frames}), near.reset(seed=1, options={"frames": frames}))
    far.close()


def test_every_client_has_a_dream_of_its_own(url: str) -> None:
    def dream(seed: int, into: dict[int, bytes]) -> None:
        env = make(url)
        env.reset(seed=seed)
        into[seed] = b"".join(env.step(1)[0].tobytes() for _ in range(10))
        env.close()

    alone: dict[int, bytes] = {}
    together: dict[int, bytes] = {}
    for seed in range(4):
        dream(seed, alone)
    threads = [threading.Thread(target=dream, args=(seed, together)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alone == together and len(set(alone.values())) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda env: env.reset(options={"start": 99}), "start: expected an integer from 0"),
        (lambda env: env.reset(options={"starts": 1}), "a remote world takes some of"),
        (lambda env: env.reset(options={"temperature": "hot"}), "temperature: expected a number"),
        (lambda env: env.unwrapped.step(99), "action: expected a member"),
    ],
)
def test_a_refused_request_leaves_the_dream_as_it_was(url: str, call: Any, message: str) -> None:
    env, other = make(url), make(url)
    for each in (env, other):
        each.reset(seed=3)
    with pytest.raises(ValueError, match=message):
        call(env)
    assert same(env.step(1), other.step(1))
    env.close()
    other.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world": "pong"}, "a remote world takes some of"),
        ({"device": "cuda"}, "a remote world takes some of"),
        ({"obs_type": "smell"}, "obs_type: expected one of"),
        ({"render_mode": "smell"}, "render_mode: "),
    ],
)
def test_options_that_are_not_the_clients_are_refused(url: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RemoteEnv(url, **options)


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1", "ws://", 7, "ws://127.0.0.1:1"])
def test_an_address_without_a_server_is_one_error(url: Any) -> None:
    with pytest.raises(RemoteError) as caught:
        make(url)
    assert "\n" not in str(caught.value) and (
        "expected ws://" in str(caught.value) or "genie-env serve" in str(caught.value)
    )


# The thread in which websockets reads may meet the socket closed while it answers; what the caller sees is the same.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_port_that_speaks_something_else_is_one_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def talk() -> None:
            client, _ = other.accept()
            client.sendall(b"220 mail.example ESMTP\r\n")
            client.close()

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(RemoteError, match="no world is served there"):
            make(f"ws://127.0.0.1:{other.getsockname()[1]}")
        thread.join()


NONSENSE = {
    "no answer": b"\xc1",
    "both": pack({"ok": 1, "error": "x"}),
    "no description": pack({"ok": None}),
    "endless observations": pack(
        {"ok": {"observation": {"dtype": "uint8", "shape": [2**20] * 4, "low": 0, "high": 1}, "actions": ["A"]}}
    ),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_a_server_that_answers_nonsense_is_one_error(url: str, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = connection.Connection(url)
    monkeypatch.setattr(opened, "_socket", Fake(answer))
    monkeypatch.setattr("genie_env.remote.client.Connection", lambda *_: opened)
    with pytest.raises(RemoteError, match="the connection is closed"):
        make(url)


class Fake:
    """A socket that answers everything alike."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def send(self, data: bytes) -> None:
        pass

    def recv(self, timeout: float | None = None) -> bytes:
        return self._answer


def test_an_observation_that_fits_no_space_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make(url)
    env.reset(seed=0)
    monkeypatch.setattr(env.unwrapped._connection, "_socket", Fake(pack({"ok": [np.zeros(3), 0.0, False, False, {}]})))
    with pytest.raises(RemoteError, match="expected an observation of Box"):
        env.step(0)
