"""Which networks can be written as graphs. Imports neither onnx nor onnxruntime."""

from __future__ import annotations

from importlib.util import find_spec

from genie_env.config import WorldConfig

DYNAMICS = ("transformer",)
TOKENIZERS = ("codebook", "fsq")


def missing(config: WorldConfig) -> str | None:
    """Why a world cannot run in onnxruntime here, or None where it can."""
    for network, kind, known in (
        ("dynamics", config.dynamics.kind, DYNAMICS),
        ("tokenizer", config.tokenizer.kind, TOKENIZERS),
    ):
        if kind not in known:
            return f"the {network} of world {config.name!r} is of kind {kind!r}, graphs are made of {list(known)} only"
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            return f"the package {package} is missing: pip install 'genie-env[onnx]'"
    return None


def require_known(config: WorldConfig) -> None:
    """Raise ValueError where :func:`missing` finds something."""
    reason = missing(config)
    if reason is not None:
        raise ValueError(f"runtime 'onnx': {reason}; use runtime='torch'")
