"""Pictures of held-out clips beside what a dynamics dreams of them, for the log of its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from genie_env.config import SamplingConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.frames import grid
from genie_env.models.dynamics import Dynamics
from genie_env.models.ensemble import DynamicsEnsemble
from genie_env.models.protocols import VideoTokenizer
from training.data.dataset import TokenDataset
from training.dynamics.scheduled_sampling import dream_last_frames

NUM_CLIPS, EVERY = 3, 2
"""Clips that are shown, and how many frames are passed over for each one."""


def dream_strip(
    model: Dynamics | DynamicsEnsemble,
    tokenizer: VideoTokenizer,
    held_out: TokenDataset,
    length: int,
    sampling: SamplingConfig,
    data: Path | None,
) -> np.ndarray:
    """Rows of pictures, uint8 [H, W, 3]: real frames, their tokens decoded, and a dream from the first third.

    Args:
        model: that dreams.
        tokenizer: that made the tokens.
        held_out: clips.
        length: of each, in frames.
        sampling: how frames are drawn.
        data: recording with the real frames; None: they are not shown.
    """
    prompt = max(1, length // 3)
    picks = held_out.picks(np.random.default_rng(1), NUM_CLIPS, length)
    clip = held_out.take(picks, length).to(model.device)
    keys = torch.arange(NUM_CLIPS, device=model.device)
    dreamed = dream_last_frames(model, clip.tokens_BTN, clip.actions_BT, length - prompt, sampling, keys)
    shown = slice(prompt % EVERY, None, EVERY)
    store = None if data is None else EpisodeStore(data)
    rows = []
    for index, (episode, start) in enumerate(picks):
        if store is not None:
            frames = np.array(store.array("frames", store.split("test")[episode])[start : start + length])
            rows.append(frames[shown])
        rows += [tokenizer.decode(x[index, shown].cpu()).numpy() for x in (clip.tokens_BTN, dreamed)]
    return grid([list(row) for row in rows])
