"""The step of a world in onnxruntime: many dreams advanced together, in NumPy, without torch.

The counterpart of :mod:`genie_env.rollout.engine`. A row's numbers are the same to the byte whatever the number of
rows and threads. Keys and values stay where they are: the graph reads them in place, and a step writes one frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from genie_env.bundle import Bundle
from genie_env.portable.libraries import InferenceSession
from genie_env.portable.pictures import pictures_model
from genie_env.portable.session import open_session, run
from genie_env.portable.step import StepOptions, memory_shape, step_model, tokens_shape
from genie_env.rollout.records import DreamStep

PROMPT_ROWS = 16
"""Rows whose prompts are read together; more would only need more memory."""
ARRAYS = ("tokens_BCN", "recent_BK", "key_B", "step_B", "time_B")
KINDS = {"tensor(int64)": np.int64, "tensor(float)": np.float32, "tensor(bool)": np.bool_}


@dataclass
class OnnxState:
    """Where every row's dream stands, as the arrays that the graph reads.

    Attributes:
        tokens_BCN: int64, the last frames' tokens, oldest first; the last one is the present frame.
        recent_BK: int64, the last executed actions, -1 where there were none.
        key_B: int64, the row's random key.
        step_B: int64, steps since the row's reset.
        time_B: int64, frames that the row remembers or has forgotten.
        memory: keys and values of each layer in turn, float32 [B, P, window, E]; time t lies in slot t % window.
        bound: how a session reads and writes these arrays in place; made by the first step, left out of copies.
    """

    tokens_BCN: np.ndarray
    recent_BK: np.ndarray
    key_B: np.ndarray
    step_B: np.ndarray
    time_B: np.ndarray
    memory: list[np.ndarray]
    bound: Binding | None = None

    @property
    def tokens_BN(self) -> np.ndarray:
        """Tokens of the present frame."""
        return self.tokens_BCN[:, -1]

    def arrays(self) -> list[np.ndarray]:
        """All of its arrays, in a fixed order."""
        return [getattr(self, name) for name in ARRAYS] + self.memory

    def show(self, tokens_BN: np.ndarray) -> None:
        """Replace the present frame; the next step remembers it instead of what was drawn."""
        self.tokens_BCN[:, -1] = tokens_BN

    def take(self, rows_R: np.ndarray, key_R: np.ndarray) -> OnnxState:
        """A new state of these rows in this order, any of them more than once, each with a random key of its own."""
        taken = {name: getattr(self, name)[rows_R] for name in ARRAYS}
        return OnnxState(**{**taken, "key_B": key_R.copy()}, memory=[array[rows_R] for array in self.memory])

    def clone(self) -> OnnxState:
        """An independent copy."""
        copied = {name: getattr(self, name).copy() for name in ARRAYS}
        return OnnxState(**copied, memory=[array.copy() for array in self.memory])

    def copy_from(self, other: OnnxState, rows: Any = slice(None)) -> None:
        """Take over another state, of as many rows as ``rows`` names. The arrays stay the same objects."""
        for own, array in zip(self.arrays(), other.arrays(), strict=True):
            own[rows] = array

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "bound": None}


class OnnxEngine:
    """Sessions of one world; any number of states may be stepped with them."""

    def __init__(self, bundle: Bundle, options: StepOptions, threads: int) -> None:
        """Open the step's graph.

        Raises:
            ValueError: if a file of the bundle is damaged, or onnxruntime cannot run the graph.
        """
        self.bundle, self.options = bundle, options
        self.session = open_session(step_model(bundle, options), bundle.folder, threads)

    @cached_property
    def _pictures(self) -> InferenceSession:
        return open_session(pictures_model(self.bundle), self.bundle.folder)

    def pictures(self, tokens_BN: np.ndarray) -> np.ndarray:
        """Fresh pictures uint8 [B, H, W, 3] of tokens int64 [B, N]."""
        return run(self._pictures, ["pictures"], {"tokens": np.ascontiguousarray(tokens_BN)})[0]

    def empty(self, rows: int) -> OnnxState:
        """A state in which no row has seen a frame."""
        config, layers = self.bundle.config, self.bundle.config.dynamics.num_layers
        return OnnxState(
            tokens_BCN=np.zeros((rows, *tokens_shape(config)), np.int64),
            recent_BK=np.full((rows, self.options.diversity_window), -1, np.int64),
            key_B=np.zeros(rows, np.int64),
            step_B=np.zeros(rows, np.int64),
            time_B=np.zeros(rows, np.int64),
            memory=[np.zeros((rows, *memory_shape(config.dynamics)), np.float32) for _ in range(2 * layers)],
        )

    def start(self, tokens_RPN: np.ndarray, actions_RP: np.ndarray, key_R: np.ndarray) -> OnnxState:
        """Begin a dream per row from prompts of equal length.

        Args:
            tokens_RPN: int64 prompts; the last frame becomes the present one.
            actions_RP: int64 [R, P-1], latent actions between the prompt's frames.
            key_R: int64 random keys.
        """
        state = self.empty(len(key_R))
        for begin in range(0, len(key_R), PROMPT_ROWS):
            part = slice(begin, begin + PROMPT_ROWS)
            state.copy_from(self._read(tokens_RPN[part], actions_RP[part], key_R[part]), part)
        return state

    def reset_rows(
        self, state: OnnxState, rows_R: np.ndarray, tokens_RPN: np.ndarray, actions_RP: np.ndarray, key_R: np.ndarray
    ) -> None:
        """Restart the dreams of ``rows_R``. Other rows are unaffected."""
        state.copy_from(self.start(tokens_RPN, actions_RP, key_R), rows_R)

    def step(
        self, state: OnnxState, actions_B: np.ndarray, temperature_B: np.ndarray, diversity_B: np.ndarray
    ) -> DreamStep:
        """Play one action per row and draw the next frame. Updates ``state``.

        Args:
            state: the dreams.
            actions_B: int64, in the graph's own action space.
            temperature_B: float32; 0 takes the most likely tokens.
            diversity_B: float32, chance that a little-used action is played instead.
        """
        if state.bound is None or state.bound.session is not self.session:
            state.bound = Binding(self.session, state)
        out = state.bound.run(action=actions_B, temperature=temperature_B, action_diversity=diversity_B)
        remember(state, [out[name] for name in fresh_names(len(state.memory))])
        state.tokens_BCN[:], state.recent_BK[:] = out["next_tokens"], out["next_recent_actions"]
        state.step_B += 1
        return DreamStep(
            out["reward"].astype(np.float64),
            out["terminated"].copy(),
            out["executed_action"].copy(),
            out["latent_action"].copy(),
            out["entropy"].copy(),
        )

    def _read(self, tokens_RPN: np.ndarray, actions_RP: np.ndarray, key_R: np.ndarray) -> OnnxState:
        """A state that has seen a prompt. Each frame is a step whose drawn tokens are thrown away."""
        state = self.empty(len(key_R))
        names = fresh_names(len(state.memory))
        for t in range(actions_RP.shape[1]):
            state.tokens_BCN[:, -1] = tokens_RPN[:, t]
            given = {**requests(len(key_R), actions_RP[:, t]), **named_arrays(state)}
            remember(state, run(self.session, names, given))
        frames = np.arange(-state.tokens_BCN.shape[1], 0) + tokens_RPN.shape[1]
        state.tokens_BCN[:] = tokens_RPN[:, frames.clip(0)]
        state.key_B[:] = key_R
        return state


class Binding:
    """A session bound to a state's arrays and to its own outputs: a step allocates nothing and copies no memory."""

    def __init__(self, session: InferenceSession, state: OnnxState) -> None:
        rows = len(state.key_B)
        self.session, self._bound = session, session.io_binding()
        self._requests = requests(rows, np.full(rows, -1))
        for name, array in {**self._requests, **named_arrays(state)}.items():
            self._bound.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self._out: dict[str, np.ndarray] = {}
        for output in session.get_outputs():
            array = np.zeros((rows, *output.shape[1:]), KINDS[output.type])
            self._bound.bind_output(output.name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            self._out[output.name] = array

    def run(self, **requested: np.ndarray) -> dict[str, np.ndarray]:
        """What comes out, in arrays that the next run overwrites."""
        for name, values in requested.items():
            self._requests[name][:] = values
        self.session.run_with_iobinding(self._bound)
        return self._out


def named_arrays(state: OnnxState) -> dict[str, np.ndarray]:
    """The graph's names of the arrays of a state."""
    memory = [f"{kind}_{layer}" for layer in range(len(state.memory) // 2) for kind in ("keys", "values")]
    names = ["tokens", "recent_actions", "key", "step", "time", *memory]
    return dict(zip(names, state.arrays(), strict=True))


def fresh_names(num_memory: int) -> list[str]:
    """The graph's names of what the present frame adds to each array of the memory."""
    return [f"fresh_{kind}_{layer}" for layer in range(num_memory // 2) for kind in ("keys", "values")]


def requests(rows: int, forced_B: np.ndarray) -> dict[str, np.ndarray]:
    """The graph's inputs that a player decides, each an array of its own; cold and not diverse at first."""
    return {
        "action": np.zeros(rows, np.int64),
        "forced_latent": np.ascontiguousarray(forced_B),
        "temperature": np.zeros(rows, np.float32),
        "action_diversity": np.zeros(rows, np.float32),
    }


def remember(state: OnnxState, fresh: list[np.ndarray]) -> None:
    """Write the present frame's keys and values [B, P, E] to its slot of the memory."""
    slots_B = state.time_B % state.memory[0].shape[2]
    same = bool((slots_B == slots_B[0]).all())
    # Rows that were reset together share a slot, and a slice is written faster than indices.
    where = (slice(None), slice(None), slots_B[0]) if same else (np.arange(len(slots_B)), slice(None), slots_B)
    for memory, new in zip(state.memory, fresh, strict=True):
        memory[where] = new
    state.time_B += 1
