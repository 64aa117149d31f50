"""Graphs of a world as files that any ONNX runtime opens."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from genie_env.bundle import Bundle
from genie_env.files.atomic import whole_file
from genie_env.portable.libraries import external_data_helper
from genie_env.portable.pictures import pictures_model
from genie_env.portable.step import StepOptions, step_model


class Exported(NamedTuple):
    """Files of an exported world."""

    step: Path
    """From what the player asks for and where the dreams stand to what comes next."""
    pictures: Path
    """From tokens to pictures."""


def export(bundle: Bundle, out: Path | str, options: StepOptions) -> Exported:
    """Write the step of a world as ``out``, and beside it the graph of its pictures as ``NAME.pictures.onnx``.

    In the bundle's own folder the graphs point to its weights; elsewhere they hold them, in half precision.

    Raises:
        ValueError: if the name does not end in ``.onnx``, or a file of the bundle is damaged.
        OSError: if a file cannot be written.
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise ValueError(f"out: expected a file that ends in .onnx, got {str(out)!r}")
    files = Exported(out, out.with_suffix(".pictures.onnx"))
    models = step_model(bundle, options), pictures_model(bundle)
    # Both or neither: a step whose pictures are missing, or those of another world, would be of no use.
    with contextlib.ExitStack() as stack:
        for path, model in zip(files, models, strict=True):
            if path.parent.resolve() != bundle.folder.resolve():
                external_data_helper.load_external_data_for_model(model, str(bundle.folder))
            # Not by onnx.save, which looks at how the name ends, and a temporary one ends otherwise.
            stack.enter_context(whole_file(path)).write_bytes(model.SerializeToString())
    return files
