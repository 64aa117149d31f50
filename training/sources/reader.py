"""What every reader of foreign gameplay offers, and what it is asked for.

Owns the words between readers and the import: what is wanted, what was found, what was left out and why. Knows no file
format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np

from genie_env.config import SourceConfig
from genie_env.data.episodes import NO_ACTION, Episode

LEAST_FRAMES = 1000
"""Fewer frames than these teach no world anything."""
LEAST_EPISODE = 16
"""Fewer frames in a row than these are left out."""
MOST_EPISODE = 1024
"""Frames of the longest episode; what goes on longer becomes several."""
MOST_PIXELS = 2**26
"""Pixels of the largest picture that is read."""
SAME_SHAPE = 0.1
"""How much the ratio of width to height may differ."""
PREVAILING = 0.8
"""Share of the files whose shape is that of all; others are left out."""
SHOWN = 40
"""Used files that a report lists; the rest is counted."""
EXAMPLES = 5
"""Names that an error lists."""

Crop = tuple[int, int, int, int]


@dataclass(frozen=True)
class Wanted:
    """What the recording shall be like."""

    image_size: int = 64
    """Edge of a frame in pixels."""
    fps: float | None = None
    """Frames a second; None: the film's own rate, at most 15."""
    crop: Crop | None = None
    """Rows top, bottom and columns left, right to keep; None: black bars are measured and cut off."""
    keep_bars: bool = False
    """Keep black bars."""
    mixed_shapes: bool = False
    """Accept pictures of several shapes; each is squeezed into a square."""
    actions: Literal["keep", "ignore"] = "keep"
    """Whether to keep recorded actions."""
    action_codes: int = 8
    """Groups that continuous actions are sorted into."""
    pictures: str = ""
    """Name of the pictures in the data set, where it has several."""

    def __post_init__(self) -> None:
        if self.image_size % 8 or not 8 <= self.image_size <= 1024:
            raise ValueError(f"image_size: expected a multiple of 8 from 8 to 1024, got {self.image_size}")
        if self.fps is not None and not 0.1 <= self.fps <= 1000:
            raise ValueError(f"fps: expected a number from 0.1 to 1000, got {self.fps!r}")
        if not 2 <= self.action_codes <= 64:
            raise ValueError(f"action_codes: expected 2 to 64, got {self.action_codes}")


class LeftOut(NamedTuple):
    """Something that was not used, wholly or in part."""

    name: str
    reason: str


class Used(NamedTuple):
    """A file that was used."""

    name: str
    facts: str
    """Length, size, rate and crop, for people."""


@dataclass
class Report:
    """What was found; readers add to it while they read."""

    kind: str
    """``film``, ``arrays``, ``minari`` or ``lerobot``."""
    used: list[Used] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Reader(Protocol):
    """Gameplay that was looked at and can be read."""

    source: SourceConfig
    """What is known of the game."""
    expected_frames: int
    """About as many frames will come."""
    report: Report

    def episodes(self) -> Iterator[Episode]:
        """Read everything, an episode at a time."""
        ...


def unlabelled(frames_THWC: np.ndarray) -> Episode:
    """An episode of which nothing is known but its pictures, uint8 [T, H, W, 3]."""
    steps = len(frames_THWC) - 1
    actions_T = np.full(steps, NO_ACTION, np.int16)
    return Episode(frames_THWC, actions_T, np.zeros(steps, np.float32), False, np.zeros((steps + 1, 0), np.float32))


def episode_length(expected_frames: int) -> int:
    """Frames of the longest episode, so that there are some twenty of which every tenth can be held out."""
    return max(4 * LEAST_EPISODE, min(MOST_EPISODE, expected_frames // 20))


def odd_shapes(shapes: Sequence[tuple[str, tuple[int, int]]], wanted: Wanted) -> dict[str, str]:
    """Files whose pictures have another shape than nearly all, with the reason to leave them out.

    Args:
        shapes: name, and height and width of what is kept of the picture, of each file.
        wanted: what the recording shall be like.

    Raises:
        ValueError: if no shape is that of nearly all files; names the shapes and a file of each.
    """
    groups: dict[float, list[tuple[str, tuple[int, int]]]] = {}
    for name, (height, width) in shapes:
        near = next((one for one in groups if abs(one - width / height) < SAME_SHAPE * one), width / height)
        groups.setdefault(near, []).append((name, (height, width)))
    if len(groups) < 2 or wanted.mixed_shapes:
        return {}
    ordered = sorted(groups.values(), key=len, reverse=True)
    (height, width), most = ordered[0][0][1], len(ordered[0])
    if most < PREVAILING * len(shapes):
        listed = "; ".join(f"{h}x{w} in {len(group)}, as {group[0][0]}" for group in ordered for h, w in [group[0][1]])
        raise ValueError(
            f"expected pictures of one shape, got height x width {listed}; put each shape into a folder of its own, "
            "give --crop, or squeeze all into squares with --mixed-shapes"
        )
    return {
        name: f"its picture of {h}x{w} has another shape than {height}x{width} in most; see --mixed-shapes"
        for group in ordered[1:]
        for name, (h, w) in group
    }


def require_frames(count: int, fps: float, what: Path | str) -> None:
    """Refuse gameplay that is too short.

    Raises:
        ValueError: that says how much is needed.
    """
    if count < LEAST_FRAMES:
        raise ValueError(
            f"{what}: expected at least {LEAST_FRAMES} frames, {LEAST_FRAMES / fps:.0f} seconds at {fps:g} frames a "
            f"second, got {count}, {count / fps:.1f} seconds; a world needs minutes of play, better an hour"
        )


def described(report: Report) -> str:
    """The report as text."""
    lines = [f"used: {len(report.used)}", *_some([f"{name}: {facts}" for name, facts in report.used])]
    if report.left_out:
        lines += [f"left out: {len(report.left_out)}", *_all([f"{name}: {reason}" for name, reason in report.left_out])]
    return "\n".join([*lines, *report.notes])


def _all(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _some(lines: list[str]) -> list[str]:
    shown = _all(lines[:SHOWN])
    return [*shown, f"  … and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else shown
