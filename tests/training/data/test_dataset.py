"""Batches hold the past of their action, stay within one episode and depend on their generator alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genie_env.config import SourceConfig, TokenSpace
from genie_env.data.episodes import Episode, EpisodeStore, EpisodeWriter
from training.data.dataset import FrameDataset, TokenDataset
from training.data.token_store import TokenEpisode, write_made_up

SOURCE = SourceConfig("Made-up-v0", action_meanings=("A", "B", "C"), effects=(0, 1, 2))


def episode(length: int, seed: int = 0, terminated: bool = True, **overrides: Any) -> Episode:
    rng = np.random.default_rng(seed)
    fields = {
        "frames_THWC": rng.integers(0, 256, (length + 1, 8, 8, 3), dtype=np.uint8),
        "actions_T": rng.integers(0, 3, length),
        "rewards_T": rng.normal(size=length),
        "terminated": terminated,
        "truth": rng.normal(size=(length + 1, 2)),
    }
    return Episode(**{**fields, **overrides})


def store(folder: Path, shards: list[list[Episode]], **settings: Any) -> EpisodeStore:
    writer = EpisodeWriter(folder, SOURCE, ("x", "y"), **settings)
    for index, episodes in enumerate(shards):
        writer.write_shard(index, episodes)
    return writer.finish(len(shards))


def test_transitions_hold_the_past_of_their_action_and_never_another_episode(tmp_path: Path) -> None:
    made = [episode(n, seed=n) for n in (3, 1, 6)]
    for index, one in enumerate(made):
        one.frames_THWC[:] = 50 * index + np.arange(len(one.frames_THWC), dtype=np.uint8)[:, None, None, None]
    dataset = FrameDataset(store(tmp_path / "data", [[*made, episode(2)]], test_every=4), "train")
    assert len(dataset) == 10
    context = 4
    batch = dataset.at(np.arange(len(dataset)), context)
    index = 0
    for number, one in enumerate(made):
        for t, action in enumerate(one.actions_T):
            past = [max(0, t - context + 1 + i) for i in range(context)]
            shown = batch.frames_BTHWC[index, :, 0, 0, 0].tolist()
            assert shown == [50 * number + k for k in (*past, t + 1)]
            assert int(batch.actions_B[index]) == action
            index += 1
    with pytest.raises(ValueError, match="no 'test' episode"):
        FrameDataset(store(tmp_path / "single", [[episode(9)]]), "test")


@pytest.fixture
def token_data(tmp_path: Path) -> TokenDataset:
    """Two episodes whose token, action and reward at row t are all made of (episode, t)."""
    episodes = []
    for first, length in ((0, 12), (100, 20)):
        rows = first + np.arange(length)
        rewards, ends = (rows % 100 == 9).astype(np.float32), np.zeros(length, bool)
        episodes.append(TokenEpisode(np.repeat(rows[:, None], 4, axis=1), rows, rows, rewards, ends))
    return TokenDataset(write_made_up(tmp_path / "tokens", {"train": episodes}, TokenSpace(200, 2), 200), "train")


def test_clips_are_aligned_and_stay_within_one_episode(token_data: TokenDataset) -> None:
    clip = token_data.clips(np.random.default_rng(0), 200, 8)
    assert clip.tokens_BTN.shape == (200, 8, 4) and clip.actions_BT.shape == (200, 7)
    rows = clip.tokens_BTN[..., 0]
    assert bool((rows[:, 1:] - rows[:, :-1] == 1).all())
    assert torch.equal(clip.actions_BT, rows[:, :-1])
    assert torch.equal(clip.rewards_BT, (rows[:, :-1] % 100 == 9).float())


def test_clips_are_a_function_of_their_generator(token_data: TokenDataset) -> None:
    one, two = (token_data.clips(np.random.default_rng([7, 3]), 5, 8) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    with pytest.raises(ValueError, match="21 frames"):
        token_data.clips(np.random.default_rng(0), 5, 21)
