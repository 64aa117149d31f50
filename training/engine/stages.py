"""Finished stages on disk: ``model.safetensors`` and ``config.json`` in the stage's folder.

The two files are what a later stage reads; a stage is done when both are there, weights first, config last.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import nn

from genie_env.files.atomic import read_json, write_json
from genie_env.files.json_config import JsonConfig
from genie_env.files.tensors import fill_weights, read_tensors, weights_of, write_tensors
from training.engine.distributed import connect

CONFIG, WEIGHTS = "config.json", "model.safetensors"
C = TypeVar("C", bound=JsonConfig)
M = TypeVar("M", bound=nn.Module)


def save_stage(folder: Path, model: nn.Module, config: JsonConfig) -> None:
    """Write weights and config of a finished stage, each whole or absent; of several processes the first does it."""
    if not connect().is_first:
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / WEIGHTS, weights_of(model))
    write_json(folder / CONFIG, config.to_json())


def is_done(folder: Path) -> bool:
    """Whether a finished stage lies in ``folder``."""
    return (folder / CONFIG).exists()


def load_stage(folder: Path, config_class: type[C], build: Callable[[C], M]) -> tuple[M, C]:
    """Read a finished stage back, in eval mode.

    Raises:
        ValueError: if there is none, or its weights do not fit its config.
    """
    if not is_done(folder):
        raise ValueError(f"{folder}: expected a finished stage with config.json and model.safetensors")
    config = config_class.from_json(read_json(folder / CONFIG, "the configuration of a stage"))
    model, path = build(config), folder / WEIGHTS
    fill_weights(model, read_tensors(path), path)
    return model.eval(), config
