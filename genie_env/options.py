"""Options of the environments: their defaults, checks and meaning. No torch."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any

from genie_env.config import SamplingConfig, WorldConfig

ACTION_TYPES = ("latent", "real")
OBS_TYPES = ("rgb", "grayscale", "tokens")
RESET_OPTIONS = ("frames", "start", "temperature", "action_diversity")


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


def resolve_options(
    config: WorldConfig,
    *,
    temperature: float | None,
    top_p: float | None,
    action_diversity: float,
    diversity_window: int,
    action_type: str | None,
    obs_type: str,
    decode_steps: int | None,
    device: str,
) -> DreamOptions:
    """Check options against a world and fill in its defaults.

    Raises:
        ValueError: naming the option, its value and what was expected.
    """
    own = config.sampling
    if action_type is None:
        action_type = "real" if config.action_map else "latent"
    _choice("action_type", action_type, ACTION_TYPES)
    if action_type == "real" and config.action_map is None:
        raise ValueError("action_type: this world has no action map, so 'real' is not possible; use 'latent'")
    _choice("obs_type", obs_type, OBS_TYPES)
    return DreamOptions(
        temperature=check_temperature(own.temperature if temperature is None else temperature),
        action_diversity=check_diversity(action_diversity),
        diversity_window=check_whole("diversity_window", diversity_window),
        action_type=action_type,
        obs_type=obs_type,
        sampling=SamplingConfig(
            temperature=own.temperature,
            top_p=_number("top_p", own.top_p if top_p is None else top_p, 0.0, 1.0, open_below=True),
            decode_steps=check_whole("decode_steps", own.decode_steps if decode_steps is None else decode_steps),
        ),
        device=device,
    )


def check_temperature(value: Any) -> float:
    """A finite number >= 0, or ValueError."""
    return _number("temperature", value, 0.0, math.inf)


def check_diversity(value: Any) -> float:
    """A number from 0 to 1, or ValueError."""
    return _number("action_diversity", value, 0.0, 1.0)


def check_whole(name: str, value: Any) -> int:
    """A whole number >= 1, or ValueError."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: expected an integer >= 1, got {value!r}")
    return int(value)


def check_reset_options(options: dict[str, Any] | None, known: tuple[str, ...] = RESET_OPTIONS) -> dict[str, Any]:
    """The options of a reset, or ValueError for one that is unknown."""
    if not isinstance(options, (dict, type(None))):
        raise ValueError(f"reset options: expected a dict, got {options!r}")
    unknown = [name for name in options or {} if name not in known]
    if unknown:
        raise ValueError(f"reset options: unknown {unknown}; expected some of {list(known)}")
    return dict(options or {})


def _number(name: str, value: Any, low: float, high: float, open_below: bool = False) -> float:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not (low < value if open_below else low <= value) or value > high:
        bounds = f"{'>' if open_below else '>='} {low:g}" + (f" and <= {high:g}" if math.isfinite(high) else "")
        raise ValueError(f"{name}: expected a number {bounds}, got {value!r}")
    return float(value)


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {list(choices)}, got {value!r}")
