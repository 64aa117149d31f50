"""Values of an ONNX graph that is being written, with the operators of arrays.

Owns nodes, constants and weights that lie in other files. Knows nothing of worlds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genie_env.portable.libraries import ModelProto, TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 8
END = np.iinfo(np.int64).max
"""Behind the last entry of any axis."""
Number = float | int | bool


@dataclass(frozen=True, eq=False)
class Value:
    """One value of a graph: its name and its element type. Plain numbers beside it take that type."""

    graph: Graph
    name: str
    dtype: np.dtype

    def __add__(self, other: Value | Number) -> Value:
        return self.graph.op("Add", self, self._like(other))

    def __sub__(self, other: Value | Number) -> Value:
        return self.graph.op("Sub", self, self._like(other))

    def __rsub__(self, other: Number) -> Value:
        return self.graph.op("Sub", self._like(other), self)

    def __mul__(self, other: Value | Number) -> Value:
        return self.graph.op("Mul", self, self._like(other))

    def __truediv__(self, other: Value | Number) -> Value:
        return self.graph.op("Div", self, self._like(other))

    def __mod__(self, other: Value | Number) -> Value:
        return self.graph.op("Mod", self, self._like(other))

    def __matmul__(self, other: Value) -> Value:
        return self.graph.op("MatMul", self, other)

    def __neg__(self) -> Value:
        return self.graph.op("Neg", self)

    def __xor__(self, other: Value) -> Value:
        return self.graph.op("BitwiseXor", self, other)

    def __or__(self, other: Value) -> Value:
        return self.graph.op("Or", self, other)

    def __and__(self, other: Value) -> Value:
        return self.graph.op("And", self, other)

    def __invert__(self) -> Value:
        return self.graph.op("Not", self)

    def __lt__(self, other: Value | Number) -> Value:
        return self._compare("Less", other)

    def __le__(self, other: Value | Number) -> Value:
        return self._compare("LessOrEqual", other)

    def __gt__(self, other: Value | Number) -> Value:
        return self._compare("Greater", other)

    def __ge__(self, other: Value | Number) -> Value:
        return self._compare("GreaterOrEqual", other)

    def equals(self, other: Value | Number) -> Value:
        """Where both are the same; bool."""
        return self._compare("Equal", other)

    def cast(self, dtype: Any) -> Value:
        """The same numbers as another type."""
        dtype = np.dtype(dtype)
        return self.graph.op("Cast", self, dtype=dtype, to=helper.np_dtype_to_tensor_dtype(dtype))

    def reshape(self, *shape: int) -> Value:
        """Another shape; 0 keeps an axis, one -1 is what remains."""
        return self.graph.op("Reshape", self, self.graph.ints(*shape))

    def transpose(self, *axes: int) -> Value:
        """Axes in another order."""
        return self.graph.op("Transpose", self, perm=axes)

    def insert(self, axis: int) -> Value:
        """With an axis of length 1."""
        return self.graph.op("Unsqueeze", self, self.graph.ints(axis))

    def remove(self, axis: int) -> Value:
        """Without an axis of length 1."""
        return self.graph.op("Squeeze", self, self.graph.ints(axis))

    def slice(self, axis: int, begin: int, end: int) -> Value:
        """Entries ``begin`` to before ``end`` of an axis."""
        g = self.graph
        return g.op("Slice", self, g.ints(begin), g.ints(end), g.ints(axis))

    def last(self, axis: int) -> Value:
        """The last entry of an axis, which stays."""
        return self.slice(axis, -1, END)

    def from_second(self, axis: int) -> Value:
        """All entries of an axis but the first."""
        return self.slice(axis, 1, END)

    def take(self, indices: Value, axis: int = 0) -> Value:
        """Entries of an axis by their numbers."""
        return self.graph.op("Gather", self, indices, axis=axis)

    def take_along(self, indices: Value, axis: int = -1) -> Value:
        """One entry of an axis for each index, the other axes being the same."""
        return self.graph.op("GatherElements", self, indices, axis=axis)

    def put_along(self, indices: Value, entries: Value, axis: int = -1) -> Value:
        """A copy with other entries at these places of an axis."""
        return self.graph.op("ScatterElements", self, indices, entries, axis=axis)

    def sum(self, axis: int = -1, keep: bool = False) -> Value:
        """Sum over an axis."""
        return self.graph.op("ReduceSum", self, self.graph.ints(axis), keepdims=int(keep))

    def _like(self, other: Value | Number) -> Value:
        return other if isinstance(other, Value) else self.graph.constant(np.array(other, self.dtype))

    def _compare(self, kind: str, other: Value | Number) -> Value:
        return self.graph.op(kind, self, self._like(other), dtype=bool)


class Graph:
    """Nodes in the order in which they are asked for, and the constants and weights they use."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._tensors: list[TensorProto] = []
        self._known: dict[tuple[Any, ...], Value] = {}

    def input(self, name: str, dtype: Any, *shape: int | str) -> Value:
        """An input; axes that are names have any length."""
        dtype = np.dtype(dtype)
        self._inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape))
        return Value(self, name, dtype)

    def output(self, name: str, value: Value, *shape: int | str) -> None:
        """Call a value an output of the graph."""
        self._nodes.append(helper.make_node("Identity", [value.name], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), shape))

    def op(self, kind: str, *inputs: Value | None, dtype: Any = None, **attributes: Any) -> Value:
        """Append a node with one output, of ``dtype`` or else of its first input's."""
        return self.ops(kind, *inputs, dtypes=(dtype,), **attributes)[0]

    def ops(
        self, kind: str, *inputs: Value | None, dtypes: Sequence[Any], domain: str = "", **attributes: Any
    ) -> tuple[Value, ...]:
        """Append a node with an output for each of ``dtypes``; None is the first input's."""
        first = next(value for value in inputs if value is not None)
        names = [f"{kind}_{len(self._nodes)}" + (f"_{i}" if i else "") for i in range(len(dtypes))]
        # Missing inputs at the end are left out: not every runtime takes an empty name for them.
        used = max(index for index, value in enumerate(inputs) if value is not None) + 1
        given = ["" if value is None else value.name for value in inputs[:used]]
        self._nodes.append(helper.make_node(kind, given, names, domain=domain, **attributes))
        return tuple(
            Value(self, name, first.dtype if dtype is None else np.dtype(dtype))
            for name, dtype in zip(names, dtypes, strict=True)
        )

    def constant(self, array: np.ndarray) -> Value:
        """An array of the graph's own; equal ones are stored once."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            name = f"constant_{len(self._known)}"
            self._tensors.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
            self._known[key] = Value(self, name, array.dtype)
        return self._known[key]

    def ints(self, *values: int) -> Value:
        """A constant int64 vector."""
        return self.constant(np.array(values, np.int64))

    def stored(self, name: str, dtype: Any, shape: tuple[int, ...], where: dict[str, str | int]) -> Value:
        """A tensor that lies in another file: its ``location``, ``offset`` and ``length`` in bytes."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        proto = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
        for key, value in where.items():
            proto.external_data.add(key=key, value=str(value))
        self._tensors.append(proto)
        return Value(self, name, np.dtype(dtype))

    def concat(self, *values: Value, axis: int) -> Value:
        """Values one after another along an axis."""
        return self.op("Concat", *values, axis=axis)

    def where(self, condition: Value, one: Value, other: Value) -> Value:
        """``one`` where the condition holds, else ``other``."""
        return self.op("Where", condition, one, other, dtype=one.dtype)

    def model(self, name: str, producer: str, version: str, metadata: dict[str, str]) -> ModelProto:
        """Everything as an ONNX model."""
        body = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._tensors)
        model = helper.make_model(
            body,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name=producer,
            producer_version=version,
        )
        helper.set_model_props(model, metadata)
        return model
