"""Clips drawn by their loss: a share of each batch begins where the model was wrong when it was last there.

Every stretch of a few frames has one number, a running mean of the loss of its frames. A clip that begins in a stretch
is expected to have the mean loss of all stretches that it covers, and is drawn in proportion to that, within bounds:
few clips drawn very often teach less than all drawn evenly. What the bound takes from some is spread over all alike.
Prioritised replay (arXiv 1511.05952) and importance sampling (arXiv 1803.00942) are relatives.

Knows losses and places, nothing of networks. What it learned is part of the checkpoint (training/engine/task.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from genie_env.data.clips import ClipPlaces
from training.engine.task import Memory

STRETCH = 8
"""Frames that share a number."""
MOST = 8.0
"""A clip is drawn at most so many times as often by its loss as it is evenly."""
RATE = 0.5
"""How far a new loss moves the mean of a stretch."""
SETTLING = 4
"""First frames of a clip whose losses do not count: how fast things move cannot be seen yet."""
UNKNOWN = -1.0


class Draw(NamedTuple):
    """Places of clips, and what corrects that they were not drawn evenly."""

    picks_B2: np.ndarray
    """int64, (episode, first frame)."""
    importance_B: torch.Tensor | None = None
    """float32, how often each would be drawn evenly for each time that it is drawn so, 1 in the mean over draws; None:
    it is not corrected."""


class LossDraws(Memory):
    """Running losses of a data set's stretches, and draws of clips by them."""

    losses_S: torch.Tensor

    def __init__(self, episode_lengths: list[int], clip_length: int, share: float) -> None:
        """Know no losses yet.

        Args:
            episode_lengths: frames of each episode.
            clip_length: frames of a clip whose next ones are predicted; one more is drawn.
            share: of the clips that are drawn by loss, 0 to 1; the others are drawn evenly.

        Raises:
            ValueError: if no episode is long enough.
        """
        super().__init__()
        self.clip_length, self.share = clip_length, share
        room_E = ClipPlaces(episode_lengths, clip_length + 1).room_E
        stretches_E = -(-np.asarray(episode_lengths) // STRETCH)
        self._first_E = np.cumsum(stretches_E) - stretches_E
        self._episode_S = np.repeat(np.arange(len(stretches_E), dtype=np.int32), stretches_E)
        stretch_S = np.arange(len(self._episode_S)) - self._first_E[self._episode_S]
        self._begin_S = (STRETCH * stretch_S).astype(np.int32)
        self._room_S = np.clip(room_E[self._episode_S] - self._begin_S, 0, STRETCH).astype(np.int32)
        """Clips that begin in each stretch."""
        covered = -(-(clip_length + 1) // STRETCH)
        last_S, here_S = (self._first_E + stretches_E)[self._episode_S], np.arange(len(self._episode_S))
        self._end_S = np.minimum(here_S + covered, last_S)
        self._part_S = self._room_S / self._room_S.sum()
        """Of all clips, those that begin in each stretch; with its running total, all that a draw needs each time."""
        self._evenly_S = self._part_S.cumsum()
        self.register_buffer("losses_S", torch.full((len(self._episode_S),), UNKNOWN))

    def known_share(self) -> float:
        """Share of the stretches whose loss is known."""
        return float((self.losses_S >= 0).float().mean())

    def ratios(self) -> np.ndarray:
        """float64 [S], how many times as often as evenly a clip that begins in a stretch is drawn by its loss.

        Their mean over all clips is 1, and none is above ``MOST``. An unknown loss counts as the mean of the known.
        """
        losses_S = self.losses_S.numpy().astype(np.float64)
        known_S, ones_S = losses_S >= 0, np.ones_like(losses_S)
        if not known_S.any():
            return ones_S
        total_S = np.concatenate([[0.0], np.where(known_S, losses_S, losses_S.mean(where=known_S)).cumsum()])
        loss_S = total_S[self._end_S] - total_S[:-1]
        loss_S /= self._end_S - np.arange(len(losses_S))
        # The running total may leave a rounding error below zero where all is zero.
        np.maximum(loss_S, 0, out=loss_S)
        mean = loss_S @ self._part_S
        if mean == 0:
            return ones_S
        bounded_S = np.minimum(loss_S / mean, MOST - 1)
        return bounded_S + (1 - bounded_S @ self._part_S)

    def draw(self, rng: np.random.Generator, count: int) -> Draw:
        """Places of ``count`` clips, a share of them by loss."""
        ratio_S = self.ratios()
        point_B, is_by_loss_B = rng.random(count), rng.random(count) < self.share
        stretch_B = np.where(
            is_by_loss_B, _drawn((self._part_S * ratio_S).cumsum(), point_B), _drawn(self._evenly_S, point_B)
        )
        begin_B = self._begin_S[stretch_B] + rng.integers(self._room_S[stretch_B])
        picks_B2 = np.stack([self._episode_S[stretch_B], begin_B], axis=-1).astype(np.int64)
        importance_B = 1 / (1 - self.share + self.share * ratio_S[stretch_B])
        return Draw(picks_B2, torch.from_numpy(importance_B).float())

    def noted(self, picks_B2: np.ndarray, losses_BT: torch.Tensor, counts_BT: torch.Tensor) -> torch.Tensor:
        """What a batch says of the stretches that it covers: float64 [B, K, 3] of (stretch, loss, count).

        Args:
            picks_B2: places of its clips.
            losses_BT: sum of the losses of each predicted frame.
            counts_BT: how many losses it is the sum of; 0: the frame says nothing.
        """
        rows, steps = losses_BT.shape
        settling = min(SETTLING, steps // 2)
        frame_BT = picks_B2[:, 1:] + 1 + np.arange(steps)
        slot_BT = frame_BT // STRETCH - picks_B2[:, 1:] // STRETCH
        first_B = self._first_E[picks_B2[:, 0]] + picks_B2[:, 1] // STRETCH
        slots = (STRETCH - 1 + steps) // STRETCH + 1
        found_BK3 = np.zeros((rows, slots, 3))
        found_BK3[..., 0] = first_B[:, None] + np.arange(slots)
        at = np.arange(rows)[:, None], slot_BT[:, settling:]
        for column, values_BT in ((1, losses_BT), (2, counts_BT)):
            values = values_BT.detach().double().cpu().numpy()[:, settling:]
            np.add.at(found_BK3[..., column], at, values * (counts_BT.cpu().numpy()[:, settling:] > 0))
        return torch.from_numpy(found_BK3)

    def learn(self, noted: torch.Tensor) -> None:
        """Move the means of all stretches that were noted, each once."""
        stretch_M, loss_M, count_M = noted.reshape(-1, 3).numpy().T
        said_M = count_M > 0
        stretch_R, row_M = np.unique(stretch_M[said_M].astype(np.int64), return_inverse=True)
        fresh_R = np.bincount(row_M, loss_M[said_M]) / np.bincount(row_M, count_M[said_M])
        before_R = self.losses_S.numpy()[stretch_R].astype(np.float64)
        moved_R = np.where(before_R < 0, fresh_R, before_R + RATE * (fresh_R - before_R))
        self.losses_S[torch.from_numpy(stretch_R)] = torch.from_numpy(moved_R.clip(0)).float()


def _drawn(total_S: np.ndarray, point_B: np.ndarray) -> np.ndarray:
    """Stretches in which points of [0, 1) lie, each stretch as wide as its part of the running total."""
    return np.searchsorted(total_S, point_B * total_S[-1], side="right").clip(max=len(total_S) - 1)
