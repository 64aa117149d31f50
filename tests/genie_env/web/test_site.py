"""A written page is whole, says what the environment says, and is served with the types that browsers insist on."""

from __future__ import annotations

import json
import threading
import urllib.request
from pathlib import Path
from typing import Any

import gymnasium as gym
import onnxruntime
import pytest

import genie_env  # noqa: F401 (registers the ids)
from genie_env.bundle import open_bundle
from genie_env.config import SourceConfig
from genie_env.portable.step import StepOptions
from genie_env.web import ort_web
from genie_env.web.server import make_server
from genie_env.web.site import PAGE, title, write_site
from genie_env.window.keyboard import key_code
from tests.helpers.worlds import make_random_world, random_config


@pytest.fixture(autouse=True)
def small_ort_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the real files, which are large and have to be fetched."""
    folder = tmp_path / "ort_web"
    folder.mkdir()
    for name in ort_web.CHECKSUMS:
        (folder / name).write_bytes(b"runtime")
    monkeypatch.setattr(ort_web, "CHECKSUMS", {name: ort_web.checksum(folder / name) for name in ort_web.CHECKSUMS})
    return folder


def write(world: Path | str, out: Path, ort: Path, action_type: str = "real", **options: Any) -> dict[str, Any]:
    """Write a page; returns what it knows of the world."""
    bundle = open_bundle(world)
    write_site(bundle, out, StepOptions(bundle.config.sampling, action_type, 5), ort, **options)
    return json.loads((out / "world" / "world.json").read_text(encoding="utf-8"))


def test_a_page_holds_the_world_once_and_is_small(tmp_path: Path, small_ort_web: Path) -> None:
    info = write("pong", tmp_path / "site", small_ort_web)
    sizes = {path: path.stat().st_size for path in (tmp_path / "site").rglob("*") if path.is_file()}
    without_runtime = sum(size for path, size in sizes.items() if path.parent.name != "runtime")
    assert without_runtime < 6e6
    assert info["bytes"] < without_runtime + 100
    assert {path.name for path in PAGE.iterdir()} <= {path.name for path in sizes}
    for name in info["weights"]:
        onnxruntime.InferenceSession(tmp_path / "site" / "world" / name)


@pytest.mark.parametrize("action_type", ["real", "latent"])
def test_a_page_has_the_environments_actions_and_keys(tmp_path: Path, small_ort_web: Path, action_type: str) -> None:
    world = make_random_world(tmp_path / "world")
    info = write(world, tmp_path / "site", small_ort_web, action_type)
    env: Any = gym.make("Genie/World-v0", world=str(world), action_type=action_type).unwrapped
    assert info["actions"] == env.get_action_meanings() and info["noop"] == env.noop_action
    assert {(key_code(key),): action for key, action in info["keys"].items()} == env.get_keys_to_action()


def test_a_world_without_map_or_keys_is_played_with_digits(tmp_path: Path, small_ort_web: Path) -> None:
    world = make_random_world(tmp_path / "world", action_map=None, source=SourceConfig())
    info = write(world, tmp_path / "site", small_ort_web, "latent")
    assert info["keys"] == {"1": 0, "2": 1, "3": 2} and info["title"] == "random"


def test_a_world_that_names_no_keys_is_played_by_what_its_actions_are_called(
    tmp_path: Path, small_ort_web: Path
) -> None:
    source = SourceConfig(env_id="My/Game-v3", action_meanings=("NOOP", "UP", "DOWN"), effects=(0, 1, 2))
    info = write(make_random_world(tmp_path / "world", source=source), tmp_path / "site", small_ort_web)
    assert info["keys"]["up"] == info["keys"]["w"] == 1 and info["keys"]["down"] == 2
    assert info["title"] == "Game"


@pytest.mark.parametrize(
    ("env_id", "expected"),
    [("ALE/Pong-v5", "Pong"), ("My/Two_Words-v0", "Two Words"), ("", "random"), ("<b>-v0", "random")],
)
def test_a_title_is_a_name_for_people(env_id: str, expected: str) -> None:
    names = ("NOOP", "UP", "DOWN")
    assert (
        title(random_config(source=SourceConfig(env_id=env_id, action_meanings=names, effects=(0, 1, 2)))) == expected
    )


def test_a_folder_that_is_there_is_replaced_only_on_demand(tmp_path: Path, small_ort_web: Path) -> None:
    world = make_random_world(tmp_path / "world")
    write(world, tmp_path / "site", small_ort_web)
    (tmp_path / "site" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists"):
        write(world, tmp_path / "site", small_ort_web)
    assert (tmp_path / "site" / "mine.txt").exists()
    write(world, tmp_path / "site", small_ort_web, replace=True)
    assert not (tmp_path / "site" / "mine.txt").exists()


def test_a_damaged_world_leaves_no_page(tmp_path: Path, small_ort_web: Path) -> None:
    world = make_random_world(tmp_path / "world")
    (world / "tokenizer.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match=r"tokenizer\.safetensors: is truncated or was edited"):
        write(world, tmp_path / "site", small_ort_web)
    assert not (tmp_path / "site").exists()


def test_pages_ask_for_nothing_that_is_not_in_their_folder() -> None:
    for path in PAGE.iterdir():
        text = (
            path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "").replace("http://localhost", "")
        )
        assert "http:" not in text and "https:" not in text and "//" not in text.replace("// ", ""), path.name
    assert "default-src 'none'" in (PAGE / "index.html").read_text(encoding="utf-8")


def test_the_server_names_types_and_is_on_this_machine_only(tmp_path: Path, small_ort_web: Path) -> None:
    write(make_random_world(tmp_path / "world"), tmp_path / "site", small_ort_web)
    server = make_server(tmp_path / "site")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        types = {"": "text/html", "app.js": "text/javascript", "runtime/ort.wasm": "application/wasm"}
        for name, expected in types.items():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}") as answer:
                assert answer.headers.get_content_type() == expected
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
