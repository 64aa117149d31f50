"""What the time and the memory of a step go into."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium as gym
import torch
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genie_env.bench.speed import CachedDreams
from genie_env.models.ensemble import trunks_and_heads
from genie_env.rollout import engine as rollout
from genie_env.world import World

PREFIX, STEP = "genie_env.", "genie_env.step"
COPIES = {"aten::copy_", "aten::cat", "aten::stack", "aten::index_copy_", "aten::index_copy"}


class Shares(NamedTuple):
    """Shares of the time of an environment step with pictures; they sum to one."""

    rows: int
    attention: float
    """Over space and time, in the trunk."""
    mlp: float
    """In the trunk."""
    decode: float
    """The head and the drawing of tokens."""
    outcome: float
    pixels: float
    """Tokens to pictures."""
    copy: float
    """Wherever tensors are copied or joined: ring buffer, layouts, device to host."""
    other: float
    """The environment, embeddings, and on CUDA the time in which the device waits."""


class Memory(NamedTuple):
    """Bytes of tensors per row, weights apart."""

    rows: int
    kept_per_row: float
    """What a dream keeps between steps."""
    peak_per_row: float
    """The same and the most that a step holds besides."""


def measure_shares(world_name: str, rows: int, device: str, num_steps: int = 10) -> Shares:
    """Profile environment steps in torch; the profiler slows small operations, so these are shares, not speeds."""
    envs: Any = gym.make_vec("Genie/World-v0", num_envs=rows, world=world_name, device=device, runtime="torch")
    activities = [ProfilerActivity.CPU]
    # The profiler tells the terminal when it begins and ends.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    try:
        envs.reset(seed=0)
        actions = envs.action_space.sample()
        if envs.world.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        with _labelled(envs.world):
            for _ in range(3):
                envs.step(actions)
            with profile(activities=activities, acc_events=True) as profiler:
                for _ in range(num_steps):
                    with record_function(STEP):
                        envs.step(actions)
    finally:
        envs.close()
    return Shares(rows, **_by_label(list(profiler.events() or []), ProfilerActivity.CUDA in activities))


def _by_label(events: list[Any], on_cuda: bool) -> dict[str, float]:
    """Share of each part: an operation belongs to the outermost labelled call around it, copies to themselves."""
    total, times = 0.0, dict.fromkeys(Shares._fields[1:], 0.0)
    for event in events:
        if event.device_type.name != "CPU":
            continue
        if event.name == STEP:
            total += event.cpu_time_total
        label, inside, ancestor = None, False, event
        while ancestor is not None:
            inside |= ancestor.name == STEP
            if ancestor.name.startswith(PREFIX) and ancestor.name != STEP:
                label = ancestor.name.removeprefix(PREFIX)
            ancestor = ancestor.cpu_parent
        if inside:
            own = event.self_device_time_total if on_cuda else event.self_cpu_time_total
            times["copy" if event.name in COPIES else label or "other"] += own
    times["other"] += total - sum(times.values())
    return {name: value / total for name, value in times.items()}


@contextlib.contextmanager
def _labelled(world: World) -> Iterator[None]:
    """Let the profiler see which part of the networks is at work."""
    places: list[tuple[Any, str, str]] = [
        (rollout, "draw_frame", "decode"),
        (world.outcome, "predict", "outcome"),
        (world.tokenizer, "decode", "pixels"),
    ]
    blocks: list[Any] = [block for trunk in trunks_and_heads(world.dynamics)[0] for block in trunk.blocks]
    for block in blocks:
        places += [(block.space, "forward", "attention"), (block.time, "step", "attention")]
        places += [(block.mlp, "forward", "mlp")]
    with contextlib.ExitStack() as stack:
        for owner, name, label in places:
            original, own = getattr(owner, name), name in vars(owner)
            setattr(owner, name, _recorded(original, PREFIX + label))
            # A method that hides the class's own is removed again, a module's function is put back.
            stack.callback(setattr, owner, name, original) if own else stack.callback(delattr, owner, name)
        yield


def _recorded(function: Callable[..., Any], label: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with record_function(label):
            return function(*args, **kwargs)

    return call


def measure_memory(world: World, rows: int) -> Memory:
    """Count the bytes of tensors that a step with pictures keeps and needs."""
    dreams = CachedDreams(world, rows)
    dreams.step_with_pixels()
    state = dreams.state
    kept = sum(x.nbytes for x in (*state.cache.rings, state.cache.time_B, state.recent_BCN, state.key_B, state.step_B))
    with PeakBytes() as fresh:
        dreams.step_with_pixels()
    return Memory(rows, kept / rows, (kept + fresh.peak) / rows)


class PeakBytes(TorchDispatchMode):
    """The most bytes that tensors made within the context held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it allocates."""
        for tensor in _tensors((args, kwargs)):
            # What an operation reads existed before; unless counted then, it is not this context's.
            self._watch(tensor, counted=False)
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._watch(tensor, counted=True)
        return result

    def _watch(self, tensor: torch.Tensor, counted: bool) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        size = storage.nbytes() if counted else 0
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, storage._cdata, size)

    def _forget(self, name: int, size: int) -> None:
        self._known.discard(name)
        self.now -= size


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))
