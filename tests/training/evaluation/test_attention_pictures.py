"""Attention is that of the predicted frame, and is drawn where something happens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genie_env.data.episodes import EpisodeStore
from genie_env.games.sprites import find_sprites
from genie_env.world import World
from tests.helpers.held_out import COLOURS, WINDOW
from training.evaluation.attention_pictures import most_changed_clip, moving_place, take_attention
from training.evaluation.held_out import HeldOutPlay


def test_attention_is_that_of_the_last_frame_and_sums_to_one(world: World, store: EpisodeStore) -> None:
    tokens = world.encode(np.array(store.array("frames", store.split("test")[0])[:WINDOW])[None])[0]
    actions = torch.zeros(WINDOW, dtype=torch.long)
    found = take_attention(world.dynamics, tokens, actions)
    config = world.config.dynamics
    assert len(found.space) == config.num_layers + config.head_layers and len(found.time) == config.num_layers
    for weights in found.space:
        assert weights.shape == (config.num_heads, config.num_groups, config.num_groups)
    for weights in found.time:
        assert weights.shape == (config.num_groups, config.num_heads, WINDOW)
    for weights in (*found.space, *found.time):
        assert weights.sum(-1) == pytest.approx(np.ones(weights.shape[:-1]), abs=1e-5)
    assert not any(block.norm_space._forward_hooks for block in world.dynamics.blocks), "hooks are taken off again"


def test_marked_position_is_the_one_that_changes() -> None:
    tokens = torch.zeros(3, 64, dtype=torch.long)
    after = tokens[0].clone()
    # Row 5 and column 2 of 8x8 tokens lie in row 2 and column 1 of 4x4 positions.
    after[5 * 8 + 2] = 1
    assert moving_place(tokens, after, side=4) == 2 * 4 + 1


def test_the_drawn_clip_is_one_in_which_the_ball_flies(held_out: HeldOutPlay) -> None:
    clips = held_out.clips(12, WINDOW, 1, seed=0)
    chosen = most_changed_clip(clips, COLOURS)
    assert find_sprites(clips.frames_CTHWC[chosen, WINDOW - 1], COLOURS).present.all()
    jumpy = clips.tokens_CTN.clone()
    jumpy[5, WINDOW] = (jumpy[5, WINDOW] + 1) % 1000
    assert most_changed_clip(clips._replace(tokens_CTN=jumpy), None) == 5
