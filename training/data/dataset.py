"""Batches from recordings. Every batch is a function of (seed, step) alone: that is what makes a resume exact.

Frames are read from memory-mapped shards; tokens and latent actions are computed once and live in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from genie_env.data.episodes import EpisodeEntry, EpisodeStore
from genie_env.games.registry import merged_effects


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
        self.entries = [e for e in store.split(split) if e.length > 1]
        if not self.entries:
            raise ValueError(f"{store.folder}: no {split!r} episode with at least two frames; record more steps")
        self._ends = np.cumsum([e.length - 1 for e in self.entries])

    def __len__(self) -> int:
        """Number of transitions."""
        return int(self._ends[-1])

    def frames(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        """Random single frames, uint8 [count, H, W, 3]."""
        return self.transitions(rng, count, context=1).frames_BTHWC[:, 0]

    def transitions(self, rng: np.random.Generator, count: int, context: int) -> Transitions:
        """Random transitions with ``context`` frames before the next one (the first frame repeats at the start)."""
        return self.at(rng.integers(len(self), size=count), context)

    def at(self, indices: np.ndarray, context: int) -> Transitions:
        """The transitions numbered ``indices``, as in :meth:`transitions`."""
        frames, actions, before = [], [], []
        for index in indices:
            entry, t = self.locate(int(index))
            rows = np.clip(np.arange(t - context + 1, t + 2), 0, None)
            frames.append(self.store.array("frames", entry)[rows])
            played = self.store.array("actions", entry)
            actions.append(int(played[t]))
            before.append(int(played[t - 1]) if t else -1)
        return Transitions(torch.from_numpy(np.stack(frames)), torch.tensor(actions), torch.tensor(before))

    def locate(self, index: int) -> tuple[EpisodeEntry, int]:
        """Episode and time of transition ``index``."""
        which = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[which - 1]) if which else 0
        return self.entries[which], index - before


class ClipBatch(NamedTuple):
    """Clips for dynamics and outcome training."""

    tokens_BTN: torch.Tensor
    actions_BT: torch.Tensor
    """Latent action at each frame but the last."""
    rewards_BT: torch.Tensor
    terminated_BT: torch.Tensor

    def to(self, device: torch.device) -> ClipBatch:
        """The same clips on another device."""
        return ClipBatch(*(x.to(device, non_blocking=True) for x in self))


@dataclass
class TokenEpisode:
    """One tokenized episode; row t as in :mod:`genie_env.data.episodes`."""

    tokens_TN: np.ndarray
    latent_actions_T: np.ndarray
    actions_T: np.ndarray
    rewards_T: np.ndarray
    terminated_T: np.ndarray


class TokenDataset:
    """Tokenized episodes of one split, drawn as clips of equal length."""

    def __init__(self, folder: Path | str, split: str) -> None:
        """Read what :func:`write_tokens` wrote.

        Raises:
            ValueError: if the file is missing.
        """
        path = Path(folder) / f"{split}.npz"
        if not path.exists():
            raise ValueError(f"{path}: no tokens there; run the tokenize stage of training.train first")
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        starts = arrays.pop("starts")
        self.recorded_actions = bool(arrays.pop("recorded_actions", False))
        """Whether latent actions are the effects of recorded ones instead of inferred."""
        stops = np.append(starts[1:], len(arrays["tokens_TN"]))
        self.episodes = [
            TokenEpisode(**{k: v[a:b] for k, v in arrays.items()}) for a, b in zip(starts, stops, strict=True)
        ]

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
        places = self._places(length)
        return places[rng.integers(len(places), size=count)]

    def take(self, picks: np.ndarray, length: int) -> ClipBatch:
        """The clips that begin at ``picks``, int [count, 2] of (episode, time)."""
        cut = [(self.episodes[e], slice(t, t + length)) for e, t in picks]

        def stack(name: str) -> torch.Tensor:
            return torch.from_numpy(np.stack([getattr(episode, name)[rows] for episode, rows in cut]))

        return ClipBatch(
            stack("tokens_TN").long(),
            stack("latent_actions_T")[:, :-1].long(),
            stack("rewards_T")[:, :-1],
            stack("terminated_T")[:, :-1],
        )

    def _places(self, length: int) -> np.ndarray:
        if not hasattr(self, "_place_cache"):
            self._place_cache: dict[int, np.ndarray] = {}
        if length not in self._place_cache:
            rows = [
                (e, t) for e, episode in enumerate(self.episodes) for t in range(len(episode.tokens_TN) - length + 1)
            ]
            if not rows:
                raise ValueError(f"no episode has {length} frames; record longer ones or shorten the clips")
            self._place_cache[length] = np.array(rows)
        return self._place_cache[length]


def background(store: EpisodeStore, samples: int = 512) -> np.ndarray:
    """Median frame of the training split, uint8 [H, W, 3]: everything that never moves."""
    frames = FrameDataset(store, "train").frames(np.random.default_rng(0), samples)
    return np.median(frames.numpy(), axis=0).astype(np.uint8)


def effect_labels(store: EpisodeStore, actions: torch.Tensor) -> torch.Tensor:
    """Merged effect of each real action, int64."""
    return torch.from_numpy(merged_effects(store.manifest.source))[actions]
