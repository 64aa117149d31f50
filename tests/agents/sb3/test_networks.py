"""Token networks begin where tokens that look alike are alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agents.sb3.evaluate_policy import chooser
from agents.sb3.make_envs import make_dreams
from agents.sb3.networks import TokenNet
from agents.train_ppo import TrainAgentConfig, make_learner
from genie_env.bundle import load_world
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
