"""A server keeps its limits, and whoever breaks the protocol gets one error and is cut off, alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("websockets", reason="the extra 'serve' is not installed")
pytest.importorskip("msgpack", reason="the extra 'serve' is not installed")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import genie_env  # noqa: F401 (registers the ids)
from genie_env.cli import main
from genie_env.remote.access import is_loopback
from genie_env.remote.connection import RemoteError
from genie_env.remote.server import ServeConfig, background_server
from genie_env.remote.wire import pack, unpack
from tests.genie_env.remote.test_wire import HOSTILE

ID = "Genie/Remote-v0"
TOKEN = "correct-horse-battery"
OPEN = pack({"op": "open", "version": 1, "rows": None, "options": None})


def talk(url: str, *messages: Any, **kwargs: Any) -> tuple[list[Any], int | None]:
    """Everything that a server answers, and the code with which it closed, if it did."""
    answers: list[Any] = []
    with connect(url, compression=None, **kwargs) as client:
        try:
            for message in messages:
                client.send(message)
                answers.append(unpack(client.recv(timeout=30)))
            answers.append(unpack(client.recv(timeout=0.2)))
        except TimeoutError:
            return answers, None
        except ConnectionClosed as closed:
            return answers, closed.rcvd.code if closed.rcvd else None
    raise AssertionError("more answers than requests")


@pytest.mark.parametrize("after_open", [False, True])
@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_messages_get_one_error_and_the_end(url: str, data: Any, after_open: bool) -> None:
    answers, code = talk(url, *([OPEN] if after_open else []), data)
    assert set(answers[-1]) == {"error"} and "expected" in answers[-1]["error"] and code == 1008
    assert len(answers) == 1 + after_open


@pytest.mark.parametrize(
    "message",
    [
        {"op": "step", "action": 0},
        {"op": "open", "version": 2, "rows": None, "options": None},
        {"op": "open", "version": "1", "rows": None, "options": None},
        {"op": "open", "version": 1, "rows": -1, "options": None},
        {"op": "open", "version": 1, "rows": "many", "options": None},
        {"op": "open", "version": 1, "rows": 10**9, "options": None},
        {"op": "open", "version": 1, "rows": None, "options": {"world": "elsewhere"}},
        {"op": "open", "version": 1, "rows": None, "options": [1]},
        {"op": "open", "version": 1, "rows": 2, "options": {"max_episode_steps": -7}},
    ],
    ids=repr,
)
def test_a_wrong_first_request_ends_the_connection(url: str, message: dict[str, Any]) -> None:
    answers, code = talk(url, pack(message))
    assert set(answers[-1]) == {"error"} and code in (1008, 1013)


STRANGE = [
    {"op": "step", "action": value}
    for value in (None, "up", -1, 10**15, 1.5, [0], {}, {"a": 1}, b"\0", np.zeros(3), np.zeros((0, 2)), np.int64(5))
] + [
    {"op": "reset", "seed": seed, "options": options}
    for seed, options in (
        ("x", None),
        (-1, None),
        ([1, 2], None),
        (True, {"frames": "x"}),
        (None, {"frames": np.zeros((2, 64, 64, 3), np.float32)}),
        (None, {"frames": np.zeros((0, 64, 64, 3), np.uint8)}),
        (None, {"frames": np.zeros((2, 1, 1, 3), np.uint8)}),
        (None, {"frames": [[1, 2], [3]]}),
        (None, {"start": {}}),
        (None, {"temperature": float("nan")}),
        (None, {"temperature": None}),
        (None, {"action_diversity": [0.5]}),
        (None, {"reset_mask": np.ones(1, bool)}),
        (None, {"starts": {}}),
        (None, 5),
    )
]


def test_strange_values_are_refused_and_the_dream_goes_on(url: str) -> None:
    begin = pack({"op": "reset", "seed": 3, "options": None})
    step = pack({"op": "step", "action": 1})
    expected, _ = talk(url, OPEN, begin, step)
    answers, code = talk(url, OPEN, begin, *map(pack, STRANGE), step)
    assert code is None and len(answers) == len(STRANGE) + 3
    assert [set(answer) for answer in answers[2:-1]] == [{"error"}] * len(STRANGE), answers[2:-1]
    assert np.array_equal(answers[-1]["ok"][0], expected[-1]["ok"][0])


def test_too_large_a_message_ends_the_connection(random_world: Path) -> None:
    with background_server(ServeConfig(str(random_world), port=0, max_message_mb=0.1)) as url:
        frames = np.zeros((20, 64, 64, 3), np.uint8)
        env = gym.make(ID, url=url)
        env.reset(seed=0)
        with pytest.raises(RemoteError, match="exceeds limit"):
            env.reset(options={"frames": frames})
        assert talk(url, OPEN)[1] is None


def test_rows_are_limited_and_come_back_when_a_client_goes(random_world: Path) -> None:
    with background_server(ServeConfig(str(random_world), port=0, max_rows=4)) as url:
        first = gym.make_vec(ID, 3, url=url)
        for rows in (2, 5):
            with pytest.raises(ValueError, match=f"rows: {rows} wanted, 1 of the server's 4 are free"):
                gym.make_vec(ID, rows, url=url)
        one = gym.make(ID, url=url)
        first.close()
        one.close()
        # The server hears of the end a moment after the client.
        with connect(url) as client:
            client.close()
        for _ in range(100):
            try:
                gym.make_vec(ID, 4, url=url).close()
                break
            except ValueError:
                continue
        else:
            raise AssertionError("rows of clients that have gone are not free")


def test_a_silent_client_is_cut_off_and_reads_why(random_world: Path) -> None:
    with background_server(ServeConfig(str(random_world), port=0, idle_seconds=0.3)) as url:
        env = gym.make(ID, url=url)
        env.reset(seed=0)
        socket = env.unwrapped._connection._socket
        assert "no request for 0.3 seconds" in unpack(socket.recv(timeout=20))["error"]
        with pytest.raises(RemoteError, match="has ended"):
            env.step(0)


def test_a_bug_of_the_server_ends_one_connection_and_shows_nothing_of_it(
    url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Any) -> None:
        raise KeyError("secret/path")

    bystander = gym.make(ID, url=url)
    with monkeypatch.context() as patch:
        patch.setattr("genie_env.remote.session.Session._render", broken)
        answers, code = talk(url, OPEN, pack({"op": "render"}))
    assert answers[-1] == {"error": "the server made a mistake; its log has more"} and code == 1011
    assert "secret/path" in capfd.readouterr().err
    bystander.reset(seed=0)
    bystander.close()


def test_a_page_of_a_browser_is_refused(url: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        talk(url, OPEN, origin="https://elsewhere.example")
    assert caught.value.response.status_code == 403


def test_a_token_is_asked_for_and_compared_whole(random_world: Path, tmp_path: Path) -> None:
    right, wrong, short = tmp_path / "right", tmp_path / "wrong", tmp_path / "short"
    right.write_text(f"{TOKEN}\n")
    wrong.write_text(TOKEN[:-1] + "x")
    short.write_text("abc")
    with background_server(ServeConfig(str(random_world), port=0, token=TOKEN)) as url:
        gym.make(ID, url=url, token_file=str(right)).close()
        for kwargs in ({}, {"token_file": str(wrong)}):
            with pytest.raises(RemoteError, match=r"status 401 .*token_file"):
                gym.make(ID, url=url, **kwargs)
        with pytest.raises(ValueError, match="at least 16"):
            gym.make(ID, url=url, token_file=str(short))
        with pytest.raises(ValueError, match="missing"):
            gym.make(ID, url=url, token_file=str(tmp_path / "missing"))
        for headers in ([("Authorization", f"Bearer {TOKEN}")] * 2, {"Authorization": "Bearer \xe9"}):
            with pytest.raises(InvalidStatus):
                talk(url, OPEN, additional_headers=headers)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.com", ""])
def test_nothing_listens_to_other_machines_without_a_token(host: str, random_world: Path) -> None:
    assert not is_loopback(host)
    with pytest.raises(ValueError, match="give a token"):
        ServeConfig(str(random_world), host=host)
    assert main(["serve", str(random_world), "--host", host]) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_no_token(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "flags", [["--max-rows", "0"], ["--idle-seconds", "nan"], ["--max-message-mb", "-1"], ["--port", "99999"]]
)
def test_limits_out_of_range_are_one_line(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *flags]) == 2
    assert capsys.readouterr().err.startswith(f"genie-env: error: {flags[0][2:].replace('-', '_')}: expected")


def test_a_taken_port_is_one_line(random_world: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(random_world), "--port", url.rpartition(":")[2]]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_serves_until_it_is_stopped(random_world: Path) -> None:
    code = "import sys; from genie_env.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "serve", str(random_world), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        env = gym.make(ID, url=url)
        env.reset(seed=0)
        env.close()
        server.send_signal(2)
        assert server.wait(timeout=30) == 130
