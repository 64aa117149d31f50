"""Options of the environments: their names, defaults, checks and meaning. No torch."""

from __future__ import annotations

import dataclasses
import math
import numbers
from dataclasses import dataclass
from typing import Any, TypedDict

from genie_env.config import SamplingConfig, WorldConfig

ACTION_TYPES = ("latent", "real")
OBS_TYPES = ("rgb", "grayscale", "tokens")
MAX_WINDOW = 1000
RESET_OPTIONS = ("frames", "start", "temperature", "action_diversity")


class Options(TypedDict, total=False):
    """Keyword arguments that both environments take besides their own; :func:`resolve_options` holds the defaults."""

    temperature: float | None
    """0 takes the most likely tokens, else they are drawn from softmax(logits / T); None: the world's own."""
    top_p: float | None
    """Nucleus from which tokens are drawn, in (0, 1]; None: the world's own."""
    decode_steps: int | None
    """Passes per frame; more draw uncertain tokens one after another. None: the world's own."""
    action_diversity: float
    """Chance that a step replaces the agent's action by one of the least used recent ones."""
    diversity_window: int
    """How many recent actions that looks at."""
    action_type: str | None
    """``"real"`` or ``"latent"``; None: real where the world has an action map."""
    obs_type: str
    """``"rgb"``, ``"grayscale"`` or ``"tokens"``."""
    device: str
    """Torch device, or ``"auto"``."""
    compile: bool
    """Whether ``torch.compile`` builds the step: slow to begin, faster to run, rounded differently."""


@dataclass(frozen=True)
class DreamOptions:
    """Checked options of an environment, every default filled in from the world."""

    temperature: float
    action_diversity: float
    diversity_window: int
    action_type: str
    obs_type: str
    sampling: SamplingConfig
    device: str
    compile: bool


def resolve_options(
    config: WorldConfig,
    *,
    temperature: float | None = None,
    top_p: float | None = None,
    decode_steps: int | None = None,
    action_diversity: float = 0.0,
    diversity_window: int = 5,
    action_type: str | None = None,
    obs_type: str = "rgb",
    device: str = "auto",
    compile: bool = False,
) -> DreamOptions:
    """Check :class:`Options` against a world and fill in its defaults.

    Raises:
        ValueError: naming the option, its value and what was expected.
        TypeError: naming an option that does not exist.
    """
    own = config.sampling
    if action_type is None:
        action_type = "real" if config.action_map else "latent"
    _choice("action_type", action_type, ACTION_TYPES)
    if action_type == "real" and config.action_map is None:
        raise ValueError("action_type: this world has no action map, so 'real' is not possible; use 'latent'")
    _choice("obs_type", obs_type, OBS_TYPES)
    if not isinstance(device, str):
        raise ValueError(f"device: expected 'auto' or the name of a torch device, got {device!r}")
    if not isinstance(compile, bool):
        raise ValueError(f"compile: expected True or False, got {compile!r}")
    return DreamOptions(
        temperature=check_temperature(own.temperature if temperature is None else temperature),
        action_diversity=check_diversity(action_diversity),
        diversity_window=check_whole("diversity_window", diversity_window, MAX_WINDOW),
        action_type=action_type,
        obs_type=obs_type,
        sampling=dataclasses.replace(
            own,
            top_p=_number("top_p", own.top_p if top_p is None else top_p, 0.0, 1.0, open_below=True),
            # Every pass decides at least one token, so more passes than tokens would have nothing left to do.
            decode_steps=check_whole(
                "decode_steps", own.decode_steps if decode_steps is None else decode_steps, config.tokenizer.num_tokens
            ),
        ),
        device=device,
        compile=compile,
    )


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
