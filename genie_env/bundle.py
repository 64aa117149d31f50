"""World bundles: a folder with ``config.json``, weights as safetensors, start prompts and a model card.

Loading runs no pickle. It checks format version, checksum, names, shapes, types and finiteness of everything, and
says which file is wrong and why. Saving publishes a whole folder or nothing. What comes from the Hub lies in its cache
and is read from there like any other folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from genie_env.config import FORMAT_VERSION, NETWORKS, WorldConfig
from genie_env.files.atomic import recover_folder, whole_folder, write_json, write_text
from genie_env.files.errors import FileError
from genie_env.files.reading import JSON_BYTES, checksum, read_json
from genie_env.files.tensor_file import read_tensor_file
from genie_env.hub.address import HubAddress, is_hub_address, parse_address
from genie_env.policies import config as policies
from genie_env.policies import shipping

if TYPE_CHECKING:
    import torch

    from genie_env.hub.download import Contents, Snapshot
    from genie_env.world import World

BUNDLED = Path(__file__).parent / "worlds"
STARTS = "starts.safetensors"
CARD = "README.md"
MAX_BYTES = 2**30
"""Largest file of a bundle that is read."""


class Bundle(NamedTuple):
    """A bundle of which only ``config.json`` was read."""

    folder: Path
    config: WorldConfig
    checksums: dict[str, Any]
    """SHA-256 of each of its files, in hexadecimal."""

    def checksum(self, name: str) -> str:
        """Recorded checksum of a file; one that no file has, if there is none."""
        return str(self.checksums.get(name))


def bundled_worlds() -> list[str]:
    """Names of the worlds that come with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def find_world(world: str | Path) -> Path:
    """Folder of a world.

    Args:
        world: name of a bundled world, a folder, or an address of the Hub, ``hf://user/repo`` or
            ``hf://user/repo@revision``. A :class:`~pathlib.Path`, and text with a separator, is a folder.

    Raises:
        ValueError: if there is none of these, or a name stands for a bundled world and for another one in this folder.
        ImportError: for an address, without huggingface_hub.
    """
    if is_hub_address(world):
        return fetch_world(parse_address(world)).folder
    folder = Path(world)
    recover_folder(folder)
    if isinstance(world, str) and world in bundled_worlds():
        if _is_another_world(folder, BUNDLED / world):
            raise ValueError(
                f"world {world!r}: is a bundled world and a folder here; "
                f"write './{world}' for the folder, or rename it to open the bundled one"
            )
        return BUNDLED / world
    if not os.path.exists(folder / "config.json"):
        raise ValueError(
            f"world {str(world)!r}: expected one of the bundled worlds {bundled_worlds()}, a folder with config.json, "
            "or hf://user/repo"
        )
    return folder


def find_own_world(world: str | Path) -> Path:
    """Folder of a world that may be written to.

    Raises:
        ValueError: as :func:`find_world`, and for a world of the Hub: its copy in the cache belongs to the Hub.
    """
    if is_hub_address(world):
        raise ValueError(
            f"{world}: is written by its owner; `genie-env pull {world} --out FOLDER` makes a copy of yours"
        )
    return find_world(world)


def pin_world(world: str | Path) -> str | Path:
    """A name of a world that always finds the same files: of an address of the Hub, that with the commit.

    Raises:
        ValueError: as :func:`find_world`.
    """
    return str(fetch_world(parse_address(world)).address) if is_hub_address(world) else world


def fetch_world(address: HubAddress) -> Snapshot:
    """A world of the Hub in its cache, as :func:`genie_env.hub.download.fetch`."""
    from genie_env.hub.download import fetch

    return fetch(address, bundle_contents())


def bundle_contents() -> Contents:
    """What a repository of a world holds."""
    from genie_env.hub.download import Contents

    weights = [f"{network}.safetensors" for network in NETWORKS]
    sizes = {"config.json": JSON_BYTES, CARD: JSON_BYTES} | dict.fromkeys([*weights, STARTS], MAX_BYTES)
    sizes |= {policies.JSON: JSON_BYTES, policies.TENSORS: shipping.SHIPPED_BYTES}
    return Contents("world", "config.json", sizes, _listed_checksums, optional=(CARD,))


def _listed_checksums(folder: Path) -> dict[str, str]:
    """Checksums of the files that a bundle must have, as its ``config.json`` says."""
    manifest = _read_manifest(folder)
    networks = _world_config(manifest, folder).networks
    listed = manifest["sha256"]
    policy = [name for name in shipping.FILES if name in listed]
    return {name: str(listed.get(name)) for name in (*(f"{n}.safetensors" for n in networks), STARTS, *policy)}


def _is_another_world(folder: Path, bundled: Path) -> bool:
    if not folder.is_dir() or folder.samefile(bundled):
        return False
    try:
        _read_manifest(folder)
    except FileError:
        return False
    return True


def read_config(world: str | Path) -> WorldConfig:
    """Configuration of a world, without its weights and without torch.

    Raises:
        ValueError: if the file is missing, unreadable, of another version, or inconsistent.
    """
    return open_bundle(world).config


def open_bundle(world: str | Path) -> Bundle:
    """Configuration and checksums of a world, without its weights and without torch.

    Raises:
        ValueError: as :func:`read_config`.
    """
    folder = find_world(world)
    manifest = _read_manifest(folder)
    return Bundle(folder, _world_config(manifest, folder), manifest["sha256"])


def read_starts(bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Recorded beginnings, without torch: tokens int64 [S, P, N] and the actions between them, int64 [S, P-1].

    Raises:
        FileError: if the file is missing, damaged, or does not fit the configuration.
    """
    path = bundle.folder / STARTS
    arrays = read_tensor_file(path, sha256=bundle.checksum(STARTS), max_bytes=MAX_BYTES).arrays
    return _check_starts(arrays, bundle.config, path)


def load_world(world: str | Path, device: str = "auto") -> World:
    """Open a world.

    Args:
        world: a bundled name (``"pong"``), a folder, or ``hf://user/repo@revision``.
        device: ``"auto"`` (CUDA where there is one), or any torch device.

    Raises:
        ValueError: if anything in the bundle is missing, damaged or of another version; names the file.
    """
    import torch

    from genie_env.files.tensors import fill_weights, read_tensors, uninitialised, weights_of
    from genie_env.world import Prompts, World

    bundle = open_bundle(world)
    folder, config = bundle.folder, bundle.config
    starts = Prompts(*map(torch.from_numpy, read_starts(bundle)))
    # Shapes without memory: whatever the configuration asks for, nothing is allocated that the files do not hold.
    with torch.device("meta"), uninitialised():
        shapes = World(config, starts)
    tensors = {}
    for network in config.networks:
        path = folder / f"{network}.safetensors"
        wanted = weights_of(getattr(shapes, network))
        tensors[path] = read_tensors(
            path, wanted, bundle.checksum(path.name), max_bytes=MAX_BYTES, finite_as=torch.float16
        )
    with uninitialised():
        opened = World(config, starts)
    for network, (path, found) in zip(config.networks, tensors.items(), strict=True):
        fill_weights(getattr(opened, network), found, path)
    return opened.to(pick_device(device))


def pick_device(device: str) -> torch.device:
    """The torch device meant by ``device``.

    Raises:
        ValueError: if torch knows no such device, or it is not there.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(
            f"device: expected 'auto' or a torch device that is present, got {device!r} ({first_line})"
        ) from None
    return torch.device(device)


def save_world(
    world: World, folder: str | Path, card: str = "", replace: bool = False, policy: Path | None = None
) -> Path:
    """Write a bundle; weights are stored in half precision.

    Args:
        world: to write.
        folder: of the bundle.
        card: its ``README.md``.
        replace: whether an older bundle may be replaced.
        policy: folder of a policy that the bundle brings; may be the older bundle's own.

    Raises:
        ValueError: if ``folder`` exists and ``replace`` is not set, a weight is not finite in half precision, or the
            policy does not fit.
        OSError: if it cannot be written, on a full disk for example; an older world stays as it was.
    """
    import torch

    from genie_env.files.tensors import write_tensors

    with whole_folder(folder, replace, "config.json") as partial:
        for network in world.config.networks:
            write_tensors(partial / f"{network}.safetensors", _halved(world, network))
        starts = {"tokens": world.starts.tokens_SPN, "actions": world.starts.actions_SP}
        write_tensors(partial / STARTS, {k: v.to(torch.int16) for k, v in starts.items()})
        write_text(partial / CARD, card)
        names = [f"{network}.safetensors" for network in world.config.networks] + [STARTS]
        if policy is not None:
            shipping.copy_policy(policy, partial, world.config)
            names += shipping.FILES
        manifest = {
            "format_version": FORMAT_VERSION,
            "sha256": {name: checksum(partial / name) for name in names},
            "world": world.config.to_json(),
        }
        write_json(partial / "config.json", manifest)
    return Path(folder)


def _halved(world: World, network: str) -> dict[str, torch.Tensor]:
    """Weights of a network in half precision, other tensors as they are."""
    from genie_env.files.tensors import weights_of

    halved = {k: v.half() if v.is_floating_point() else v for k, v in weights_of(getattr(world, network)).items()}
    for name, tensor in halved.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(
                f"{network}: {name}: holds values that are not finite in half precision; "
                "go back to an earlier checkpoint, or train with a lower learning rate"
            )
    return halved


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    manifest = read_json(path, "the JSON of a world bundle")
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise FileError(path, f"expected format_version {FORMAT_VERSION}, got {version!r}")
    if not isinstance(manifest.get("sha256"), dict) or not isinstance(manifest.get("world"), dict):
        raise FileError(path, "expected the objects 'sha256' and 'world'")
    return manifest


def _world_config(manifest: dict[str, Any], folder: Path) -> WorldConfig:
    try:
        return WorldConfig.from_json(manifest["world"])
    except ValueError as error:
        raise FileError(folder / "config.json", str(error)) from None


def _check_starts(arrays: dict[str, np.ndarray], config: WorldConfig, path: Path) -> tuple[np.ndarray, np.ndarray]:
    if set(arrays) != {"tokens", "actions"}:
        raise FileError(path, f"expected the tensors 'tokens' and 'actions', got {sorted(arrays)[:9]}")
    tokens, actions = arrays["tokens"], arrays["actions"]
    fits = (
        all(np.issubdtype(array.dtype, np.integer) for array in arrays.values())
        and tokens.ndim == 3
        and tokens.shape[0] > 0
        and tokens.shape[1] > 0
        and tokens.shape[2] == config.tokenizer.num_tokens
        and actions.shape == (tokens.shape[0], tokens.shape[1] - 1)
    )
    if not fits:
        raise FileError(
            path,
            f"expected integer tokens [S, P, {config.tokenizer.num_tokens}] and actions [S, P-1], "
            f"got {tokens.dtype} {list(tokens.shape)} and {actions.dtype} {list(actions.shape)}",
        )
    for name, values, stop in (
        ("tokens", tokens, config.tokenizer.vocab_size),
        ("actions", actions, config.dynamics.num_actions),
    ):
        if values.size and not (int(values.min()) >= 0 and int(values.max()) < stop):
            raise FileError(path, f"{name}: expected values from 0 to {stop - 1}")
    return tokens.astype(np.int64), actions.astype(np.int64)
