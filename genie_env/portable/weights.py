"""Weights of a bundle as values of a graph, which points to where the bundle's own files keep them."""

from __future__ import annotations

import numpy as np

from genie_env.bundle import Bundle
from genie_env.files.tensor_file import read_tensor_file
from genie_env.portable.graph import Graph, Value


class Weights:
    """Tensors of one network by name. Those in half precision become float32 when the graph is opened."""

    def __init__(self, graph: Graph, bundle: Bundle, network: str, shapes: dict[str, tuple[int, ...]]) -> None:
        """Read and check the network's file.

        Raises:
            FileError: if it is damaged, or its tensors are not those of ``shapes``.
        """
        self._graph = graph
        name = f"{network}.safetensors"
        self._file = read_tensor_file(bundle.folder / name, shapes, bundle.checksum(name))
        self._known: dict[str, Value] = {}

    def __call__(self, name: str) -> Value:
        """A tensor by its name in the file."""
        if name not in self._known:
            path, array, place = self._file.path, self._file.arrays[name], self._file.places[name]
            where: dict[str, str | int] = {"location": path.name, **place._asdict()}
            value = self._graph.stored(f"{path.stem}.{name}", array.dtype, array.shape, where)
            exact = array.dtype == np.float32 or not np.issubdtype(array.dtype, np.floating)
            self._known[name] = value if exact else value.cast(np.float32)
        return self._known[name]
