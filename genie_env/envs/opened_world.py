"""A world, its starts and the runtime that steps in it, each opened on first use and shared by copies."""

from __future__ import annotations

import os
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from genie_env.bundle import Bundle, load_world, open_bundle, read_starts
from genie_env.envs.options import ResolvedOptions
from genie_env.rollout.forks import refuse_fork

if TYPE_CHECKING:
    from genie_env.world import World


class OpenedWorld:
    """What a batch of dreams needs that never changes.

    A deep copy is the same object. A pickled one leaves everything behind and opens it again.
    """

    def __init__(self, name: str, options: ResolvedOptions, num_rows: int) -> None:
        self._name, self._options, self._num_rows = name, options, num_rows
        self._engine: Any = None
        self._process = 0

    @cached_property
    def world(self) -> World:
        """The networks in torch: a process that only copies environments, or steps without torch, needs none.

        Raises:
            ImportError: without torch.
            ForkedError: in a process that was forked after torch was imported.
        """
        require_torch()
        return load_world(self._name, self._options.device)

    @cached_property
    def starts(self) -> tuple[np.ndarray, np.ndarray]:
        """Recorded beginnings, as :func:`genie_env.bundle.read_starts`."""
        return read_starts(self._bundle)

    @property
    def engine(self) -> Any:
        """The runtime: a :class:`~genie_env.envs.torch_dreams.TorchEngine` or an
        :class:`~genie_env.portable.engine.OnnxEngine`, which have the same methods.
        """
        # Threads of onnxruntime do not survive a fork; torch finds a fork out by itself.
        forked = self._process != os.getpid() and self._options.runtime == "onnx"
        if self._engine is None or forked:
            self._engine, self._process = self._open(), os.getpid()
        return self._engine

    @cached_property
    def _bundle(self) -> Bundle:
        return open_bundle(self._name)

    def _open(self) -> Any:
        options = self._options
        if options.runtime == "torch":
            from genie_env.envs.torch_dreams import TorchEngine

            return TorchEngine(self.world, options)
        from genie_env.portable.engine import OnnxEngine
        from genie_env.portable.session import suitable_threads
        from genie_env.portable.step import StepOptions

        built = StepOptions(options.sampling, options.action_type, options.diversity_window)
        return OnnxEngine(self._bundle, built, suitable_threads(self._num_rows))

    def __reduce__(self) -> tuple[type[OpenedWorld], tuple[str, ResolvedOptions, int]]:
        return OpenedWorld, (self._name, self._options, self._num_rows)

    def __deepcopy__(self, memo: dict[int, Any]) -> OpenedWorld:
        return self


def require_torch() -> None:
    """Check that torch can be used: everything but stepping in onnxruntime needs it.

    Raises:
        ImportError: where there is none.
        ForkedError: in a process that was forked after it was imported.
    """
    refuse_fork()
    if find_spec("torch") is None:
        raise ImportError("torch is missing: a world steps without it, but env.world and prompts of frames need it")
