"""World bundles: a folder with ``config.json``, weights as safetensors, start prompts and a model card.

Loading runs no pickle. It checks format version, checksum, names, shapes, types and finiteness of everything, and
says which file is wrong and why. Saving publishes a whole folder or nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genie_env.config import FORMAT_VERSION, WorldConfig

if TYPE_CHECKING:
    import torch

    from genie_env.world import World

BUNDLED = Path(__file__).parent / "worlds"
NETWORKS = ("tokenizer", "latent_action", "dynamics", "outcome")
STARTS = "starts.safetensors"
CARD = "README.md"


def bundled_worlds() -> list[str]:
    """Names of the worlds that come with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob("*/config.json"))


def find_world(world: str | Path) -> Path:
    """Folder of a bundled world's name, or of a path.

    Raises:
        ValueError: if there is neither.
    """
    if (BUNDLED / str(world) / "config.json").exists():
        return BUNDLED / str(world)
    folder = Path(world)
    if not (folder / "config.json").exists():
        raise ValueError(
            f"world {str(world)!r}: expected one of the bundled worlds {bundled_worlds()} or a folder with config.json"
        )
    return folder


def read_config(world: str | Path) -> WorldConfig:
    """Configuration of a world, without its weights and without torch.

    Raises:
        ValueError: if the file is missing, unreadable, of another version, or inconsistent.
    """
    folder = find_world(world)
    return _world_config(_read_manifest(folder), folder)


def load_world(world: str | Path, device: str = "auto") -> World:
    """Open a world.

    Args:
        world: a bundled name (``"pong"``) or a folder.
        device: ``"auto"`` (CUDA where there is one), or any torch device.

    Raises:
        ValueError: if anything in the bundle is missing, damaged or of another version; names the file.
    """
    import torch

    from genie_env.world import Prompts, World

    folder = find_world(world)
    manifest = _read_manifest(folder)
    # Building a network draws first weights, which are overwritten: nobody's generator shall notice.
    with torch.random.fork_rng(devices=[]):
        opened = World(_world_config(manifest, folder))
    for network in NETWORKS:
        path = folder / f"{network}.safetensors"
        _fill(getattr(opened, network), _read_tensors(path, manifest["sha256"]), path)
    starts = _read_tensors(folder / STARTS, manifest["sha256"])
    opened.starts = Prompts(*_check_starts(starts, opened.config, folder / STARTS))
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


def save_world(world: World, folder: str | Path, card: str = "", replace: bool = False) -> Path:
    """Write a bundle; weights are stored in half precision.

    Raises:
        ValueError: if ``folder`` exists (and ``replace`` is not set), or the world has no start prompts.
    """
    import torch
    from safetensors.torch import save_file

    target = Path(folder)
    if target.exists() and not replace:
        raise ValueError(f"{target} exists already; choose another folder or allow replacing it")
    if world.starts is None:
        raise ValueError("the world has no start prompts to reset from")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for network in NETWORKS:
        state = getattr(world, network).state_dict()
        halved = {k: (v.half() if v.is_floating_point() else v).cpu().contiguous() for k, v in state.items()}
        save_file(halved, partial / f"{network}.safetensors")
    save_file(
        {
            "tokens": world.starts.tokens_SPN.to(torch.int16).cpu().contiguous(),
            "actions": world.starts.actions_SP.to(torch.int16).cpu().contiguous(),
        },
        partial / STARTS,
    )
    (partial / CARD).write_text(card)
    names = [f"{network}.safetensors" for network in NETWORKS] + [STARTS]
    manifest = {
        "format_version": FORMAT_VERSION,
        "sha256": {n: _sha256(partial / n) for n in names},
        "world": world.config.to_json(),
    }
    (partial / "config.json").write_text(json.dumps(manifest, indent=1))
    if target.exists():
        shutil.rmtree(target)
    partial.rename(target)
    return target


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        manifest = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected the JSON of a world bundle ({error})") from None
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"{path}: expected format_version {FORMAT_VERSION}, got {version!r}")
    if not isinstance(manifest.get("sha256"), dict) or not isinstance(manifest.get("world"), dict):
        raise ValueError(f"{path}: expected the objects 'sha256' and 'world'")
    return manifest


def _world_config(manifest: dict[str, Any], folder: Path) -> WorldConfig:
    try:
        return WorldConfig.from_json(manifest["world"])
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from None


def _read_tensors(path: Path, checksums: dict[str, str]) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.exists():
        raise ValueError(f"{path}: missing from the bundle")
    if _sha256(path) != checksums.get(path.name):
        raise ValueError(f"{path}: is truncated or was edited: its sha256 is not the one in config.json")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from None


def _fill(network: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    expected = network.state_dict()
    missing, unknown = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or unknown:
        raise ValueError(f"{path}: missing tensors {missing[:3]}, unknown tensors {unknown[:3]}")
    for name, wanted in expected.items():
        got = tensors[name]
        # Weights are stored in half precision; everything else must be exactly what it is, for casting would wrap.
        same_kind = got.is_floating_point() if wanted.is_floating_point() else got.dtype == wanted.dtype
        if got.shape != wanted.shape or not same_kind:
            raise ValueError(
                f"{path}: {name}: expected {wanted.dtype} {list(wanted.shape)}, got {got.dtype} {list(got.shape)}"
            )
        if got.is_floating_point() and not bool(got.isfinite().all()):
            raise ValueError(f"{path}: {name}: holds values that are not finite")
    network.load_state_dict(tensors)


def _check_starts(
    tensors: dict[str, torch.Tensor], config: WorldConfig, path: Path
) -> tuple[torch.Tensor, torch.Tensor]:
    if set(tensors) != {"tokens", "actions"}:
        raise ValueError(f"{path}: expected the tensors 'tokens' and 'actions', got {sorted(tensors)}")
    tokens, actions = tensors["tokens"].long(), tensors["actions"].long()
    fits = (
        not any(tensor.is_floating_point() for tensor in tensors.values())
        and tokens.ndim == 3
        and tokens.shape[0] > 0
        and tokens.shape[1] > 0
        and tokens.shape[2] == config.tokenizer.num_tokens
        and actions.shape == (tokens.shape[0], tokens.shape[1] - 1)
    )
    if not fits:
        raise ValueError(
            f"{path}: expected integer tokens [S, P, {config.tokenizer.num_tokens}] and actions [S, P-1], "
            f"got {tensors['tokens'].dtype} {list(tokens.shape)} and {tensors['actions'].dtype} {list(actions.shape)}"
        )
    for name, values, stop in (
        ("tokens", tokens, config.tokenizer.vocab_size),
        ("actions", actions, config.dynamics.num_actions),
    ):
        if values.numel() and not (int(values.min()) >= 0 and int(values.max()) < stop):
            raise ValueError(f"{path}: {name}: expected values from 0 to {stop - 1}")
    return tokens, actions


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
