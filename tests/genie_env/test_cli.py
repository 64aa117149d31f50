from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import gymnasium as gym
import numpy as np
import pygame
import pytest
import torch
from PIL import Image

from genie_env.bundle import save_world
from genie_env.cli import main
from genie_env.config import (
    ActionMapConfig,
    DynamicsConfig,
    LatentActionConfig,
    OutcomeConfig,
    SourceConfig,
    TokenizerConfig,
    WorldConfig,
)
from genie_env.data.episodes import EpisodeStore
from genie_env.envs.options import EnvOptions
from genie_env.files.video import GIF_FRAMES
from genie_env.play.loop import PlaySession
from genie_env.play.real_game import RealGameBeside
from genie_env.window.keyboard import Command
from genie_env.window.renderer import Renderer
from genie_env.world import Prompts, World
from tests.helpers.options import field_docs
from training import train_tokenizer

COMMANDS = ["play", "demo", "rollout", "info", "export", "web", "serve", "bench"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny world of random weights: what it dreams is noise, but everything else is as in a trained one."""
    config = WorldConfig(
        name="noise",
        tokenizer=TokenizerConfig(image_size=16, vocab_size=8),
        latent_action=LatentActionConfig(image_size=16, channels=8),
        dynamics=DynamicsConfig(
            vocab_size=8, side=2, group=1, width=16, num_layers=1, num_heads=2, token_dim=8, window=4
        ),
        outcome=OutcomeConfig(vocab_size=8, num_tokens=4, token_dim=4, width=8),
        source=SourceConfig(env_id="Noise-v0", image_size=16, action_meanings=("NOOP", "UP", "DOWN"), keys={"up": 1}),
        action_map=ActionMapConfig((0, 2, 1), (0, 2, 1), (1.0, 0.9, 0.8), 10),
        metrics={"dream": {"obedience": 0.98765}},
    )
    torch.manual_seed(0)
    starts = Prompts(torch.randint(8, (2, 4, 4)), torch.zeros(2, 3, dtype=torch.long))
    return str(save_world(World(config, starts), tmp_path_factory.mktemp("worlds") / "noise"))


def test_help_imports_neither_torch_nor_pygame() -> None:
    code = (
        "import sys\nfrom genie_env.cli import main\n"
        "try: main(['--help'])\nfinally: print({'pygame', 'torch'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()" and all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_world_is_one_line_and_status_2(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    flag = [] if command in ("export", "web", "serve") else ["--world"]
    assert main([command, *flag, "no/such/world"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("genie-env: error: ") and "no/such/world" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["play", "--temperature", "-1"], "temperature"),
        (["play", "--fps", "-1"], "fps"),
        (["play", "--scale", "0"], "scale"),
        (["play", "--action-diversity", "2"], "action_diversity"),
        (["play", "--device", "toaster"], "device"),
        (["rollout", "--generation-steps", "0"], "steps"),
        (["rollout", "--beam", "0"], "beam: expected an integer from 1 to 1024, got 0"),
        (["rollout", "--beam", "-2"], "beam"),
        (["rollout", "--beam", "1025"], "beam"),
        (["rollout", "--beam", "2", "--temperature", "0.5"], "beam: expected temperature 0"),
        (["rollout", "--beam", "2", "--runtime", "onnx"], "beam: expected temperature 0, runtime 'torch'"),
        (["rollout", "--beam", "2", "--compile"], "beam"),
        (["rollout", "--beam", "2", "--steps", "0"], "steps"),
        (["demo", "--steps", "0"], "steps"),
        (["bench", "--rows", "0"], "num_envs"),
        (["bench", "--steps", "0"], "steps"),
    ],
)
def test_bad_value_is_named_in_one_line(
    argv: list[str],
    named: str,
    world: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*argv, "--world", world]) == 2
    error = capsys.readouterr().err
    assert error.startswith("genie-env: error: ") and named in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_person_can_do_everything_in_a_genie_env(world: str, tmp_path: Path) -> None:
    env = gym.make("Genie/World-v0", world=world, render_mode="rgb_array")
    session = PlaySession(env, tmp_path, fps=15, seed=0)
    session.run(Command.WARMER)
    session.run(Command.SNAPSHOT)
    session.held.press("up")
    seen = []
    for _ in range(2):
        for _ in range(5):
            session.tick()
            seen.append((session.frame_HWC.copy(), session.game.counts))
        session.run(Command.RESTORE)
    for (frame_HWC, counts), (again_HWC, again) in zip(seen[:5], seen[5:], strict=True):
        assert np.array_equal(frame_HWC, again_HWC) and counts == again
    assert session.game.get_action_meanings()[seen[0][1].action] == "UP" and seen[4][1].step == 5
    assert session.hud(0.0).action == "–" and session.hud(0.0).temperature == pytest.approx(1.1)
    for command in Command:
        session.run(command)
        session.tick()
    session.close()
    env.close()


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Somebody who presses keys of a real pygame queue, then quits after a number of pictures."""

    def plays(pictures: int) -> None:
        shown = [0]

        def draw(self: Renderer, *frames: Any) -> np.ndarray:
            shown[0] += 1
            pygame.display.init()
            key = pygame.K_UP if shown[0] // 2 % 2 else pygame.K_DOWN
            kind = pygame.KEYDOWN if shown[0] % 2 else pygame.KEYUP
            pygame.event.post(pygame.event.Event(kind, key=key, unicode=""))
            if shown[0] == pictures:
                pygame.event.post(pygame.event.Event(pygame.QUIT))
            return frames[0]

        monkeypatch.setattr(Renderer, "draw", draw)
        monkeypatch.setattr(Renderer, "draw_pair", draw)

    return plays


def test_played_world_becomes_a_recording_from_which_a_tokenizer_learns(
    endless_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], player: Callable[[int], None]
) -> None:
    player(60)
    folder = tmp_path / "played"
    argv = ["play", "--world", str(endless_world), "--fps", "500", "--seed", "1", "--record", str(folder), "--no-hud"]
    assert main(argv) == 0
    assert "steps recorded in" in capsys.readouterr().out
    store = EpisodeStore(folder)
    assert store.split("train") and store.split("test")
    assert {e.player for e in store.manifest.episodes} == {"human"}
    actions = np.concatenate([store.array("actions", e)[:-1] for e in store.manifest.episodes])
    assert {1, 2} <= set(actions.tolist()) <= {0, 1, 2}
    out = tmp_path / "tokenizer"
    train_tokenizer.train(train_tokenizer.TrainTokenizerConfig(folder, out, TokenizerConfig(vocab_size=64)))
    assert (out / "config.json").exists()
    assert main(argv) == 2
    assert "exists already" in capsys.readouterr().err


def test_real_game_plays_along_beside_the_dream(
    endless_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, player: Callable[[int], None]
) -> None:
    player(12)
    games: list[RealGameBeside] = []
    made = RealGameBeside.__init__
    monkeypatch.setattr(RealGameBeside, "__init__", lambda self, *rest: (made(self, *rest), games.append(self))[0])
    assert main(["play", "--world", str(endless_world), "--fps", "500", "--beside-real", "--out", str(tmp_path)]) == 0
    (game,) = games
    assert len(game.snapshot().actions) >= 10


def test_rollout_writes_strip_and_animation_and_repeats_itself(world: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        argv = ["rollout", "--world", world, "--generation-steps", "20", "--temperature", "0.8"]
        assert main([*argv, "--out", str(tmp_path / name)]) == 0
    with Image.open(tmp_path / "a" / "rollout.png") as image:
        assert image.size == (16 * 16 + 15 * 2, 16)
    assert (tmp_path / "a" / "rollout.gif").read_bytes() == (tmp_path / "b" / "rollout.gif").read_bytes()


def test_rollout_of_a_beam_is_more_likely_than_greedy_which_is_a_beam_of_one(
    endless_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, log_probs = [], []
    for flags in (["--temperature", "0", "--runtime", "torch"], ["--beam", "1"], ["--beam", "16"]):
        argv = ["rollout", "--world", str(endless_world), "--steps", "4", "--action-diversity", "0.5", *flags]
        assert main([*argv, "--out", str(tmp_path)]) == 0
        films.append((tmp_path / "rollout.gif").read_bytes())
        log_probs += re.findall(r"joint log-probability (\S+) nats", capsys.readouterr().out)
    assert films[0] == films[1] != films[2]
    assert float(log_probs[0]) < float(log_probs[1]) < 0 and len(log_probs) == 2


def test_demo_without_a_display_films_a_scripted_player(
    world: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = GIF_FRAMES + 1
    assert main(["demo", "--world", world, "--steps", str(steps), "--out", str(tmp_path), "--scale", "2"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.gif", "demo.mp4"]
    with Image.open(tmp_path / "demo.gif") as image:
        assert image.size == (32, 32) and getattr(image, "n_frames", 1) <= GIF_FRAMES
    assert "steps per second" in capsys.readouterr().out


def test_demo_without_pyav_writes_the_animation_alone_and_names_the_extra(
    tmp_path: Path, world: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["demo", "--world", world, "--steps", "9", "--out", str(tmp_path)]) == 0
    assert "genie-env[video]" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["demo.gif"]


def test_rollout_writes_a_video_where_it_is_asked_for(
    world: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["rollout", "--world", world, "--steps", "9", "--scale", "2", "--mp4", "--out", str(tmp_path)]
    assert main(argv) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rollout.gif", "rollout.mp4", "rollout.png"]
    assert "rollout.mp4" in capsys.readouterr().out
    with av.open(str(tmp_path / "rollout.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 10
    monkeypatch.setitem(sys.modules, "av", None)
    assert main([*argv, "--steps", "100000000"]) == 2
    assert "genie-env[video]" in capsys.readouterr().err


def test_flags_of_the_environment_are_its_options(endless_world: Path, tmp_path: Path) -> None:
    films = []
    for flags in ([], ["--temperature", "0", "--top-p", "0.5", "--decode-steps", "2", "--action-type", "latent"]):
        assert main(["rollout", "--world", str(endless_world), "--steps", "9", "--out", str(tmp_path), *flags]) == 0
        films.append((tmp_path / "rollout.gif").read_bytes())
    assert films[0] != films[1]


def test_help_of_the_flags_is_the_description_of_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["play", "--help"])
    shown = " ".join(word for word in capsys.readouterr().out.split() if word not in "│╭╮╰╯─")
    assert [doc for doc in field_docs(EnvOptions).values() if doc not in shown] == []


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_info_is_whole_on_every_console(world: str, encoding: str) -> None:
    command = [sys.executable, "-c", "from genie_env.cli import main; raise SystemExit(main())", "info"]
    done = subprocess.run(
        [*command, "--world", world],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == b""
    text = done.stdout.decode(encoding)
    assert "World noise" in text and "0.9877" in text


def test_info_names_networks_actions_and_figures(world: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--world", world]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for label in ("tokenizer", "latent", "dynamics", "outcome", "game", "temperature"):
        assert any(line[:1] == [label] for line in lines)
    assert ["1", "UP", "up", "2", "80%"] in lines
    assert ["dream:", "obedience", "0.9877"] in lines
