"""What a number or a text of a configuration may be at most.

A configuration may come from anywhere, inside a bundle or a policy: no number in it may by itself cost memory or time,
and no text may do anything to a terminal. Knows nothing of what the settings mean.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from genie_env.files.json_config import JsonConfig, _require

LARGEST = {
    # Start prompts are stored in two bytes.
    "vocab_size": 2**15,
    "image_size": 1024,
    "patch_size": 256,
    "channels": 1024,
    "context_frames": 64,
    "code_dim": 4096,
    "group": 64,
    "width": 2**14,
    "num_layers": 64,
    "head_layers": 64,
    "num_heads": 256,
    "token_dim": 4096,
    "window": 4096,
    "side": 256,
    "frame_stack": 64,
    "frame_skip": 1000,
}
"""The largest value of each size; :data:`LARGEST_SIZE` of those that are not listed."""
LARGEST_SIZE = 2**16
LARGEST_ACTIVATION = 2**28
"""Numbers in the largest tensor that a network may need for a single row: a gigabyte of them."""
LONGEST_TEXT = 200
LONGEST_LIST = 1000


def require_sizes(config: JsonConfig, *, may_be_zero: tuple[str, ...] = ()) -> None:
    """Refuse whole numbers that are no sizes, before anything is divided by them or made as large.

    Raises:
        ValueError: naming the field, its value and what was expected.
    """
    for f in dataclasses.fields(config):
        least, most = int(f.name not in may_be_zero), LARGEST.get(f.name, LARGEST_SIZE)
        value = getattr(config, f.name)
        _require(
            f.type != "int" or least <= value <= most,
            f"{f.name}: expected an integer from {least} to {most}, got {value!r}",
        )


def require_memory(what: str, *sizes: int) -> None:
    """Refuse sizes whose product is more than a network may need for one row.

    Raises:
        ValueError: naming ``what`` they are sizes of.
    """
    _require(
        math.prod(sizes) <= LARGEST_ACTIVATION,
        f"{what}: expected at most {LARGEST_ACTIVATION} numbers, got {' * '.join(map(str, sizes))}",
    )


def require_number(name: str, value: float, low: float, high: float, *, open_below: bool = False) -> None:
    """Refuse a number that is not finite or not between two others.

    Raises:
        ValueError: naming the field, its value and what was expected.
    """
    fits = math.isfinite(value) and (low < value if open_below else low <= value) and value <= high
    _require(fits, f"{name}: expected a number {'>' if open_below else '>='} {low:g} and <= {high:g}, got {value!r}")


def require_texts(name: str, texts: Iterable[str], longest: int = LONGEST_TEXT) -> None:
    """Refuse text that is too long, and text that cannot be printed: it could command a terminal.

    Raises:
        ValueError: naming the field and the text.
    """
    listed = list(texts)
    _require(len(listed) <= LONGEST_LIST, f"{name}: expected at most {LONGEST_LIST} texts, got {len(listed)}")
    for text in listed:
        fits = len(text) <= longest and text.isprintable()
        _require(fits, f"{name}: expected up to {longest} printable characters, got {text[:LONGEST_TEXT]!r}")
