"""The command ``genie-env``: play a world, watch it dream, look into it, measure it.

Owns flags; what a command does goes through the public API. torch and pygame are imported by the subcommand that needs
them, so that ``--help`` is quick.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from genie_env.command import run as run_command
from genie_env.command import run_module, run_other
from genie_env.envs.options import EnvOptions, OptionFlags
from genie_env.frames import side_by_side
from genie_env.hub_commands import Pull, Push, pull, push
from genie_env.label.commands import Label, label_world
from genie_env.minari.commands import Minari, write_minari
from genie_env.packages import OURS
from genie_env.play.commands import Demo, Play, play_world, show_demo
from genie_env.remote.commands import Serve, serve_world
from genie_env.web.commands import Export, Web, export_world, make_page

if TYPE_CHECKING:
    import gymnasium as gym

STRIP_FRAMES = 16


@dataclass(frozen=True)
class Rollout:
    """Dream with random actions and write a strip of frames (PNG) and an animation (GIF), and on demand a video."""

    world: str = "pong"
    """Bundled name, folder or hf:// address of the world."""
    generation_steps: Annotated[int, tyro.conf.arg(aliases=["--steps"])] = 100
    """Number of frames to dream."""
    environment: tyro.conf.OmitArgPrefixes[OptionFlags] = OptionFlags(action_diversity=0.1)
    """Options of the environment."""
    seed: int = 0
    """Seed of world and actions."""
    beam: int | None = None
    """Keep so many dreams after every frame and show the one that is most likely as a whole. Nothing is drawn then: 1
    is temperature 0, --decode-steps 2 looks at tokens together. Needs torch; the dream goes on where a game ends."""
    out: Path = Path("rollout")
    """Folder for rollout.png, rollout.gif and rollout.mp4."""
    mp4: bool = False
    """Write rollout.mp4, too (needs the extra 'video')."""
    scale: int = 4
    """Times that the animation is larger than frames."""


@dataclass(frozen=True)
class Info:
    """Print what a world is made of, how it is sampled, what its actions mean and how it was measured."""

    world: str = "pong"
    """Bundled name, folder or hf:// address of the world."""


@dataclass(frozen=True)
class Bench:
    """Measure how fast a world steps, what the time goes into and how far that is from the machine's limit.

    Steps per second with pictures and with tokens only, of environments and of the engine alone; the same without
    the key-value cache and as single environments; shares of the time; bytes per row; useful floating-point
    operations and bytes against a matrix product and a copy timed in the same run. Run it on an idle machine.
    """

    world: str = "pong"
    """Bundled name, folder or hf:// address of the world."""
    rows: tuple[int, ...] = (1, 4, 16, 64, 256)
    """Numbers of environments stepped together."""
    steps: int = 500
    """Steps measured for each figure."""
    seconds: float = 4.0
    """Measure fewer steps where they would take longer than about this."""
    device: str = "auto"
    """Torch device."""
    compile: bool = False
    """Let torch.compile build the environments' step."""
    browser: bool = False
    """Also time the world's page in Chromium."""
    long: bool = False
    """Also time step 10,000 of an episode against step 10."""
    json: Path | None = None
    """Also write the figures to this file."""
    compare: Path | None = None
    """Also print ratios to the figures of an earlier run, written by --json."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status. Wrong input becomes one line on stderr and status 2.

    ``genie-env training.record …`` is ``python -m training.record …``, wherever it is started.
    """
    words, others = list(sys.argv[1:] if argv is None else argv), commands_of_others()
    if words and words[0].startswith(tuple(f"{name}." for name in OURS)):
        return run_module(words)
    if words and words[0] in others:
        return run_other(others[words[0]], words[1:])
    actions = {
        Play: play_world,
        Demo: show_demo,
        Rollout: _rollout,
        Info: _info,
        Export: export_world,
        Web: make_page,
        Serve: serve_world,
        Bench: _bench,
        Minari: write_minari,
        Pull: pull,
        Push: push,
        Label: label_world,
    }
    return run_command(
        lambda command: actions[type(command)](command),
        Play | Demo | Rollout | Info | Export | Web | Serve | Bench | Minari | Pull | Push | Label,
        prog="genie-env",
        description="Play, watch and measure learned game worlds." + _mention(others),
        argv=words,
    )


def commands_of_others() -> dict[str, EntryPoint]:
    """Commands that other packages bring, by name: ``learn`` of ``training``, whose flags they know themselves."""
    return {entry.name: entry for entry in entry_points(group="genie_env.commands")}


def _mention(others: Iterable[str]) -> str:
    names = [f"genie-env {name} --help" for name in [*sorted(others), "training.record", "agents.transfer"]]
    return f" Further commands: {', '.join(names)} …"


def _make(world: str, options: EnvOptions | None = None) -> gym.Env[Any, Any]:
    """An environment that renders pictures."""
    import gymnasium as gym

    import genie_env  # noqa: F401 (registers the ids)

    flags = {} if options is None else dataclasses.asdict(options)
    return gym.make("Genie/World-v0", world=world, render_mode="rgb_array", **flags)


def _rollout(args: Rollout) -> None:
    from genie_env.files.video import import_av, write_gif, write_mp4, write_png
    from genie_env.play.film import film_actions, film_beam

    if args.mp4:
        # Fail before the work rather than after it.
        import_av()
    env = _make(args.world, args.environment)
    env.action_space.seed(args.seed)
    actions = iter(lambda: int(env.action_space.sample()), None)
    fps, likelihood = float(env.metadata["render_fps"]), ""
    if args.beam is None:
        frames = film_actions(env, actions, args.generation_steps, args.seed).frames
    else:
        options = EnvOptions(**dataclasses.asdict(args.environment))
        planned = [*islice(actions, max(args.generation_steps, 0))]
        frames, log_prob = film_beam(args.world, options, planned, args.seed, args.beam)
        likelihood = f"; joint log-probability {log_prob:.3f} nats"
    env.close()
    files = [args.out / f"rollout.{kind}" for kind in ("png", "gif", *(["mp4"] if args.mp4 else []))]
    write_png(files[0], _strip(frames))
    write_gif(files[1], frames, fps, args.scale)
    if args.mp4:
        write_mp4(files[2], frames, fps, args.scale)
    print(f"{args.generation_steps} dreamed frames in {', '.join(map(str, files))}{likelihood}")


def _strip(frames: list[np.ndarray]) -> np.ndarray:
    """Up to ``STRIP_FRAMES`` frames at equal distances, side by side."""
    picked = np.linspace(0, len(frames) - 1, min(STRIP_FRAMES, len(frames))).round().astype(int)
    return side_by_side([frames[index] for index in picked])


def _info(args: Info) -> None:
    from genie_env import load_world
    from genie_env.bundled_policy import policy_config_of
    from genie_env.describe import print_world

    print_world(load_world(args.world, "cpu"), policy_config_of(args.world))


def _bench(args: Bench) -> None:
    from genie_env.bench.report import publish, read_report
    from genie_env.bench.suite import run

    # Read first: a bad file should fail before the work rather than after it.
    other = read_report(args.compare) if args.compare is not None else None
    report = run(args.world, args.rows, args.steps, args.seconds, args.device, args.compile, args.long, args.browser)
    publish(report, other, args.json)
