"""The commands ``genie-env pull`` and ``genie-env push``: their flags, and what they do with them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import tyro

from genie_env.hub.upload import PushSettings


@dataclass(frozen=True)
class Pull:
    """Download a world from the Hugging Face Hub into its cache, check it, and print where it lies.

    Afterwards its address works without a network wherever a world is named. Nothing that is downloaded is executed.
    """

    world: tyro.conf.Positional[str]
    """Address of the world, hf://user/repo or hf://user/repo@revision."""
    out: Path | None = None
    """Folder for a copy of your own; None leaves the world in the cache."""


@dataclass(frozen=True)
class Push:
    """Put a world on the Hugging Face Hub, with a card, its measured values and an animation of a dream."""

    world: tyro.conf.Positional[str]
    """Bundled name, folder or hf:// address of the world."""
    repo: tyro.conf.Positional[str]
    """Repository to write, user/repo; it is made if there is none."""
    settings: tyro.conf.OmitArgPrefixes[PushSettings] = PushSettings()
    """Repository and commit."""


def pull(args: Pull) -> None:
    """Run ``genie-env pull``."""
    from genie_env.bundle import fetch_world, load_world
    from genie_env.files.atomic import refuse_existing, whole_folder
    from genie_env.hub.address import parse_address

    if args.out is not None:
        refuse_existing(args.out)
    address = parse_address(args.world if args.world.startswith("hf:/") else f"hf://{args.world}")
    folder, pinned = fetch_world(address)
    load_world(folder, "cpu")
    if args.out is not None:
        with whole_folder(args.out) as partial:
            for file in folder.iterdir():
                if file.is_file():
                    shutil.copyfile(file, partial / file.name)
        folder = args.out
    print(f"{pinned}: {folder}")


def push(args: Push) -> None:
    """Run ``genie-env push``."""
    from genie_env.bundle import load_world
    from genie_env.bundled_policy import policy_folder_of
    from genie_env.publish import push_world

    world, policy = load_world(args.world, "cpu"), policy_folder_of(args.world)
    print(push_world(world, args.repo, args.settings, policy))
