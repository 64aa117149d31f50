"""How an environment uses torch: with few threads for few rows, compiled if asked for.

Knows the rollout engine's step; knows nothing of worlds, options or Gymnasium's API.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

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
