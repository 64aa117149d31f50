"""Opening graphs in onnxruntime, with threads that leave the rest of the process alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from genie_env.portable.libraries import InferenceSession, ModelProto, onnxruntime

FEW_ROWS = 16
_FOLDER = "session.model_external_initializers_file_folder_path"
_ERRORS_ONLY = 3


def suitable_threads(rows: int) -> int:
    """One thread for a few rows, whose products are too small to share out; else those that the process may use.

    Two threads that do not spin step 16 rows 5 % faster than one on idle cores, and slower on busy ones.
    """
    if rows <= FEW_ROWS:
        return 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(wanted) if wanted.isdecimal() and int(wanted) else cores


def open_session(model: ModelProto, folder: Path, threads: int = 1) -> InferenceSession:
    """A session of a graph whose weights lie in ``folder``.

    Raises:
        ValueError: if the installed onnxruntime cannot run it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = _ERRORS_ONLY
    # Threads that wait by spinning would slow torch in the same process by a multiple.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(_FOLDER, str(folder))
    try:
        return InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base but this
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"runtime: onnxruntime {onnxruntime.__version__} cannot open the graph of {folder}, "
            f"use runtime='torch' or another onnxruntime ({reason})"
        ) from error


def run(session: InferenceSession, outputs: list[str], given: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Some outputs of a graph, as fresh arrays."""
    return [np.asarray(array) for array in session.run(outputs, given)]
