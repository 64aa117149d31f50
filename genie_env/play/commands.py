"""The commands ``genie-env play`` and ``genie-env demo``: their flags, and what they do with them."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from genie_env.envs.options import OptionFlags

if TYPE_CHECKING:
    import gymnasium as gym

    from genie_env.play.film import Film
    from genie_env.play.real_game import RealGameBeside
    from genie_env.play.watched_agent import WatchedAgent
    from genie_env.play.watching import Watchable

AGENT_ZOOM = 2
"""Times that the pictures of an agent's play are enlarged in the video; all of them at full size would fill memory."""


@dataclass(frozen=True)
class Play:
    """Play a world with the keyboard, or watch an agent play.

    Arrows and WASD play what the actions mean, R resets, P pauses (N then plays one step), [ and ] change
    the temperature, ; and ' the action diversity, F5 takes a snapshot and F9 returns to it, F12 saves a
    screenshot, V starts and stops a film, H hides the bar of text, Esc quits. With --watch an agent plays: any key
    of the game takes over, G gives back.
    """

    world: str = "pong"
    """Bundled name, folder or hf:// address of the world."""
    watch: tuple[str, ...] | None = None
    """Agent that plays until a key takes over: a policy's folder or hf:// address, or a planner that tries actions in
    dreams, planner:tree or planner:cem; nothing after --watch: the world's own policy."""
    environment: tyro.conf.OmitArgPrefixes[OptionFlags] = OptionFlags()
    """Options of the environment."""
    fps: float | None = None
    """Steps per second; None takes the world's own, 0 runs as fast as possible."""
    scale: int = 8
    """Times that the window is larger than frames at first."""
    seed: int | None = None
    """Seed of the first episode."""
    out: Path = Path()
    """Folder for screenshots and films."""
    record: Path | None = None
    """Folder to make of everything played, for training: frames, actions, rewards."""
    beside_real: bool = False
    """Show the real game beside the dream: it begins like the dream and plays the same actions; an agent plays each."""
    hud: bool = True
    """Show figures and keys beneath the game."""


@dataclass(frozen=True)
class Demo:
    """Show the agent that learned in a world's dream: in a window, or as a video where there is no display.

    The real game is shown beside the dream where it is installed. In the window any key of the game takes over. A world
    without an agent is played by a person, or by a scripted player in the video.
    """

    world: str = "pong"
    """Bundled name, folder or hf:// address of the world."""
    steps: int = 1000
    """Steps of the video; a window stays as long as they like."""
    out: Path = Path()
    """Folder for demo.mp4 and demo.gif."""
    scale: int = 6
    """Times that the videos are larger than frames."""
    seed: int = 0
    """Seed of world and player."""


def play_world(args: Play) -> None:
    """Run ``genie-env play``."""
    from genie_env.play.loop import play
    from genie_env.play.play_recorder import PlayRecorder
    from genie_env.play.real_game import RealGameBeside
    from genie_env.play.watching import find_watchable

    if args.watch is not None and args.record is not None:
        raise ValueError("record: is of a person's play; expected it without --watch")
    watched = None if args.watch is None else find_watchable(args.world, args.watch, args.environment)
    env = _make(args.world, args.environment, watched)
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
            agent=_agent(env, watched, args.seed, args.beside_real),
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


def show_demo(args: Demo) -> None:
    """Run ``genie-env demo``."""
    from genie_env.bundled_policy import policy_config_of
    from genie_env.window.display import NoDisplayError, has_display

    if has_display():
        watched = None if policy_config_of(args.world) is None else ()
        beside = watched is not None and _real_game_is_here(args.world)
        try:
            play_world(Play(world=args.world, watch=watched, seed=args.seed, out=args.out, beside_real=beside))
            return
        except NoDisplayError as error:
            print(f"{error}; writing a video instead", file=sys.stderr)
    _write_demo(args)


def _write_demo(args: Demo) -> None:
    """Let the world's own agent, or else a scripted player, play and write what there was to see."""
    from genie_env.bundled_policy import policy_of
    from genie_env.files.video import GIF_FRAMES, import_av, write_gif, write_mp4
    from genie_env.play.watching import watchable_policy

    with_mp4 = True
    try:
        import_av()
    except ImportError as error:
        with_mp4 = False
        print(f"only demo.gif is written: {error}", file=sys.stderr)
    policy = policy_of(args.world)
    watched = None if policy is None else watchable_policy(policy)
    began = time.perf_counter()
    with closing(_make(args.world, OptionFlags(), watched)) as env:
        fps = float(env.metadata["render_fps"])
        film = _film(args, env, watched)
    stride = -(-len(film.frames) // GIF_FRAMES)
    # Pictures with text are large already.
    write_gif(args.out / "demo.gif", film.frames[::stride], fps / stride, args.scale if watched is None else 1)
    if with_mp4:
        write_mp4(args.out / "demo.mp4", film.frames, fps, args.scale if watched is None else AGENT_ZOOM)
    total = time.perf_counter() - began
    names = [str(args.out / name) for name in (*(["demo.mp4"] if with_mp4 else []), "demo.gif")]
    print(f"{args.steps} steps of {args.world!r} in {' and '.join(names)}")
    if film.points:
        print(f"the agent that learned in the dream: {film.points}")
    print(f"steps per second: {args.steps / film.seconds:.0f} stepping, {args.steps / total:.0f} with everything")


def _film(args: Demo, env: gym.Env[Any, Any], watched: Watchable | None) -> Film:
    from genie_env.play.film import film_actions, film_agent

    real_game = _real_game(env) if watched is not None and _real_game_is_here(args.world) else None
    agent = _agent(env, watched, args.seed, real_game is not None)
    if agent is None:
        return film_actions(env, _held_actions(env, args.seed), args.steps, args.seed)
    try:
        return film_agent(env, agent, real_game, args.steps, args.seed, max(1, args.scale // AGENT_ZOOM))
    finally:
        if real_game is not None:
            real_game.close()


def _make(world: str, options: OptionFlags, watched: Watchable | None) -> gym.Env[Any, Any]:
    """An environment that renders pictures, and shows an agent its tokens."""
    import gymnasium as gym

    import genie_env  # noqa: F401 (registers the ids)

    flags = dataclasses.asdict(options)
    if watched is not None:
        flags |= {"obs_type": "tokens", "action_type": watched.action_type}
        if options.temperature is None:
            flags["temperature"] = watched.temperature
    return gym.make("Genie/World-v0", world=world, render_mode="rgb_array", **flags)


def _agent(env: gym.Env[Any, Any], watched: Watchable | None, seed: int | None, beside: bool) -> WatchedAgent | None:
    from genie_env.play.watched_agent import WatchedAgent

    if watched is None:
        return None
    game: Any = env.unwrapped

    def encode(frame_HWC: np.ndarray) -> np.ndarray:
        return game.world.encode(frame_HWC[None, None])[0, 0].cpu().numpy()

    return WatchedAgent(watched.make_player, watched.actions, encode, seed, beside)


def _real_game(env: gym.Env[Any, Any]) -> RealGameBeside:
    from genie_env.play.real_game import RealGameBeside

    game: Any = env.unwrapped
    return RealGameBeside(game.config, game.options.action_type)


def _real_game_is_here(world: str) -> bool:
    """Whether the real game of a world can be made on this machine."""
    import gymnasium as gym

    from genie_env.bundle import read_config
    from genie_env.games.source_game import make_source_game

    try:
        make_source_game(read_config(world).source).close()
    except (ImportError, ValueError, gym.error.Error):
        return False
    return True


def _held_actions(env: gym.Env[Any, Any], seed: int) -> Iterator[int]:
    """Random actions, each held for a few steps: a paddle that trembles on the spot shows nothing."""
    rng = np.random.default_rng(seed)
    env.action_space.seed(seed)
    while True:
        action = int(env.action_space.sample())
        yield from [action] * int(rng.integers(2, 10))
