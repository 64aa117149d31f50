"""Clips from which the outcome head learns: evenly drawn, around events of every kind, and partly dreamed.

Owns what is drawn how often, and the dreaming of a clip's last frames. Knows nothing about losses.
"""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from genie_env.config import SamplingConfig
from genie_env.data.clips import ClipPlaces
from genie_env.models.dynamics import Dynamics
from training.data.dataset import ClipBatch, TokenDataset
from training.dynamics.scheduled_sampling import dream_last_frames, has_left

LEAD = 8
"""Real frames before a dreamed clip, for the dynamics to see where it is."""


class OutcomeClips:
    """Draws clips of ``length`` frames.

    A clip may begin up to ``padding`` frames before its episode; the first frame repeats there, as it does when a
    dream is judged that has only just begun.
    """

    def __init__(self, data: TokenDataset, length: int, padding: int, event_share: float, last: int) -> None:
        """Find the events.

        Args:
            data: episodes.
            length: frames of a clip.
            padding: how far before an episode a clip may begin.
            event_share: share of clips drawn around an event, the same number for every kind: each reward but 0,
                ends, and beginnings of episodes.
            last: transitions at a clip's end on any of which its event may fall.

        Raises:
            ValueError: if no episode is long enough.
        """
        self._data, self.length, self._padding = data, length, padding
        self._event_share, self._last = event_share, last
        self._places = ClipPlaces([len(e.tokens_TN) for e in data.episodes], length, padding)
        kinds: dict[object, list[tuple[int, int]]] = {}
        for e in np.flatnonzero(self._places.room_E).tolist():
            episode = data.episodes[e]
            kinds.setdefault("begin", []).append((e, -padding))
            for t in np.flatnonzero((episode.rewards_T != 0) | episode.terminated_T).tolist():
                kind = "end" if episode.terminated_T[t] else float(episode.rewards_T[t])
                kinds.setdefault(kind, []).append((e, t))
        self._kinds = [np.array(places) for _, places in sorted(kinds.items(), key=lambda item: str(item[0]))]

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Picks int [count, 2]: episode, and the time at which the clip begins (negative: before it)."""
        picks = self._places.draw(rng, count)
        for row in np.flatnonzero(rng.random(count) < self._event_share):
            places = self._kinds[rng.integers(len(self._kinds))]
            episode, time = places[rng.integers(len(places))]
            # The event falls on any of the last transitions, so that its position gives nothing away.
            first = time + 2 - self.length + rng.integers(0, self._last)
            latest = self._places.room_E[episode] - 1 - self._padding
            picks[row] = episode, np.clip(first, -self._padding, latest)
        return picks

    def take(self, picks: np.ndarray, lead: int = 0) -> ClipBatch:
        """The clips at ``picks``, each with ``lead`` further frames before it."""
        return self._data.take(picks - [0, lead], self.length + lead)


@torch.inference_mode()
def dream_clips(
    dynamics: Dynamics,
    sampling: SamplingConfig,
    clips: OutcomeClips,
    rng: np.random.Generator,
    count: int,
    tolerance: int,
) -> ClipBatch:
    """Clips whose last frames, from 1 to all but the first, are dreamed with the recording's actions.

    Dreams that have left the recording are dropped: what happened there did not happen in them.

    Args:
        dynamics: that dreams.
        sampling: how its dreams are drawn.
        clips: where recorded clips come from.
        rng: for picks and dreams.
        count: clips to dream; fewer come back.
        tolerance: most wrong tokens of the last frame.
    """
    batches: list[ClipBatch] = []
    sizes = np.diff(np.linspace(0, count, clips.length, dtype=int))
    for frames, size in enumerate(tqdm(sizes, desc="dreamed clips", unit="length"), start=1):
        real = clips.take(clips.draw(rng, int(size)), LEAD)
        tokens_BTN = real.tokens_BTN.clone()
        # Of few clips some lengths get none, and a dream without rows does not begin.
        for rows in torch.arange(int(size)).split(64) if size else ():
            keys_B = torch.from_numpy(rng.integers(2**62, size=len(rows)))
            tokens_BTN[rows] = dream_last_frames(
                dynamics, real.tokens_BTN[rows], real.actions_BT[rows], frames, sampling, keys_B
            )
        followed_B = ~has_left(tokens_BTN, real.tokens_BTN, tolerance)
        dreamed = real._replace(tokens_BTN=tokens_BTN)
        batches.append(ClipBatch(*(column[followed_B][:, LEAD:] for column in dreamed)))
    return ClipBatch(*(torch.cat(columns) for columns in zip(*batches, strict=True)))
