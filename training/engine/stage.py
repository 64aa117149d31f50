"""One step on the way from a recording to a world, and the folder of a finished one.

A finished stage that makes a network is ``model.safetensors``, ``settings.json`` (all that decided what came out) and
``config.json``, which is written last; later stages read the first and the last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from genie_env.config import NETWORKS
from genie_env.files.atomic import hold_folder, read_json, sweep, write_json
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from genie_env.files.tensors import fill_weights, read_tensors, uninitialised, weights_of, write_tensors
from genie_env.models.registry import Kind, make_network
from training.engine.distributed import connect
from training.engine.stamp import Change, changes, stamp_of, usual_of

Trainer = Callable[[Any, Any], nn.Module]
CONFIG, WEIGHTS, SETTINGS = "config.json", "model.safetensors", "settings.json"


@dataclass(frozen=True)
class Stage:
    """One step of making a world."""

    name: str
    """Name of the stage, as people call it."""
    config_class: type[JsonConfig]
    """Settings of its command; ``out`` is the folder that it makes."""
    train: Callable[[Any], object]
    """Runs it with such settings, or goes on where it was killed."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Settings that name folders, and the stages that make these."""
    network: str = ""
    """The network of a world that it makes, one of ``genie_env.config.NETWORKS``; empty: none."""
    proof: str = CONFIG
    """File that its folder has once it is finished."""
    folder_name: str = ""
    """Name of its folder in a run; empty: that of the stage."""

    def folder(self, run: Path) -> Path:
        """Where it lies in a run."""
        return run / (self.folder_name or self.name)

    def load(self, folder: Path) -> tuple[Any, Any]:
        """Its finished network, in eval mode, with its configuration; see :func:`load_network`."""
        return load_network(folder, self.network)

    def is_done(self, folder: Path) -> bool:
        """Whether it is finished in ``folder``."""
        return (folder / self.proof).exists()


def changed_settings(folder: Path, config: JsonConfig) -> list[Change]:
    """Settings with which a finished stage in ``folder`` was not made; none where it does not say."""
    path = folder / SETTINGS
    if not path.exists():
        return []
    before = read_json(path, "the settings of a stage")
    if not isinstance(before, dict):
        raise FileError(path, f"expected the settings of a stage, got {type(before).__name__}")
    return changes(before, settings_of(config), usual_of(config))


def settings_of(config: Any) -> dict[str, Any]:
    """All that decides what a stage makes, its length included."""
    loop = getattr(config, "loop", None)
    return stamp_of(config) | ({} if loop is None else {"n_updates": loop.n_updates})


def run_stage(config: Any, make: Callable[[], tuple[nn.Module, JsonConfig]]) -> Any:
    """Make a network in ``config.out`` and write it there; of several processes the first one writes.

    Args:
        config: settings of the stage.
        make: trains, or goes on; returns the network and its configuration.

    Raises:
        ValueError: if another process works in the folder.
    """
    with alone_in(config.out):
        network, size = make()
        save_network(config.out, network, size, settings_of(config))
    return network


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Work in a folder alone, free of what a killed process left; of several processes the first one holds it.

    Raises:
        ValueError: if another process works there; says which. A folder that was missing is then not made.
    """
    if not connect().is_first:
        yield
        return
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        with hold_folder(folder):
            sweep(folder)
            yield
    finally:
        for each in made:
            with contextlib.suppress(OSError):  # Not empty: something was made; or gone: it has another name now.
                each.rmdir()


def trainer_of(network: str, kind: str, kinds: Mapping[str, Kind], own: Mapping[str, Trainer]) -> Trainer:
    """What trains a kind of network: what it was registered with, or this project's own.

    Raises:
        ValueError: if nothing does.
    """
    trainer = kinds[kind].trainer or own.get(kind)
    if trainer is None:
        raise ValueError(f"{network} kind {kind!r}: was registered without a trainer")
    return trainer


def save_network(folder: Path, network: nn.Module, config: JsonConfig, settings: Mapping[str, Any]) -> None:
    """Write a finished network, each file whole or absent; of several processes the first does it."""
    if not connect().is_first:
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / WEIGHTS, weights_of(network))
    write_json(folder / SETTINGS, dict(settings))
    write_json(folder / CONFIG, config.to_json())


def load_network(folder: Path, name: str) -> tuple[Any, Any]:
    """Read a finished network back, in eval mode, with its configuration.

    Args:
        folder: of the stage.
        name: of the network, one of ``genie_env.config.NETWORKS``.

    Raises:
        FileError: if there is none, it is damaged, or it is another network.
    """
    if not (folder / CONFIG).exists():
        raise FileError(folder, f"expected a finished stage with {CONFIG} and {WEIGHTS}")
    content = read_json(folder / CONFIG, "the configuration of a network")
    try:
        config = NETWORKS[name].from_json(content)
        with uninitialised():
            network = make_network(name, config)
    except ValueError as error:
        raise FileError(folder / CONFIG, f"expected the configuration of a {name} ({error})") from None
    fill_weights(network, read_tensors(folder / WEIGHTS), folder / WEIGHTS)
    return network.eval(), config
