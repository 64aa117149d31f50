"""Cuts end a stretch, motion does not; what stands still is shortened."""

from __future__ import annotations

import numpy as np

from tests.helpers.films import scene
from training.sources.scenes import Scenes


def stretches(
    frames: list[np.ndarray] | np.ndarray, fps: float = 15, longest: int = 1000
) -> tuple[list[np.ndarray], Scenes]:
    scenes, found = Scenes(fps, longest), []
    for frame in frames:
        found += scenes.add(frame)
    return found + scenes.close(), scenes


def test_a_cut_ends_a_stretch() -> None:
    first, second = scene(50, 0, 64), scene(70, 1, 64)
    found, scenes = stretches([*first, *second])
    assert [len(one) for one in found] == [50, 70] and scenes.cuts == 1
    assert (found[0] == first).all() and (found[1] == second).all()


def test_play_that_scrolls_or_flickers_is_not_cut() -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 255, (64, 400, 3), dtype=np.uint8)
    scrolling = [wide[:, 3 * t : 3 * t + 64] for t in range(100)]
    noisy = [(120 + rng.normal(0, 20, (64, 64, 3))).clip(0, 255).astype(np.uint8) for _ in range(100)]
    for frames in (scrolling, noisy):
        assert max(len(one) for one in stretches(frames)[0]) >= 99


def test_a_still_stretch_is_shortened_and_play_goes_on_in_the_same_episode() -> None:
    play = scene(120, 0, 64)
    found, scenes = stretches([*play[:60], *([play[59]] * 300), *play[60:]])
    assert [len(one) for one in found] == [120 + 29] and scenes.still_frames == 271
    assert (found[0][-60:] == play[60:]).all()


def test_one_small_thing_that_moves_is_not_still() -> None:
    frames = np.full((200, 64, 64, 3), 30, np.uint8)
    for t in range(200):
        frames[t, 20:22, t % 60 : t % 60 + 2] = 236
    assert len(stretches(frames)[0][0]) == 200


def test_no_stretch_is_longer_than_allowed_and_none_too_short_to_learn_from() -> None:
    frames = scene(205, 0, 64)
    found, scenes = stretches(frames, longest=90)
    assert [len(one) for one in found] == [90, 90, 25] and scenes.short_frames == 0
    assert (np.concatenate(found) == frames).all()
    assert stretches(frames[:15])[0] == [] and stretches(frames[:15])[1].short_frames == 15
