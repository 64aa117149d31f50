"""Which tokenizer suits a game's pictures: a codebook of patches of some size, or the learned one.

The PSNR of whole pictures chooses wrongly: an empty road has a higher one than a road whose cars are drawn a little
soft. Nor does the share of patches: ten cars outvote one player. Two figures decide, both on frames that no patch was
taken from: how many frames are drawn with every patch right, and how many pixels of the foreground are kept.

Owns the measuring and the choice. Knows nothing of games or training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from genie_env.config import TokenizerConfig
from genie_env.models.tokenizer import PatchCodebook, to_patches, unique_rows
from genie_env.statistics import decibels
from training.planning.choices import NONE, Choices
from training.planning.scale import SMALL_PATCH

VOCABULARIES = (512, 1024, 2048, 4096)
FSQ_LEVELS = (8, 8, 8, 8)
"""Levels of the learned tokenizer: 4,096 codes."""
INTACT = 0.98
"""Share of frames without a wrong patch from which a codebook is large enough."""
LEAST_KEPT = 0.95
"""Share of foreground pixels that the largest codebook must keep; with less the learned tokenizer is chosen."""
RIGHT = 24
"""Error of a colour channel up to which a pixel counts as kept."""
FOREGROUND = 8
"""Difference of a colour channel to the median background from which a pixel belongs to the foreground."""


@dataclass(frozen=True)
class CodebookQuality:
    """What a codebook of ``vocab_size`` patches keeps of frames that it was not made from."""

    vocab_size: int
    kept: float
    """Share of the foreground's pixels whose error is small."""
    foreground_psnr: float
    """Peak signal-to-noise ratio over the foreground, in dB."""
    intact: float
    """Share of frames in which no patch has a wrong pixel."""


@dataclass(frozen=True)
class TokenizerChoice:
    """A tokenizer and the measurements behind it."""

    config: TokenizerConfig
    qualities: tuple[CodebookQuality, ...]
    num_distinct: int
    """Distinct patches in the frames that codebooks were made from."""
    reason: str


def choose_patches(
    train_MHWC: np.ndarray, held_out_MHWC: np.ndarray, image_size: int, patch_size: int, choices: Choices = NONE
) -> TokenizerChoice:
    """As :func:`choose_tokenizer`; before the learned one smaller patches are tried, where the user wants it sharp.

    Args:
        train_MHWC: uint8 frames whose patches codebooks may use.
        held_out_MHWC: uint8 frames of other episodes.
        image_size: edge of a frame in pixels.
        patch_size: edge of a patch in pixels that is tried first.
        choices: what the user decided.
    """
    frames = train_MHWC, held_out_MHWC, image_size
    first = choose_tokenizer(*frames, choices.patch_size or patch_size, choices.tokenizer, choices.vocab_size)
    decided = choices.tokenizer or choices.patch_size or patch_size <= SMALL_PATCH
    if first.config.kind == "codebook" or decided or not choices.sharp:
        return first
    # Of a sprite that goes anywhere a patch of half the edge has a quarter of the looks.
    smaller = choose_tokenizer(*frames, SMALL_PATCH, vocab_size=choices.vocab_size)
    return smaller if smaller.config.kind == "codebook" else first


def choose_tokenizer(
    train_MHWC: np.ndarray,
    held_out_MHWC: np.ndarray,
    image_size: int,
    patch_size: int,
    kind: str | None = None,
    vocab_size: int | None = None,
) -> TokenizerChoice:
    """Measure codebooks of several sizes and choose.

    Args:
        train_MHWC: uint8 frames whose patches codebooks may use.
        held_out_MHWC: uint8 frames of other episodes.
        image_size: edge of a frame in pixels.
        patch_size: edge of a patch in pixels.
        kind: the user's; None chooses.
        vocab_size: patches of a codebook, the user's; None chooses.
    """
    patches_UK = frequent_patches(train_MHWC, patch_size)
    background_HWC = np.median(train_MHWC, axis=0)
    qualities = []
    for size in VOCABULARIES if vocab_size is None else (vocab_size,):
        config = TokenizerConfig(vocab_size=size, image_size=image_size, patch_size=patch_size)
        qualities.append(_quality(config, patches_UK, held_out_MHWC, background_HWC))
        if qualities[-1].intact >= INTACT or size >= len(patches_UK):
            break
    best = qualities[-1]
    if kind != "fsq" and (kind == "codebook" or best.kept >= LEAST_KEPT):
        reason = (
            f"codebook of {best.vocab_size} patches of {patch_size} pixels: {best.intact:.1%} of held-out frames have "
            f"no wrong patch, {best.kept:.1%} of the foreground's pixels are kept ({best.foreground_psnr:.1f} dB)"
        )
        config = TokenizerConfig(vocab_size=best.vocab_size, image_size=image_size, patch_size=patch_size)
    else:
        reason = (
            f"learned tokenizer: {best.vocab_size} patches of {len(patches_UK)} would keep only {best.kept:.1%} of the "
            f"foreground's pixels ({best.foreground_psnr:.1f} dB)"
        )
        config = TokenizerConfig("fsq", image_size, patch_size, int(np.prod(FSQ_LEVELS)), FSQ_LEVELS)
    return TokenizerChoice(config, tuple(qualities), len(patches_UK), reason)


def frequent_patches(frames_MHWC: np.ndarray, patch_size: int) -> torch.Tensor:
    """Distinct patches uint8 [U, K], the most frequent first."""
    found, counts = [], []
    for part in np.array_split(frames_MHWC, -(-len(frames_MHWC) // 512)):
        distinct_UK, where_M = unique_rows(to_patches(torch.from_numpy(part), patch_size).flatten(0, 1))
        found.append(distinct_UK)
        counts.append(torch.bincount(where_M, minlength=len(distinct_UK)))
    distinct_UK, where_M = unique_rows(torch.cat(found))
    totals_U = torch.zeros(len(distinct_UK), dtype=torch.long).index_add_(0, where_M, torch.cat(counts))
    return distinct_UK[totals_U.argsort(descending=True, stable=True)]


def _quality(
    config: TokenizerConfig, patches_UK: torch.Tensor, frames_MHWC: np.ndarray, background_HWC: np.ndarray
) -> CodebookQuality:
    codebook = PatchCodebook(config)
    best_VK = patches_UK[: config.vocab_size]
    codebook.patches_VK[: len(best_VK)] = best_VK
    drawn_MHWC = codebook.decode(codebook.encode(torch.from_numpy(frames_MHWC))).numpy()
    error_MHWC = np.abs(drawn_MHWC.astype(np.int16) - frames_MHWC)
    foreground_MHW = np.abs(frames_MHWC - background_HWC).max(-1) > FOREGROUND
    kept = (error_MHWC.max(-1) <= RIGHT)[foreground_MHW]
    square = np.square(error_MHWC[foreground_MHW].astype(np.float64))
    intact_M = (error_MHWC.max(-1) <= RIGHT).all((1, 2))
    return CodebookQuality(
        config.vocab_size,
        float(kept.mean()) if len(kept) else 1.0,
        float(decibels(square.mean() if len(kept) else 0.0)),
        float(intact_M.mean()),
    )
