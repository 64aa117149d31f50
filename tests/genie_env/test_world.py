"""A world never changes: another configuration or other starts make another world."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from genie_env.world import Prompts
from tests.helpers.worlds import NUM_ACTIONS, VOCAB, random_world


def prompts(tokens: Any = None, actions: Any = None) -> Prompts:
    tokens = torch.zeros(2, 3, 64, dtype=torch.long) if tokens is None else tokens
    return Prompts(tokens, torch.zeros(2, 2, dtype=torch.long) if actions is None else actions)


def test_replaced_world_shares_the_networks_and_leaves_the_old_one_as_it_was() -> None:
    world, starts = random_world(), prompts()
    before = world.config, world.starts
    renamed = dataclasses.replace(world.config, name="other")
    other = world.replace(config=renamed, starts=starts)
    assert (world.config, world.starts) == before and other.config.name == "other"
    assert torch.equal(other.starts.tokens_SPN, starts.tokens_SPN)
    assert other.dynamics is world.dynamics and other.tokenizer is world.tokenizer
    assert world.replace(starts=starts).config == world.config


@pytest.mark.parametrize("name", ["config", "starts"])
def test_configuration_and_starts_cannot_be_set(name: str) -> None:
    world = random_world()
    with pytest.raises(AttributeError):
        setattr(world, name, getattr(world, name))


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        (None, "expected Prompts"),
        (prompts(tokens=[[1]]), "expected Prompts"),
        (prompts(torch.zeros(2, 3, 64)), "float32"),
        (prompts(torch.zeros(2, 3, 63, dtype=torch.long)), r"\[S, P, 64\]"),
        (prompts(torch.zeros(0, 3, 64, dtype=torch.long)), r"\[0, 3, 64\]"),
        (prompts(actions=torch.zeros(2, 3, dtype=torch.long)), r"\[S, P-1\]"),
        (prompts(torch.full((2, 3, 64), VOCAB)), f"tokens from 0 to {VOCAB - 1}"),
        (prompts(actions=torch.full((2, 2), -1)), f"actions from 0 to {NUM_ACTIONS - 1}"),
    ],
)
def test_starts_of_another_kind_are_refused(starts: Any, message: str) -> None:
    world = random_world()
    with pytest.raises(ValueError, match=f"starts: .*{message}"):
        type(world)(world.config, starts)
    if starts is not None:
        with pytest.raises(ValueError, match=f"starts: .*{message}"):
            world.replace(starts=starts)


def test_configuration_of_other_networks_is_refused() -> None:
    world = random_world()
    larger = dataclasses.replace(world.config.latent_action, channels=16)
    with pytest.raises(ValueError, match=r"config\.latent_action: expected that of the world's network"):
        world.replace(config=dataclasses.replace(world.config, latent_action=larger))
