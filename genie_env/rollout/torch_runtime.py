"""How an environment uses torch: with few threads for few rows, compiled or captured if asked for.

Knows the rollout engine's step; knows nothing of worlds, options or Gymnasium's API.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

from genie_env.models.dynamics import Dynamics
from genie_env.nn.kv_cache import KVCache
from genie_env.rollout.engine import RolloutEngine, RolloutState, StepOutput

FASTEST_ON_CPU: dict[str, Any] = {
    "freezing": True,  # weights are packed once, for products written for their very shapes
    "max_autotune": True,  # which are timed against the libraries'
    "cpp_wrapper": True,  # and no Python between kernels
}
"""Options of ``torch.compile``; at one row each of them is worth 10 to 25 %."""


class CompileError(RuntimeError):
    """``torch.compile`` does not work on this machine."""


def compiled_step(engine: RolloutEngine) -> Callable[..., StepOutput]:
    """The engine's step without what Python and the launching of kernels cost: compiled, or on a GPU captured.

    Raises:
        CompileError: now or at a step, if the compiler fails or cannot write its cache; it says what to do.
    """
    captured = engine.device.type == "cuda" and isinstance(engine.dynamics, Dynamics)
    return CapturedStep(engine) if captured else _through_compiler(engine)


class CapturedStep:
    """The engine's step as a CUDA graph: some two hundred kernels in one launch, and nothing to compile.

    A graph reads and writes the tensors that it was captured with. The dynamics' memory is changed in place and stays
    where it is; whatever else a state holds is copied in before a replay, and out after it. Another state, or another
    number of rows, is captured anew.
    """

    def __init__(self, engine: RolloutEngine) -> None:
        self._engine = engine
        self._captured: _Captured | None = None

    def __call__(self, state: RolloutState, actions_B: torch.Tensor, temperature_B: torch.Tensor) -> StepOutput:
        """As :meth:`~genie_env.rollout.engine.RolloutEngine.step`; rounding is that of the eager one."""
        if self._captured is None or not self._captured.holds(state):
            self._captured = _Captured(self._engine, state, actions_B, temperature_B)
        return self._captured.replay(state, actions_B, temperature_B)


class _Captured:
    """The step of one state."""

    def __init__(
        self, engine: RolloutEngine, state: RolloutState, actions_B: torch.Tensor, temperature_B: torch.Tensor
    ) -> None:
        self._rings = state.cache.rings
        with torch.inference_mode():
            self._inputs = [part.clone() for part in (*_parts(state), actions_B, temperature_B)]
            # Kernels are loaded and chosen outside the capture. The rings' slot that is written is the one that the
            # replay writes.
            side = torch.cuda.Stream(engine.device)
            side.wait_stream(torch.cuda.current_stream(engine.device))
            with torch.cuda.stream(side):
                for _ in range(3):
                    self._step(engine)
            torch.cuda.current_stream(engine.device).wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._after, self._output = self._step(engine)

    def holds(self, state: RolloutState) -> bool:
        """Whether it is this state's memory that the graph writes to."""
        # The list is made with its tensors, and neither is ever exchanged.
        return state.cache.rings is self._rings

    def replay(self, state: RolloutState, actions_B: torch.Tensor, temperature_B: torch.Tensor) -> StepOutput:
        """Step ``state``."""
        with torch.inference_mode():
            for held, given in zip(self._inputs, (*_parts(state), actions_B, temperature_B), strict=True):
                held.copy_(given)
            self._graph.replay()
            recent_BCN, key_B, step_B, time_B = (part.clone() for part in self._after)
            state.recent_BCN, state.key_B, state.step_B, state.cache.time_B = recent_BCN, key_B, step_B, time_B
            # A single network has no members, so nothing to be uncertain about.
            tokens_BN, reward_B, terminated_B, entropy_B = (part.clone() for part in self._output[:4])
            return StepOutput(tokens_BN, reward_B, terminated_B, entropy_B)

    def _step(self, engine: RolloutEngine) -> tuple[tuple[torch.Tensor, ...], StepOutput]:
        recent_BCN, key_B, step_B, time_B, actions_B, temperature_B = self._inputs
        state = RolloutState(KVCache(self._rings, time_B), recent_BCN, key_B, step_B)
        output = engine.step(state, actions_B, temperature_B)
        return _parts(state), output


def _parts(state: RolloutState) -> tuple[torch.Tensor, ...]:
    """What a step replaces in a state."""
    return state.recent_BCN, state.key_B, state.step_B, state.cache.time_B


def _through_compiler(engine: RolloutEngine) -> Callable[..., StepOutput]:
    """The engine's step through ``torch.compile``.

    Raises:
        CompileError: now or at a step, if the compiler fails or cannot write its cache; it says what to do.
    """
    try:
        # Costs a second, so only those pay for it who ask for the compiler. It makes a folder for its cache.
        from torch._dynamo.exc import TorchDynamoException
    except OSError as error:
        raise _failed(error) from error
    # The compiler takes no tensors made in inference mode, so this is the step without its decorator. The number of
    # rows never changes, and code for it alone is the fastest.
    options = FASTEST_ON_CPU if engine.device.type == "cpu" else None
    compiled = torch.compile(RolloutEngine.step.__wrapped__, dynamic=False, options=options)

    def step(state: RolloutState, actions_B: torch.Tensor, temperature_B: torch.Tensor) -> StepOutput:
        if state.recent_BCN.is_inference():
            vars(state).update(vars(state.clone()))
        try:
            with torch.no_grad():
                return compiled(engine, state, actions_B.clone(), temperature_B.clone())
        except (TorchDynamoException, OSError) as error:
            raise _failed(error) from error

    return step


def _failed(error: Exception) -> CompileError:
    remedy = "use compile=False"
    if isinstance(error, OSError):
        remedy = f"let TORCHINDUCTOR_CACHE_DIR name a folder that can be written, or {remedy}"
    reason = " ".join(str(error).split())[:200]
    return CompileError(f"compile: torch.compile fails on this machine; {remedy} ({reason})")


@contextlib.contextmanager
def suitable_threads(rows: int, device: torch.device) -> Iterator[None]:
    """One CPU thread for a few rows.

    A row's products are too small to share out: two threads gain a tenth on an idle machine, and lose a factor of
    ten as soon as anything else keeps one of the cores busy, for they wait for each other at every product.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or rows > 4 or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
