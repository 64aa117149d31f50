"""Token networks begin where tokens that look alike are alike; states are scaled by what was seen of them."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import torch

from agents.sb3.evaluate_policy import chooser
from agents.sb3.make_envs import make_dreams
from agents.sb3.networks import StateScale, TokenNet
from agents.train_ppo import TrainAgentConfig, make_learner
from genie_env.bundle import load_world
from genie_env.files.tensors import weights_of
from genie_env.policies.spec import make_policy_spec


def test_tokens_that_look_alike_begin_alike(small: TrainAgentConfig, random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    world.tokenizer.patches_VK[1] = world.tokenizer.patches_VK[0]
    dreams = make_dreams(random_world, make_policy_spec(world.config, "tokens", "real"), 4, device="cpu")
    learner = make_learner(small, dreams, world)
    net = next(m for m in learner.policy.modules() if isinstance(m, TokenNet))
    distances = (net.embed.weight - net.embed.weight[0]).norm(dim=1)
    assert distances[1] < 1e-3 and (distances[2:] > 0.1).all()
    assert chooser(learner)(dreams.reset(), np.ones(4, dtype=bool)).shape == (4,)


def test_a_states_numbers_are_scaled_by_all_that_was_learned_from_and_only_then() -> None:
    rng = np.random.default_rng(0)
    states = torch.as_tensor(rng.normal([5.0, -300.0], [0.1, 40.0], (300, 2)), dtype=torch.float32)
    scale = StateScale(gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)).eval()
    assert torch.allclose(scale(states[:2]), states[:2].clamp(-10, 10))
    scale.train()
    for batch in states.split(70):
        scale(batch)
    assert torch.allclose(scale.mean_D, states.mean(0), rtol=1e-4)
    assert torch.allclose(scale.variance_D, states.var(0, correction=0), rtol=1e-3)
    seen = scale.eval()(states)
    assert seen.mean(0).abs().max() < 1e-2 and (seen.std(0) - 1).abs().max() < 1e-2
    assert scale.count == 300 and set(weights_of(scale)) == {"mean_D", "variance_D", "count"}
