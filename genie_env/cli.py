"""The command ``genie-env``: play a world, watch it dream, look into it, measure it.

Owns flags, tables and error lines; what it does goes through the public API. torch and pygame are imported by
the subcommand that needs them, so that ``--help`` is quick.
"""

from __future__ import annotations

import dataclasses
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from genie_env.frames import side_by_side

if TYPE_CHECKING:
    import gymnasium as gym

STRIP_FRAMES = 16


@dataclass(frozen=True)
class Play:
    """Play a world with the keyboard.

    Arrows and WASD play what the actions mean, R resets, P pauses (N then plays one step), [ and ] change
    the temperature, ; and ' the action diversity, F5 takes a snapshot and F9 returns to it, F12 saves a
    screenshot, V starts and stops a film, H hides the bar of text, Esc quits.
    """

    world: str = "pong"
    """Bundled name or folder."""
    temperature: float | None = None
    """0 takes the most likely tokens; None takes the world's own best."""
    action_diversity: float = 0.0
    """Chance that a step plays a little-used action instead of yours."""
    action_type: Literal["real", "latent"] | None = None
    """The game's own actions or the latent ones; None takes the game's where the world knows them."""
    fps: float | None = None
    """Steps per second; None takes the world's own, 0 runs as fast as possible."""
    scale: int = 8
    """How many times larger than frames the window is at first."""
    seed: int | None = None
    """Of the first episode."""
    device: str = "auto"
    """Torch device."""
    out: Path = Path()
    """Folder for screenshots and films."""
    record: Path | None = None
    """Folder to make of everything played, for training: frames, actions, rewards."""
    beside_real: bool = False
    """Show the real game beside the dream: it begins like the dream and plays the same actions."""
    hud: bool = True
    """Show figures and keys beneath the game."""


@dataclass(frozen=True)
class Demo:
    """Show the bundled world: a game in a window, or a scripted player's video where there is no display."""

    world: str = "pong"
    """Bundled name or folder."""
    steps: int = 600
    """Of the scripted player; a person plays as long as they like."""
    out: Path = Path()
    """Folder for demo.mp4 and demo.gif."""
    scale: int = 6
    """How many times larger than frames the videos are."""
    seed: int = 0
    """Of world and player."""


@dataclass(frozen=True)
class Rollout:
    """Dream with random actions and write a strip of frames (PNG) and an animation (GIF)."""

    world: str = "pong"
    """Bundled name or folder."""
    generation_steps: Annotated[int, tyro.conf.arg(aliases=["--steps"])] = 100
    """Frames to dream."""
    temperature: float | None = None
    """0 takes the most likely tokens; None takes the world's own best."""
    action_diversity: float = 0.1
    """Chance that a step plays one of the least used recent actions."""
    seed: int = 0
    """Of world and actions."""
    out: Path = Path("rollout")
    """Folder for rollout.png and rollout.gif."""
    scale: int = 4
    """How many times larger than frames the animation is."""
    device: str = "auto"
    """Torch device."""


@dataclass(frozen=True)
class Info:
    """Print what a world is made of, how it is sampled, what its actions mean and how it was measured."""

    world: str = "pong"
    """Bundled name or folder."""


@dataclass(frozen=True)
class Bench:
    """Measure how fast a world steps, what the time goes into and how far that is from the machine's limit.

    Steps per second with pictures and with tokens only, of environments and of the engine alone; the same without
    the key-value cache and as single environments; shares of the time; bytes per row; useful floating-point
    operations and bytes against a matrix product and a copy timed in the same run. Run it on an idle machine.
    """

    world: str = "pong"
    """Bundled name or folder."""
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
    long: bool = False
    """Also time step 10,000 of an episode against step 10."""
    json: Path | None = None
    """Also write the figures to this file."""
    compare: Path | None = None
    """Also print ratios to the figures of an earlier run, written by --json."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status. Wrong input becomes one line on stderr and status 2."""
    command = tyro.cli(
        Play | Demo | Rollout | Info | Bench,
        prog="genie-env",
        description="Play, watch and measure learned game worlds.",
        args=argv,
    )
    actions = {Play: _play, Demo: _demo, Rollout: _rollout, Info: _info, Bench: _bench}
    try:
        actions[type(command)](command)
    except (ValueError, ImportError, OSError) as error:
        return _report(error)
    except RuntimeError as error:
        # Not imported above: that would import torch, which most commands' --help does without.
        from genie_env.rollout.torch_runtime import CompileError

        if not isinstance(error, CompileError):
            raise
        return _report(error)
    except KeyboardInterrupt:
        return 130
    return 0


def _report(error: Exception) -> int:
    print(f"genie-env: error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def _make(world: str, **options: Any) -> gym.Env[Any, Any]:
    """An environment that renders pictures; options that are None keep their default."""
    import gymnasium as gym

    import genie_env  # noqa: F401 (registers the ids)

    given = {name: value for name, value in options.items() if value is not None}
    return gym.make("Genie/World-v0", world=world, render_mode="rgb_array", **given)


def _play(args: Play) -> None:
    from genie_env.play.loop import play
    from genie_env.play.play_recorder import PlayRecorder
    from genie_env.play.real_game import RealGameBeside

    chosen = {"temperature": args.temperature, "action_diversity": args.action_diversity}
    env = _make(args.world, **chosen, action_type=args.action_type, device=args.device)
    game: Any = env.unwrapped
    settings = game.config, game.options.action_type
    recorder = real_game = None
    try:
        real_game = RealGameBeside(*settings) if args.beside_real else None
        recorder = PlayRecorder(args.record, *settings) if args.record else None
        play(
            env,
            fps=args.fps,
            scale=args.scale,
            seed=args.seed,
            out=args.out,
            recorder=recorder,
            real_game=real_game,
            hud=args.hud,
        )
    finally:
        env.close()
        if real_game is not None:
            real_game.close()
        if recorder is not None:
            store = recorder.close()
            steps = sum(entry.length - 1 for entry in store.manifest.episodes) if store else 0
            print(f"{steps} steps recorded in {args.record}" if store else "nothing recorded")


def _demo(args: Demo) -> None:
    from genie_env.window.display import NoDisplayError, has_display

    if has_display():
        try:
            _play(Play(world=args.world, seed=args.seed, out=args.out))
            return
        except NoDisplayError as error:
            print(f"{error}; a scripted player plays instead", file=sys.stderr)
    _demo_video(args)


def _demo_video(args: Demo) -> None:
    """Let a scripted player play and write what it saw."""
    from genie_env.files.video import GIF_FRAMES, import_av, write_gif, write_mp4

    # Fail before the work rather than after it.
    import_av()
    env = _make(args.world)
    began = time.perf_counter()
    frames, seconds = _dream(env, _held_actions(env, args.seed), args.steps, args.seed)
    fps = float(env.metadata["render_fps"])
    env.close()
    write_mp4(args.out / "demo.mp4", frames, fps, args.scale)
    stride = -(-len(frames) // GIF_FRAMES)
    write_gif(args.out / "demo.gif", frames[::stride], fps / stride, args.scale)
    total = time.perf_counter() - began
    print(f"{args.steps} steps of {args.world!r} in {args.out / 'demo.mp4'} and {args.out / 'demo.gif'}")
    print(f"steps per second: {args.steps / seconds:.0f} stepping, {args.steps / total:.0f} with everything")


def _rollout(args: Rollout) -> None:
    from genie_env.files.video import write_gif, write_png

    chosen = {"temperature": args.temperature, "action_diversity": args.action_diversity}
    env = _make(args.world, **chosen, device=args.device)
    env.action_space.seed(args.seed)
    actions = iter(lambda: int(env.action_space.sample()), None)
    frames, _ = _dream(env, actions, args.generation_steps, args.seed)
    fps = float(env.metadata["render_fps"])
    env.close()
    write_png(args.out / "rollout.png", _strip(frames))
    write_gif(args.out / "rollout.gif", frames, fps, args.scale)
    print(f"{args.generation_steps} dreamed frames in {args.out / 'rollout.png'} and {args.out / 'rollout.gif'}")


def _dream(env: gym.Env[Any, Any], actions: Iterator[int], num_steps: int, seed: int) -> tuple[list[np.ndarray], float]:
    """Frames of ``num_steps`` steps, the start included, and the seconds spent in ``step`` alone."""
    from tqdm import tqdm

    if num_steps < 1:
        raise ValueError(f"steps: expected a whole number >= 1, got {num_steps}")
    env.reset(seed=seed)
    frames, seconds = [np.asarray(env.render())], 0.0
    for _ in tqdm(range(num_steps), desc="dreaming", unit="step", leave=False, disable=None):
        action = next(actions)
        began = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(action)
        seconds += time.perf_counter() - began
        frames.append(np.asarray(env.render()))
        if terminated or truncated:
            env.reset()
    return frames, seconds


def _held_actions(env: gym.Env[Any, Any], seed: int) -> Iterator[int]:
    """Random actions, each held for a few steps: a paddle that trembles on the spot shows nothing."""
    rng = np.random.default_rng(seed)
    env.action_space.seed(seed)
    while True:
        action = int(env.action_space.sample())
        yield from [action] * int(rng.integers(2, 10))


def _strip(frames: list[np.ndarray]) -> np.ndarray:
    """Up to ``STRIP_FRAMES`` frames at equal distances, side by side."""
    picked = np.linspace(0, len(frames) - 1, min(STRIP_FRAMES, len(frames))).round().astype(int)
    return side_by_side([frames[index] for index in picked])


def _info(args: Info) -> None:
    from genie_env import load_world
    from genie_env.action_map import latent_tables
    from genie_env.measurement import MEASUREMENTS, stored_measurements, tables
    from genie_env.tables import text_table

    world = load_world(args.world, "cpu")
    config = world.config
    lines: list[tuple[str, str]] = [("world", f"{config.name}, format {config.format_version}")]
    for name in ("tokenizer", "latent_action", "dynamics", "outcome"):
        size = sum(tensor.numel() for tensor in getattr(world, name).state_dict().values())
        lines.append((name, f"{size:,} parameters; {_settings(getattr(config, name))}"))
    source = config.source
    shape = f"{source.image_size}×{source.image_size} at {source.fps:g} fps"
    lines.append(("source", f"{source.env_id}, {shape}, crop {source.crop}, frame skip {source.frame_skip}"))
    lines.append(("sampling", _settings(config.sampling)))
    if world.starts is not None:
        lines.append(("starts", f"{len(world.starts.tokens_SPN)} recorded beginnings"))
    if config.action_map is not None:
        for real, latents in enumerate(latent_tables(config.action_map).T):
            *after, latent = latents.tolist()
            text = f"{source.action_meanings[real]} → latent {latent}, {config.action_map.purity[latent]:.0%} pure"
            if config.action_map.real_to_latent_after:
                text += f"; by the action before (0 to {len(after) - 1}): {', '.join(map(str, after))}"
            lines.append((f"action {real}", text))
    other = {name: value for name, value in config.metrics.items() if name != MEASUREMENTS}
    lines += [(f"measured {name}", str(value)) for name, value in _flat(other)]
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        print(textwrap.fill(text, 110, initial_indent=f"{label:<{width}}  ", subsequent_indent=" " * (width + 2)))
    for title, header, rows in tables(stored_measurements(config.metrics)):
        print(f"\n{title}\n{text_table(header, rows)}", end="")


def _settings(config: Any) -> str:
    """The fields of a config on one line."""
    pairs = ((field.name, getattr(config, field.name)) for field in dataclasses.fields(config))
    return ", ".join(f"{name} {value}" for name, value in pairs if not isinstance(value, (tuple, dict)) or value)


def _flat(metrics: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures as ``outer.inner`` and value."""
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", f"{value:.4g}" if isinstance(value, float) else value


def _bench(args: Bench) -> None:
    from genie_env.bench.report import publish, read_report
    from genie_env.bench.suite import run

    # Read first: a bad file should fail before the work rather than after it.
    other = read_report(args.compare) if args.compare is not None else None
    report = run(args.world, args.rows, args.steps, args.seconds, args.device, args.compile, args.long)
    publish(report, other, args.json)
