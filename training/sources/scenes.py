"""Where a film cuts and where it stands still: stretches of play out of a stream of frames.

Owns the two decisions. Knows nothing of files; its memory is one stretch.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from training.sources.reader import LEAST_EPISODE

LEAST_CUT, SURE_CUT = 12.0, 50.0
"""Mean difference of two frames, of 255, below which there is no cut, and above which there is one."""
UNUSUAL = 6.0
"""How many times the usual difference is a cut."""
FLICKER = 2.0
"""How many times the usual difference is no cut, however large it is."""
RECENT = 15
"""Frames whose median difference is the usual one."""
STILL = 2.0
"""Mean difference of an 8x8 block, of 255, up to which it stands still."""
STILL_S = 2.0
"""Seconds of standing still that are kept."""


class Scenes:
    """Collects frames and gives back whole stretches."""

    def __init__(self, fps: float, longest: int) -> None:
        """Begin.

        Args:
            fps: frames a second.
            longest: frames of the longest stretch; what goes on becomes the next one.
        """
        self._kept_still, self._longest = max(2, round(STILL_S * fps)), longest
        self._frames: list[np.ndarray] = []
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._still_from: np.ndarray | None = None
        self._still = 0
        self._last: np.ndarray | None = None
        self.cuts = 0
        self.still_frames = 0
        """Frames left out because nothing moved."""
        self.short_frames = 0
        """Frames left out because too few stood between two cuts."""

    def add(self, frame_HWC: np.ndarray) -> list[np.ndarray]:
        """Take the next frame; returns the stretch that it ended, uint8 [T, H, W, 3], if any."""
        ended: list[np.ndarray] = []
        if self._last is not None:
            difference = float(np.abs(frame_HWC.astype(np.int16) - self._last).mean())
            if self._is_cut(difference):
                self.cuts += 1
                ended = self.close()
            self._recent.append(difference)
        self._last = frame_HWC
        if self._stands_still(frame_HWC):
            self.still_frames += 1
            return ended
        self._frames.append(frame_HWC)
        if len(self._frames) >= self._longest + LEAST_EPISODE:
            # What is left is long enough for a stretch of its own.
            whole, self._frames = self._frames[: self._longest], self._frames[self._longest :]
            ended.append(np.stack(whole))
        return ended

    def close(self) -> list[np.ndarray]:
        """End the present stretch, as where frames are missing; returns it, if it is long enough."""
        self._last, self._still_from, self._still = None, None, 0
        return self._take()

    def _take(self) -> list[np.ndarray]:
        frames, self._frames = self._frames, []
        if len(frames) >= LEAST_EPISODE:
            return [np.stack(frames)]
        self.short_frames += len(frames)
        return []

    def _is_cut(self, difference: float) -> bool:
        usual = float(np.median(self._recent)) if self._recent else LEAST_CUT
        return difference > max(LEAST_CUT, min(SURE_CUT, UNUSUAL * usual), FLICKER * usual)

    def _stands_still(self, frame_HWC: np.ndarray) -> bool:
        """Whether the frame shows what has been shown long enough."""
        if self._still_from is None or _moved(frame_HWC, self._still_from):
            self._still_from, self._still = frame_HWC, 1
            return False
        self._still += 1
        return self._still > self._kept_still


def _moved(frame_HWC: np.ndarray, other_HWC: np.ndarray) -> bool:
    size = len(frame_HWC) // 8
    difference = np.abs(frame_HWC.astype(np.int16) - other_HWC).mean(-1)
    return bool(difference.reshape(size, 8, size, 8).mean((1, 3)).max() > STILL)
