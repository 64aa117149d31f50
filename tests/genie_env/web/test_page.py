"""The page in a real headless Chromium dreams what Python dreams, and does what keys, fingers and links say."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.seeding import np_random

import genie_env  # noqa: F401 (registers the ids)
from genie_env.bundle import open_bundle
from genie_env.portable.step import StepOptions
from genie_env.web.chromium import Tab, chromium, find_chromium
from genie_env.web.ort_web import find_ort_web
from genie_env.web.server import make_server
from genie_env.web.site import write_site
from tests.helpers.graphs import OTHER_SHAPES
from tests.helpers.worlds import make_random_world, random_config

SEED, STEPS = 7, 300


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    if find_chromium() is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def ort_web() -> Path:
    try:
        return find_ort_web()
    except ValueError as error:
        pytest.skip(str(error))


@contextmanager
def served(world: Path | str, folder: Path, ort_web: Path, action_type: str = "real") -> Iterator[str]:
    """Address of a world's page."""
    bundle = open_bundle(world)
    write_site(bundle, folder, StepOptions(bundle.config.sampling, action_type, 5), ort_web)
    server = make_server(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def pong(tmp_path_factory: pytest.TempPathFactory, ort_web: Path) -> Iterator[str]:
    with served("pong", tmp_path_factory.mktemp("pong") / "site", ort_web) as address:
        yield address


def visit(tab: Tab, address: str) -> None:
    """Open a page and wait until it can be played."""
    tab.errors.clear()
    tab.requests.clear()
    tab.visit(address)
    tab.wait_for("window.ready || window.failed")
    assert not tab.errors and tab.run("window.failed") is None


def dream_in_page(tab: Tab, actions: list[int], temperature: float, diversity: float) -> list[list[Any]]:
    """Step, reward, end, executed action and tokens of each step; after an end the dream begins again."""
    return tab.run(
        f"""(async () => {{
        const dream = game.dream;
        Object.assign(dream, {{temperature: {temperature}, diversity: {diversity}}});
        await dream.reset({SEED}n);
        const seen = [];
        for (const action of {actions}) {{
          const out = await dream.step(action);
          seen.push([out.step, out.reward, out.terminated, out.action, out.latent, ...dream.tokens]);
          if (out.terminated) await dream.reset();
        }}
        return seen;
        }})()"""
    )


def dream_in_python(world: str, actions: list[int], **options: Any) -> list[list[Any]]:
    env = gym.make("Genie/World-v0", world=world, obs_type="tokens", **options)
    env.reset(seed=SEED)
    seen = []
    for action in actions:
        obs, reward, terminated, _, info = env.step(action)
        seen.append([info["step"], reward, terminated, info["action"], info["latent_action"], *obs.tolist()])
        if terminated:
            env.reset()
    return seen


@pytest.mark.parametrize(("temperature", "diversity"), [(1.0, 0.0), (0.7, 0.3)])
def test_page_dreams_what_python_dreams(tab: Tab, pong: str, temperature: float, diversity: float) -> None:
    visit(tab, pong)
    actions = np.random.default_rng(0).integers(6, size=STEPS).tolist()
    expected = dream_in_python("pong", actions, temperature=temperature, action_diversity=diversity)
    assert dream_in_page(tab, actions, temperature, diversity) == expected
    assert len({tuple(step[5:]) for step in expected}) > STEPS / 3


@pytest.mark.parametrize(("kind", "action_type"), [("codebook", "latent"), ("fsq", "real")])
def test_pages_of_own_worlds_dream_too(tab: Tab, ort_web: Path, tmp_path: Path, kind: str, action_type: str) -> None:
    """Lively worlds of random weights, whose games end, with either tokenizer."""
    shape = OTHER_SHAPES["fsq"] if kind == "fsq" else {}
    world = make_random_world(tmp_path / "world", **shape)
    actions = np.random.default_rng(1).integers(3, size=60).tolist()
    expected = dream_in_python(str(world), actions, temperature=1.0, action_type=action_type)
    assert any(step[2] for step in expected)
    with served(world, tmp_path / "site", ort_web, action_type) as address:
        visit(tab, address)
        assert dream_in_page(tab, actions, 1.0, 0.0) == expected
        env: Any = gym.make("Genie/World-v0", world=str(world), action_type=action_type)
        frame, _ = env.reset(seed=SEED)
        pixels = tab.run(f"(async () => {{await game.dream.reset({SEED}n); return [...await game.dream.picture()]}})()")
        shown = np.array(pixels).reshape(64, 64, 4)[..., :3]
        assert np.abs(shown - frame.astype(int)).max() <= (kind == "fsq")


def test_a_page_of_latent_actions_shows_what_each_key_does(tab: Tab, ort_web: Path, tmp_path: Path) -> None:
    effects = ((0.0, 2.0, 0.0), (0.0, 0.1, 0.0), (0.0, -1.0, 0.0))
    measured = replace(random_config().latent_action, prototypes=effects)
    world = make_random_world(tmp_path / "world", action_map=None, latent_action=measured)
    with served(world, tmp_path / "site", ort_web, "latent") as address:
        visit(tab, address)
        shown = tab.run("[...document.querySelectorAll('#caps > span')].map((span) => span.textContent)")
        assert shown == ["▲3up", "• 2still", "▼1down"]
        arrows = tab.run("[...document.querySelectorAll('#caps .effect path')].map((p) => p.getAttribute('transform'))")
        assert arrows == ["rotate(-90)", "rotate(90)"]
        size = "document.querySelector('#caps .effect').getBoundingClientRect().width"
        assert tab.run(f"{size} > 10")
        actions = tab.run("""["up", "down", "2"].map((key) => game.info.keys[key])""")
        assert actions == [2, 0, 1] and tab.run("game.info.noop") == 1


def test_a_seed_means_what_it_means_in_python(tab: Tab, pong: str) -> None:
    visit(tab, pong)
    ends = (2**63, 128, 3, 2**32, 1, 2**62 + 2**61, 5)
    for seed in (0, 1, 2**32, 2**40 + 5, 10**17, 2**130 + 77):
        generator, _ = np_random(seed)
        expected = [str(int(generator.integers(end))) for end in ends]
        script = f"""import('./random.js').then(({{Generator}}) => {{
            const generator = new Generator({seed}n);
            return {list(map(str, ends))}.map((end) => String(generator.integers(BigInt(end))));
        }})"""
        assert tab.run(script) == expected


def paddle(tab: Tab) -> float:
    """Height of the green paddle's middle, from 0 at the top."""
    pixels = tab.run("[...document.getElementById('canvas').getContext('2d').getImageData(0, 0, 64, 64).data]")
    colours = np.array(pixels).reshape(64, 64, 4).astype(int)
    green = (colours[10:, 52:60, 1] - colours[10:, 52:60, 0]) > 40
    return float(np.nonzero(green)[0].mean())


def play_held(tab: Tab, steps: int = 14) -> None:
    before = tab.run("game.last.step")
    tab.wait_for(f"game.last.step >= {before + steps}")


def test_keys_move_the_paddle(tab: Tab, pong: str) -> None:
    visit(tab, pong)
    tab.run(f"game.begin({SEED}n)")
    # The first key begins the game.
    heights = {}
    for key in ("ArrowUp", "ArrowDown", "w", "s"):
        tab.key(key)
        play_held(tab)
        heights[key] = paddle(tab)
        tab.key(key, "keyUp")
    assert heights["ArrowUp"] + 8 < heights["ArrowDown"] and heights["w"] + 8 < heights["s"]
    tab.key("p")
    tab.wait_for("!game.running")
    assert "Paused" in tab.run("document.getElementById('cover').innerText")
    stopped = tab.run("game.last.step")
    tab.key("n")
    tab.wait_for(f"game.last.step === {stopped + 1}")


def test_fingers_move_the_paddle(tab: Tab, pong: str) -> None:
    tab.resize(390, 844, mobile=True)
    visit(tab, pong)
    tab.run(f"game.begin({SEED}n)")
    places = {}
    for name, script in {
        "upper button": "document.querySelector('#pad button').getBoundingClientRect()",
        "lower button": "document.querySelector('#pad button:last-child').getBoundingClientRect()",
        "picture": "document.getElementById('canvas').getBoundingClientRect()",
    }.items():
        box = json.loads(tab.run(f"JSON.stringify({script})"))
        places[name] = box["x"] + box["width"] / 2, box["y"], box["height"]
    x, y, height = places["picture"]
    spots = {
        "upper button": (places["upper button"][0], places["upper button"][1] + 20),
        "lower button": (places["lower button"][0], places["lower button"][1] + 20),
        "upper half": (x, y + 0.25 * height),
        "lower half": (x, y + 0.75 * height),
    }
    heights = {}
    for name, spot in spots.items():
        tab.touch(*spot)
        play_held(tab)
        heights[name] = paddle(tab)
        tab.touch(*spot, "touchEnd")
    tab.resize(1280, 800)
    assert heights["upper button"] + 8 < heights["lower button"] and heights["upper half"] + 8 < heights["lower half"]


def test_a_link_dreams_everything_again(tab: Tab, pong: str) -> None:
    visit(tab, pong)
    script = f"""(async () => {{
        await game.set("temperature", 0.85);
        await game.begin({SEED}n);
        for (const action of [2, 2, 2, 0, 3, 3, 5]) await game.queue(() => game.play(action));
        await game.set("diversity", 0.5);
        for (let i = 0; i < 20; i++) await game.queue(() => game.play(i % 6));
        await game.restart();
        for (let i = 0; i < 12; i++) await game.queue(() => game.play(3));
        return {{link: game.link(), tokens: game.dream.tokens, score: game.score}};
    }})()"""
    first = tab.run(script)
    assert re.fullmatch(r".*#world=pong&seed=7&t=0\.85&d=0&log=c3ad2fD0\.5_(abcdef){3}ab\.d12", first["link"])
    visit(tab, first["link"])
    again = tab.run("({link: game.link(), tokens: game.dream.tokens, score: game.score})")
    assert again == first
    assert "Here the link ends" in tab.run("document.getElementById('cover').innerText")


@pytest.mark.parametrize(
    ("hash", "problem"),
    [
        ("seed=7&t=1&d=0&log=a3z2", "plays action 25 of 6"),
        ("seed=x&t=1&d=0&log=a", "seed is no whole number"),
        ("seed=7&t=-1&d=0&log=a", "settings are out of range"),
        ("seed=7&t=1&d=0&log=a3!!", "list of actions cannot be read"),
        ("seed=7&t=1&d=0&log=a99999999", "too long"),
        ("world=chess&seed=7&t=1&d=0&log=a", "of the world “chess”"),
    ],
)
def test_a_damaged_link_is_told_in_a_sentence_and_the_game_is_there(
    tab: Tab, pong: str, hash: str, problem: str
) -> None:
    visit(tab, f"{pong}#{hash}")
    assert problem in tab.run("document.getElementById('message').innerText")
    tab.key("ArrowUp")
    tab.wait_for("game.last.step > 2")


def test_a_kept_moment_goes_on_alike_any_number_of_times(tab: Tab, pong: str) -> None:
    visit(tab, pong)
    script = f"""(async () => {{
        await game.begin({SEED}n);
        const play = async () => {{
          for (let i = 0; i < 15; i++) await game.queue(() => game.play(i % 6));
          return JSON.stringify([game.dream.tokens, game.score, game.last.step, game.link()]);
        }};
        await play();
        await game.keep();
        const ends = [];
        for (let i = 0; i < 3; i++) {{
          ends.push(await play());
          await game.back();
        }}
        return ends;
    }})()"""
    ends = tab.run(script)
    assert len(ends) == 3 and len(set(ends)) == 1


def test_the_page_asks_nobody_else_and_shows_the_game(tab: Tab, pong: str, tmp_path: Path) -> None:
    visit(tab, pong)
    tab.key("ArrowUp")
    play_held(tab, 5)
    tab.key("ArrowUp", "keyUp")
    assert tab.requests and all(address.startswith((pong, "about:", "data:")) for address in tab.requests)
    assert not tab.errors
    picture = tmp_path / "page.png"
    picture.write_bytes(tab.screenshot())
    from PIL import Image

    colours = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    # Pong's ground fills a good part of the window.
    assert 0.2 < (np.abs(colours.astype(int) - (144, 72, 17)).max(1) < 12).mean() < 0.9


def test_a_browser_without_simd_another_version_and_a_missing_file_get_a_sentence(
    tab: Tab, pong: str, tmp_path: Path
) -> None:
    with chromium() as old:
        old.before_load("WebAssembly.validate = () => false")
        old.visit(pong)
        old.wait_for("window.failed")
        assert "no WebAssembly SIMD" in old.run("document.getElementById('message').innerText")
    with chromium() as other:
        other.before_load("Response.prototype.json = async () => ({contract: 99})")
        other.visit(pong)
        other.wait_for("window.failed")
        assert "of different versions (1, 99)" in other.run("document.getElementById('message').innerText")
    with chromium() as other:
        other.before_load("const real = fetch; window.fetch = (a) => real(String(a).replace('step.onnx', 'gone.onnx'))")
        other.visit(pong)
        other.wait_for("window.failed")
        assert "is missing (404)" in other.run("document.getElementById('message').innerText")
