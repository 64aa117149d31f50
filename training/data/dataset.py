"""Batches from recordings, each a function of the generator that it is drawn with: that makes a resume exact.

Frames and tokens are read from memory-mapped shards.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from genie_env.data.clips import ClipPlaces
from genie_env.data.episodes import NO_ACTION, EpisodeStore
from genie_env.games.registry import merged_effects
from training.data.token_store import TokenStore


class Transitions(NamedTuple):
    """Windows of frames ending in a transition, for the latent action model."""

    frames_BTHWC: torch.Tensor
    actions_B: torch.Tensor
    """Real action of the last transition."""
    before_B: torch.Tensor
    """Real action of the one before it, -1 at the beginning of an episode."""


class FrameDataset:
    """Frames of one split, drawn at random."""

    def __init__(self, store: EpisodeStore, split: str) -> None:
        """Index a split.

        Raises:
            ValueError: if the split has no transitions.
        """
        self.store = store
        self.entries = [entry for entry in store.split(split) if entry.length > 1]
        try:
            self._places = ClipPlaces([entry.length for entry in self.entries], length=2)
        except ValueError:
            raise ValueError(
                f"{store.folder}: no {split!r} episode with at least two frames; record more steps"
            ) from None

    def __len__(self) -> int:
        """Number of transitions."""
        return len(self._places)

    def frames(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        """Random single frames, uint8 [count, H, W, 3]."""
        return self.transitions(rng, count, context=1).frames_BTHWC[:, 0]

    def transitions(self, rng: np.random.Generator, count: int, context: int) -> Transitions:
        """Random transitions with ``context`` frames before the next one (the first frame repeats at the start)."""
        return self.at(rng.integers(len(self), size=count), context)

    def at(self, indices: np.ndarray, context: int) -> Transitions:
        """The transitions numbered ``indices``, as in :meth:`transitions`."""
        frames, actions, before = [], [], []
        for episode, t in self._places.at(indices):
            entry = self.entries[episode]
            rows = np.clip(np.arange(t - context + 1, t + 2), 0, None)
            frames.append(self.store.array("frames", entry)[rows])
            played = self.store.array("actions", entry)
            actions.append(int(played[t]))
            before.append(int(played[t - 1]) if t else -1)
        return Transitions(torch.from_numpy(np.stack(frames)), torch.tensor(actions), torch.tensor(before))


class ClipBatch(NamedTuple):
    """Clips for dynamics and outcome training."""

    tokens_BTN: torch.Tensor
    actions_BT: torch.Tensor
    """Action of the dynamics at each frame but the last."""
    rewards_BT: torch.Tensor
    terminated_BT: torch.Tensor

    def to(self, device: torch.device) -> ClipBatch:
        """The same clips on another device."""
        return ClipBatch(*(x.to(device, non_blocking=True) for x in self))


class TokenDataset:
    """Tokenized episodes of one split, drawn as clips of equal length."""

    def __init__(self, store: TokenStore, split: str) -> None:
        self.episodes = store.episodes(split)
        self._places: dict[int, ClipPlaces] = {}

    def clips(self, rng: np.random.Generator, count: int, length: int) -> ClipBatch:
        """Random clips of ``length`` frames.

        Raises:
            ValueError: if no episode is that long.
        """
        return self.take(self.picks(rng, count, length), length)

    def picks(self, rng: np.random.Generator, count: int, length: int) -> np.ndarray:
        """Random places of clips, int [count, 2] of (episode, time).

        Raises:
            ValueError: if no episode is that long.
        """
        if length not in self._places:
            self._places[length] = ClipPlaces([len(episode.tokens_TN) for episode in self.episodes], length)
        return self._places[length].draw(rng, count)

    def take(self, picks: np.ndarray, length: int) -> ClipBatch:
        """The clips that begin at ``picks``, int [count, 2] of (episode, time); before an episode its first frame
        repeats, and nothing is done or happens.
        """
        times_BT = picks[:, 1:] + np.arange(length)

        def stack(name: str) -> np.ndarray:
            rows = zip(picks[:, 0], times_BT, strict=True)
            found = [getattr(self.episodes[e], name)[times_T.clip(0)] for e, times_T in rows]
            any_TX = getattr(self.episodes[0], name)
            return np.stack(found) if found else np.zeros((0, length, *any_TX.shape[1:]), any_TX.dtype)

        def happened(name: str) -> torch.Tensor:
            values_BT = stack(name)
            return torch.from_numpy(np.where(times_BT < 0, np.zeros_like(values_BT), values_BT)[:, :-1])

        return ClipBatch(
            torch.from_numpy(stack("tokens_TN").astype(np.int64)),
            happened("actions_T").long(),
            happened("rewards_T"),
            happened("terminated_T"),
        )


def background(store: EpisodeStore, samples: int = 512) -> np.ndarray:
    """Median frame of the training split, uint8 [H, W, 3]: everything that never moves."""
    frames = FrameDataset(store, "train").frames(np.random.default_rng(0), samples)
    return np.median(frames.numpy(), axis=0).astype(np.uint8)


def effect_labels(store: EpisodeStore, actions: torch.Tensor) -> torch.Tensor:
    """Merged effect of each real action, int64; -1 where no action is known."""
    if not store.manifest.source.has_actions:
        return torch.full_like(actions, NO_ACTION)
    return torch.from_numpy(merged_effects(store.manifest.source))[actions]
