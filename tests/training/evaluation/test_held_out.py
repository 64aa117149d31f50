"""Held-out clips hold what their frames show, and predictions see no more than they may."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from genie_env.config import SamplingConfig, TokenSpace
from genie_env.games.registry import Game
from tests.helpers import tiny_game
from tests.helpers.held_out import TINY, VOCAB
from tests.helpers.pictures import empty
from training.data.token_store import TokenEpisode, TokenStore, write_made_up
from training.evaluation.held_out import Clips, HeldOutPlay, predict, random_actions, read_held_out, served_since


def test_clips_hold_the_tokens_and_actions_of_their_frames(held_out: HeldOutPlay, clips: Clips) -> None:
    world = held_out.world
    assert torch.equal(clips.tokens_CTN, world.encode(clips.frames_CTHWC))
    past = world.config.latent_action.context_frames - 1
    # Inferred from the whole episode: only the first few lack the past that a clip cuts off.
    assert torch.equal(clips.actions_CT[:, past:], world.infer_actions(clips.frames_CTHWC)[:, past:])
    assert torch.equal(clips.real_CHN[:, :-1], clips.previous_CHN[:, 1:])


def test_single_frames_come_with_their_tokens_and_the_same_ones_for_a_seed(held_out: HeldOutPlay) -> None:
    frames_MHWC, tokens_MN = held_out.frames(30, seed=3)
    assert torch.equal(held_out.world.encode(frames_MHWC[:, None])[:, 0], tokens_MN)
    np.testing.assert_array_equal(held_out.frames(30, seed=3)[0], frames_MHWC)
    assert len({frame.tobytes() for frame in frames_MHWC}) > 10


def test_no_more_frames_are_read_than_asked_for(held_out: HeldOutPlay) -> None:
    few = read_held_out(held_out.world, held_out.store, held_out.game, max_frames=40)
    assert sum(len(episode.tokens_TN) for episode in few.episodes) <= 40
    for short, whole in zip(few.episodes, held_out.episodes, strict=False):
        assert torch.equal(short.tokens_TN, whole.tokens_TN[: len(short.tokens_TN)])


def test_a_serve_is_a_ball_that_comes_after_a_point_or_was_not_there() -> None:
    no, yes = np.zeros((1, 4), bool), np.array([[False, True, True, True]])
    balls = {"hidden": "11011", "served": "11001", "first": "00011", "gone": "11000", "stays": "11111"}
    frames = {name: empty(1, 5) for name in balls}
    for name, there in balls.items():
        frames[name][0, [t for t in range(5) if there[t] == "1"], 30:32, 30:32] = tiny_game.BALL_COLOUR
    scored = {"served": yes, "gone": yes}
    served = {name: served_since(f, scored.get(name, no), TINY) for name, f in frames.items()}
    assert served["served"].tolist() == [[False, False, False, True]]
    assert served["first"].tolist() == [[False, False, True, True]]
    assert not served["hidden"].any() and not served["gone"].any() and not served["stays"].any()
    for game in (Game(TINY.source), dataclasses.replace(TINY, tracked="puck")):
        assert (served_since(frames["served"], yes, game) == yes).all(), "without it a point is all that is known"


def test_the_tracked_sprite_need_not_be_a_ball() -> None:
    frames, no = empty(1, 3), np.zeros((1, 2), bool)
    frames[0, 1:, 20:30, 4:6] = tiny_game.OPP_COLOUR
    assert served_since(frames, no, dataclasses.replace(TINY, tracked="opp")).all()
    assert not served_since(frames, no, TINY).any()


def test_a_score_is_known_from_its_own_step_on(held_out: HeldOutPlay) -> None:
    every = held_out.clips(count=10_000, context=6, steps=8, seed=0)
    # With one point to win a clip can only end with a point: in its last step or not at all.
    assert every.scored_CH[:, -1].any()
    assert not every.scored_CH[:, :-1].any()


def test_selected_clips_are_the_beginnings_of_the_same(clips: Clips) -> None:
    some = clips.select(slice(2, 5), 3)
    assert torch.equal(some.tokens_CTN, clips.tokens_CTN[2:5, : clips.context + 3])
    assert torch.equal(some.real_CHN, clips.real_CHN[2:5, :3])
    np.testing.assert_array_equal(some.scored_CH, clips.scored_CH[2:5, :3])


def test_random_actions_begin_where_the_context_ends(held_out: HeldOutPlay, clips: Clips) -> None:
    drawn = random_actions(held_out.world, clips, seed=1)
    known = clips.context - 1
    assert torch.equal(drawn[:, :known], clips.actions_CT[:, :known])
    assert not torch.equal(drawn[:, known:], clips.actions_CT[:, known:])
    assert torch.equal(drawn, random_actions(held_out.world, clips, seed=1))


def test_forced_predictions_remember_real_frames_only(held_out: HeldOutPlay, clips: Clips) -> None:
    sampling = SamplingConfig(temperature=0.0)
    forced = predict(held_out.world, clips, sampling, forced=True)
    for h in (0, 3, 7):
        at = clips.context + h
        engine = held_out.world.engine(sampling)
        keys = torch.arange(len(forced))
        state = engine.start(clips.tokens_CTN[:, :at], clips.actions_CT[:, : at - 1], keys)
        fresh = engine.step(state, clips.actions_CT[:, at - 1]).tokens_BN
        assert (fresh == forced[:, h]).float().mean() > 0.999


def test_a_dream_does_not_see_the_frames_it_should_predict(held_out: HeldOutPlay, clips: Clips) -> None:
    world, sampling = held_out.world, SamplingConfig(temperature=1.0)
    blind = clips.tokens_CTN.clone()
    blind[:, clips.context :] = 0
    seen, unseen = (predict(world, c, sampling) for c in (clips, clips._replace(tokens_CTN=blind)))
    assert torch.equal(seen, unseen)
    assert torch.equal(seen, predict(world, clips, sampling))
    forced = predict(world, clips, sampling, forced=True)
    assert torch.equal(seen[:, 0], forced[:, 0])
    assert not torch.equal(seen, forced)


def test_too_short_a_recording_is_refused_by_name(held_out: HeldOutPlay) -> None:
    with pytest.raises(ValueError, match=r"data: no held-out episode has 100006 frames"):
        held_out.clips(count=1, context=6, steps=100_000, seed=0)
    with pytest.raises(ValueError, match=r"data: expected a held-out episode of at least two frames"):
        read_held_out(held_out.world, held_out.store, held_out.game, max_frames=1)


def token_store(held_out: HeldOutPlay, folder: Path, shift: int = 0) -> TokenStore:
    """Tokens of the held-out episodes; ``shift`` makes other ones of them."""
    episodes = []
    for one in held_out.episodes:
        column = np.zeros(len(one.tokens_TN))
        tokens_TN = (one.tokens_TN.numpy() + shift) % VOCAB
        episodes.append(TokenEpisode(tokens_TN, column, column, column, column))
    return write_made_up(folder, {"test": episodes}, TokenSpace(VOCAB, 8), 3)


def test_stored_tokens_are_read_instead_of_made(held_out: HeldOutPlay, tmp_path: Path) -> None:
    tokens = token_store(held_out, tmp_path / "tokens")
    blind = copy.deepcopy(held_out.world)
    encoded: list[int] = []
    encode = blind.encode
    blind.encode = lambda frames: encoded.append(frames.shape[1]) or encode(frames)
    again = read_held_out(blind, held_out.store, held_out.game, 10_000, tokens)
    assert max(encoded) <= 4, "a few frames are compared"
    for one, other in zip(held_out.episodes, again.episodes, strict=True):
        assert torch.equal(one.tokens_TN, other.tokens_TN) and other.tokens_TN.dtype == torch.int64


def test_tokens_of_another_recording_or_tokenizer_are_refused_by_name(held_out: HeldOutPlay, tmp_path: Path) -> None:
    other = token_store(held_out, tmp_path / "other", shift=1)
    fewer = token_store(dataclasses.replace(held_out, episodes=held_out.episodes[1:]), tmp_path / "fewer")
    for tokens, message in ((other, r"other: expected tokens of the tokenizer of"), (fewer, "fewer: expected the tok")):
        with pytest.raises(ValueError, match=message):
            read_held_out(held_out.world, held_out.store, held_out.game, 10_000, tokens)
