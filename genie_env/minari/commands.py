"""The command ``genie-env minari``: its flags, and what it does with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from genie_env.envs.options import OptionFlags
from genie_env.minari.writer import AboutDataset

if TYPE_CHECKING:
    from genie_env.minari.writer import MinariEpisode, MinariSpaces

SPLITS = {"all": ("train", "test"), "train": ("train",), "test": ("test",)}


@dataclass(frozen=True)
class Minari:
    """Write a recording, or dreams of a random player, as a Minari data set.

    ``minari.load_dataset`` finds it under its id; MINARI_DATASETS_PATH says where. Its environment is made again by
    ``dataset.recover_environment()``: of a recording the real game with the recorded frames, of dreams the world.
    """

    dataset_id: tyro.conf.Positional[str]
    """Id of the data set, like genie/pong/mixed-v0."""
    data: Path | None = None
    """Folder of the recording to write; None dreams."""
    split: Literal["all", "train", "test"] = "all"
    """Part of the recording: all, train or test (what is held out)."""
    world: str = "pong"
    """Bundled name, folder or hf:// address of the world that dreams."""
    environment: tyro.conf.OmitArgPrefixes[OptionFlags] = OptionFlags()
    """Options of the environment that dreams."""
    episodes: int = 10
    """Number of dreams."""
    steps: int = 1000
    """Steps after which a dream is cut off."""
    seed: int = 0
    """Seed of the first dream; each later one counts up."""
    about: tyro.conf.OmitArgPrefixes[AboutDataset] = AboutDataset()
    """Facts about the data set."""

    def __post_init__(self) -> None:
        for name in ("episodes", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {getattr(self, name)}")


def write_minari(args: Minari) -> None:
    """Run ``genie-env minari``."""
    from genie_env.minari.writer import dataset_folder

    # Fail before the work rather than after it.
    dataset_folder(args.dataset_id)
    if args.data is None:
        _write_dreams(args)
    else:
        _write_recording(args, args.data)


def _write_recording(args: Minari, data: Path) -> None:
    from genie_env.data.episodes import EpisodeStore
    from genie_env.minari.episodes import recorded_episodes, recorded_spaces

    store = EpisodeStore(data)
    players = sorted({entry.player for entry in store.manifest.episodes})
    usual = AboutDataset(
        description=f"Play of {store.manifest.source.env_id or 'a game'}, recorded with Genie Env.",
        algorithm_name=", ".join(players),
    )
    _publish(args, recorded_episodes(store, SPLITS[args.split]), recorded_spaces(store), usual)


def _write_dreams(args: Minari) -> None:
    import gymnasium as gym

    import genie_env  # noqa: F401 (registers the ids)
    from genie_env.minari.episodes import dreamed_episodes, held_actions
    from genie_env.minari.writer import MinariSpaces

    name = _name(args.world)
    flags = {k: v for k, v in dataclasses.asdict(args.environment).items() if v != getattr(OptionFlags(), k)}
    env = gym.make("Genie/World-v0", world=name, **flags)
    usual = AboutDataset(
        description=f"Dreams of the Genie Env world {name!r}: frames, rewards and ends are drawn by its networks.",
        algorithm_name="random actions, held",
    )
    spaces = MinariSpaces(env.observation_space, env.action_space, env.spec)
    episodes = dreamed_episodes(env, held_actions(env, args.seed), args.episodes, args.steps, args.seed)
    try:
        _publish(args, episodes, spaces, usual)
    finally:
        env.close()


def _name(world: str) -> str:
    """A name of the world that finds it from any folder."""
    from genie_env.bundle import bundled_worlds, find_world, pin_world
    from genie_env.hub.address import is_hub_address

    if world in bundled_worlds() or is_hub_address(world):
        return str(pin_world(world))
    return str(find_world(world).resolve())


def _publish(args: Minari, episodes: Iterator[MinariEpisode], spaces: MinariSpaces, usual: AboutDataset) -> None:
    from tqdm import tqdm

    from genie_env.minari.writer import write_dataset

    about = dataclasses.replace(
        args.about,
        description=args.about.description or usual.description,
        algorithm_name=args.about.algorithm_name or usual.algorithm_name,
    )
    bar = tqdm(episodes, desc="writing", unit="episode", leave=False, disable=None)
    folder, num_episodes, num_steps = write_dataset(args.dataset_id, bar, spaces, about)
    print(f"{args.dataset_id}: {num_episodes} episodes, {num_steps} steps in {folder}")
