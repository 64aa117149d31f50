"""Measures on plain arrays: pictures against pictures, histograms of tokens, and repeats in play.

Each returns one number for every frame or row; intervals are computed from them elsewhere. Knows no worlds.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from scipy import ndimage

_CHUNK = 256
UNCHANGED = 7
"""Difference of a colour channel, of 255, up to which a pixel stays what it is."""


def pixel_errors(real: np.ndarray, drawn: np.ndarray, background_HWC: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean squared error of frames [..., H, W, 3], its sum over foreground pixels, and their number."""
    square = np.square(real.astype(np.float32) - drawn).mean(-1)
    # As in training.tokenizer.losses.foreground: 0.06 of the range [-1, 1].
    mask = np.abs(real.astype(np.int16) - background_HWC).max(-1) > 7
    return square.mean((-1, -2)), (square * mask).sum((-1, -2)), mask.sum((-1, -2))


def token_flips(frames_THWC: np.ndarray, tokens_TN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that change from one frame to the next on a patch that does not, and such patches: int [T-1] each.

    A patch stays as it is if no colour in it changes by more than :data:`UNCHANGED`: the noise of a compressed film.

    Args:
        frames_THWC: uint8, consecutive frames.
        tokens_TN: their tokens, row by row from the top left.
    """
    side = math.isqrt(tokens_TN.shape[1])
    moved_THW = np.abs(np.diff(frames_THWC.astype(np.int16), axis=0)).max(-1) > UNCHANGED
    size = moved_THW.shape[1] // side
    still_TN = ~moved_THW.reshape(-1, side, size, side, size).any((2, 4)).reshape(-1, side * side)
    flipped_TN = still_TN & (tokens_TN[1:] != tokens_TN[:-1])
    return flipped_TN.sum(1), still_TN.sum(1)


def ssim(real: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Structural similarity of uint8 frames [..., H, W, 3] -> [...] (Wang et al. 2004): 1 where they are equal.

    Gaussian windows of 11x11 pixels (sigma 1.5) that lie wholly inside, averaged over places and colours.
    """
    pairs = [frames.reshape(-1, *frames.shape[-3:]) for frames in (real, drawn)]
    starts = range(0, len(pairs[0]), _CHUNK)
    parts = [_ssim(*(frames[s : s + _CHUNK].astype(np.float32) for frames in pairs)) for s in starts]
    return np.concatenate(parts).reshape(real.shape[:-3]) if parts else np.zeros(real.shape[:-3])


def _ssim(x_MHWC: np.ndarray, y_MHWC: np.ndarray) -> np.ndarray:
    def smooth(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(values, (0, 1.5, 1.5, 0), truncate=3.5)[:, 5:-5, 5:-5]

    mean_x, mean_y = smooth(x_MHWC), smooth(y_MHWC)
    spread = smooth(x_MHWC**2) + smooth(y_MHWC**2) - mean_x**2 - mean_y**2
    shared = smooth(x_MHWC * y_MHWC) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * shared + c2)
    return (likeness / ((mean_x**2 + mean_y**2 + c1) * (spread + c2))).mean((1, 2, 3))


def high_frequency_power(frames: np.ndarray) -> np.ndarray:
    """Spectral power of frames [..., H, W, 3] at more than a quarter of a cycle per pixel: float [...].

    That is half of what pixels can hold: edges and what is one or two pixels wide. Colours are summed. The frames may
    be differences to a background.
    """
    flat = frames.reshape(-1, *frames.shape[-3:])
    rows_H1, columns_W = np.fft.fftfreq(flat.shape[1])[:, None], np.fft.rfftfreq(flat.shape[2])
    high_HW = np.hypot(rows_H1, columns_W) > 0.25
    parts = [
        (np.abs(np.fft.rfft2(flat[s : s + _CHUNK].astype(np.float32), axes=(1, 2))) ** 2)[:, high_HW].sum((1, 2))
        for s in range(0, len(flat), _CHUNK)
    ]
    return np.concatenate(parts).reshape(frames.shape[:-3]) if parts else np.zeros(frames.shape[:-3])


def count_places(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """How often each token occurs at each place: int tokens [..., N] -> int64 [N, V]."""
    num_places = tokens.shape[-1]
    places = tokens.astype(np.int64) + vocab_size * np.arange(num_places)
    return np.bincount(places.ravel(), minlength=num_places * vocab_size).reshape(num_places, vocab_size)


def distance(counts: np.ndarray, others: np.ndarray) -> float:
    """Total variation distance of two histograms: 0 the same, 1 nothing in common."""
    return float(np.abs(counts / counts.sum() - others / others.sum()).sum() / 2)


def perplexity(counts: np.ndarray) -> float:
    """How many values are in use: the exponential of the entropy of their histogram."""
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def fingerprints(frames_BTHWC: np.ndarray) -> np.ndarray:
    """int64 [B, T], equal where frames are equal to the pixel."""
    prints = [[hashlib.blake2b(f.tobytes(), digest_size=8).digest() for f in row] for row in frames_BTHWC]
    return np.frombuffer(b"".join(b"".join(row) for row in prints), np.int64).reshape(frames_BTHWC.shape[:2])


def longest_repeat(prints_BT: np.ndarray, longest_period: int) -> np.ndarray:
    """Steps for which each row, at its worst, showed again what it had shown some steps before, int [B].

    Args:
        prints_BT: of the frames, see :func:`fingerprints`.
        longest_period: of the repeats looked for; 1 finds pictures that stand still, more finds loops too.
    """
    rows, steps = prints_BT.shape
    longest_B = np.zeros(rows, dtype=np.int64)
    for period in range(1, min(longest_period, steps - 1) + 1):
        same_BT = prints_BT[:, period:] == prints_BT[:, :-period]
        if same_BT.any():
            time_T = np.arange(1, same_BT.shape[1] + 1)
            # The length of a run is the time since the last difference.
            last_BT = np.maximum.accumulate(np.where(same_BT, 0, time_T), axis=1)
            longest_B = np.maximum(longest_B, (time_T - last_BT).max(1))
    return longest_B
