"""Options of the environments: their names, defaults, checks and meaning. No torch."""

from __future__ import annotations

import dataclasses
import math
import numbers
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, Literal, get_args

import numpy as np

from genie_env.config import SamplingConfig, WorldConfig
from genie_env.portable.kinds import missing

ActionType = Literal["real", "latent"]
ObsType = Literal["rgb", "grayscale", "tokens"]
Runtime = Literal["auto", "onnx", "torch"]
ACTION_TYPES: tuple[ActionType, ...] = get_args(ActionType)
OBS_TYPES: tuple[ObsType, ...] = get_args(ObsType)
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
MAX_WINDOW = 1000
RESET_OPTIONS = ("frames", "start", "starts", "temperature", "action_diversity")


@dataclass(frozen=True)
class EnvOptions:
    """Keyword arguments that both environments take besides their own, checked and JSON-plain.

    The docstrings and defaults of these fields are the only ones: the table of options in :class:`GenieEnv` and the
    README are tested to be equal to them, and the flags of ``genie-env`` are made from them.

    Raises:
        ValueError: naming the option, its value and what was expected.
    """

    temperature: float | None = None
    """Sampling temperature; 0 takes the most likely tokens; None takes the world's own."""
    top_p: float | None = None
    """Nucleus from which tokens are drawn, in (0, 1]; None takes the world's own."""
    decode_steps: int | None = None
    """Passes per frame: more draw tokens one after another; None takes the world's own."""
    action_diversity: float = 0.0
    """Probability that a step plays one of the least used recent actions instead."""
    diversity_window: int = 5
    """Number of recent actions that action diversity looks at."""
    action_type: ActionType | None = None
    """Kind of actions: real (the game's own) or latent (codes); None: real where mapped."""
    obs_type: ObsType = "rgb"
    """Kind of observations: rgb, grayscale or tokens."""
    runtime: Runtime = "auto"
    """Program that steps: torch, onnx (on the CPU, faster), or auto: onnx where it can."""
    device: str = "auto"
    """Torch device; auto is CUDA where there is one."""
    compile: bool = False
    """Compile the step (a GPU: capture it): slow to begin, faster to run, other rounding."""
    members: int | None = None
    """Members of an ensemble that predict, from the first on; None: all of them."""
    max_uncertainty: float | None = None
    """Nats a frame of the members' disagreement above which a step truncates."""
    uncertainty_penalty: float = 0.0
    """Subtracted from a step's reward for each nat of its disagreement."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        checked: dict[str, Any] = {
            "action_diversity": check_diversity(self.action_diversity),
            "diversity_window": check_whole("diversity_window", self.diversity_window, MAX_WINDOW),
            "uncertainty_penalty": _number("uncertainty_penalty", self.uncertainty_penalty, 0.0, math.inf),
        }
        if self.members is not None:
            checked["members"] = check_whole("members", self.members)
        if self.max_uncertainty is not None:
            checked["max_uncertainty"] = _number("max_uncertainty", self.max_uncertainty, 0.0, math.inf)
        if self.temperature is not None:
            checked["temperature"] = check_temperature(self.temperature)
        if self.top_p is not None:
            checked["top_p"] = _number("top_p", self.top_p, 0.0, 1.0, open_below=True)
        if self.decode_steps is not None:
            checked["decode_steps"] = check_whole("decode_steps", self.decode_steps)
        if self.action_type is not None:
            _choice("action_type", self.action_type, ACTION_TYPES)
        _choice("obs_type", self.obs_type, OBS_TYPES)
        _choice("runtime", self.runtime, RUNTIMES)
        if not isinstance(self.device, str):
            raise ValueError(f"device: expected 'auto' or the name of a torch device, got {self.device!r}")
        if not isinstance(self.compile, bool):
            raise ValueError(f"compile: expected True or False, got {self.compile!r}")
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def resolved(self, config: WorldConfig) -> ResolvedOptions:
        """These options with every default filled in from a world.

        Raises:
            ValueError: if the world cannot be played so.
        """
        own = config.sampling
        if self.action_type == "real" and config.action_map is None:
            raise ValueError("action_type: this world has no action map, so 'real' is not possible; use 'latent'")
        # Every pass decides at least one token, so more passes than tokens would have nothing left to do.
        passes = own.decode_steps if self.decode_steps is None else self.decode_steps
        return ResolvedOptions(
            temperature=own.temperature if self.temperature is None else self.temperature,
            action_diversity=self.action_diversity,
            diversity_window=self.diversity_window,
            action_type=self.action_type or ("latent" if config.action_map is None else "real"),
            obs_type=self.obs_type,
            sampling=dataclasses.replace(
                own,
                top_p=own.top_p if self.top_p is None else self.top_p,
                decode_steps=check_whole("decode_steps", passes, config.tokenizer.num_tokens),
            ),
            runtime=self._chosen_runtime(config),
            device=self.device,
            compile=self.compile,
            members=self._playing_members(config),
            max_uncertainty=self.max_uncertainty,
            uncertainty_penalty=self.uncertainty_penalty,
        )

    def _playing_members(self, config: WorldConfig) -> int:
        """How many members of the world predict, checked; with one alone there is no disagreement to act on."""
        playing = config.members if self.members is None else self.members
        if playing > config.members:
            raise ValueError(f"members: world {config.name!r} has {config.members}, got {playing}")
        asked = {
            "max_uncertainty": self.max_uncertainty is not None,
            "uncertainty_penalty": self.uncertainty_penalty > 0,
        }
        for name, is_asked in asked.items():
            if is_asked and playing == 1:
                raise ValueError(f"{name}: expected two or more members to disagree; world {config.name!r} plays one")
        return playing

    def _chosen_runtime(self, config: WorldConfig) -> Literal["onnx", "torch"]:
        """The runtime meant by ``auto``, or a check that the one asked for can be had."""
        if self.runtime == "torch":
            return "torch"
        obstacle = missing(config)
        if self.device not in ("auto", "cpu"):
            obstacle = f"it runs on the CPU, got device {self.device!r}"
        elif self.compile:
            obstacle = "it compiles nothing, got compile=True"
        if self.runtime == "onnx":
            if obstacle is not None:
                raise ValueError(f"runtime 'onnx': {obstacle}; use runtime='torch'")
            return "onnx"
        return "torch" if obstacle is not None or (self.device == "auto" and _may_have_cuda()) else "onnx"


@dataclass(frozen=True)
class OptionFlags(EnvOptions):
    """Options of the environment as they were typed; the environment checks them."""

    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True)
class ResolvedOptions:
    """Options of an environment of one world: :class:`EnvOptions` with every default filled in."""

    temperature: float
    action_diversity: float
    diversity_window: int
    action_type: ActionType
    obs_type: ObsType
    sampling: SamplingConfig
    runtime: Literal["onnx", "torch"]
    device: str
    compile: bool
    members: int
    max_uncertainty: float | None
    uncertainty_penalty: float

    @property
    def is_uncertain(self) -> bool:
        """Whether there is a disagreement of members to speak of."""
        return self.members > 1


def _may_have_cuda() -> bool:
    """Whether this machine seems to have a CUDA device; torch, which knows, takes seconds to import."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def plain(value: Any) -> Any:
    """``value`` as JSON knows it: NumPy scalars as numbers, enums as their values, paths as text, also in lists."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def check_temperature(value: Any) -> float:
    """A finite number >= 0, or ValueError."""
    return _number("temperature", value, 0.0, math.inf)


def check_diversity(value: Any) -> float:
    """A number from 0 to 1, or ValueError."""
    return _number("action_diversity", value, 0.0, 1.0)


def check_whole(name: str, value: Any, most: int | None = None) -> int:
    """A whole number from 1 to ``most``, or ValueError."""
    whole = int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else 0
    if whole < 1 or (most is not None and whole > most):
        bounds = ">= 1" if most is None else f"from 1 to {most}"
        raise ValueError(f"{name}: expected an integer {bounds}, got {value!r}")
    return whole


def check_reset_options(options: dict[str, Any] | None, known: tuple[str, ...] = RESET_OPTIONS) -> dict[str, Any]:
    """The options of a reset, or ValueError for one that is unknown."""
    if not isinstance(options, (dict, type(None))):
        raise ValueError(f"reset options: expected a dict, got {options!r}")
    unknown = [name for name in options or {} if name not in known]
    if unknown:
        raise ValueError(f"reset options: unknown {unknown}; expected some of {list(known)}")
    return dict(options or {})


def _number(name: str, value: Any, low: float, high: float, open_below: bool = False) -> float:
    try:
        number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not (low < number if open_below else low <= number) or number > high:
        bounds = f"{'>' if open_below else '>='} {low:g}" + (f" and <= {high:g}" if math.isfinite(high) else "")
        raise ValueError(f"{name}: expected a number {bounds}, got {value!r}")
    return number


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected one of {list(choices)}, got {value!r}")
