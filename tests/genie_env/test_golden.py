"""The shipped worlds dream what they always dreamed: hashes of 200 steps, made before the code was rearranged."""

from __future__ import annotations

import hashlib

import gymnasium as gym
import numpy as np
import pytest

import genie_env  # noqa: F401 (registers the ids)

SINGLE = {
    "Genie/Pong-v0": "8c3985721f595c7f54ce0aacf4b19e1e2b430a03c8af096aab97c6d38d686754",
    "Genie/Breakout-v0": "350991d927a7f8e71dd13a87983742728e7d2138a7493f706768462ef4d6f05e",
}
VECTOR = {
    "Genie/Pong-v0": "2d24ed1865c07dbe0b8b67cad71a1cc8579c33f4970a3347d09f2c288bfff196",
    "Genie/Breakout-v0": "4d87322628ee3458ecd730f40fcf57fc7e66438eb0729aee034135c89f90db36",
}
"""With colder sampling, action diversity and two passes a frame."""
STEPS = 200


@pytest.mark.parametrize("env_id", sorted(SINGLE))
def test_two_hundred_steps_of_the_shipped_worlds_are_unchanged(env_id: str) -> None:
    env, rng = gym.make(env_id), np.random.default_rng(7)
    obs, _ = env.reset(seed=7)
    seen = hashlib.sha256(obs.tobytes())
    for _ in range(STEPS):
        obs, reward, terminated, truncated, info = env.step(rng.integers(env.action_space.n))
        seen.update(obs.tobytes() + np.float64(reward).tobytes())
        seen.update(bytes([terminated, truncated, info["action"], info["latent_action"]]))
        if terminated or truncated:
            obs, _ = env.reset()
            seen.update(obs.tobytes())
    assert seen.hexdigest() == SINGLE[env_id]
    envs = gym.make_vec(env_id, num_envs=5, temperature=0.8, action_diversity=0.3, decode_steps=2)
    obs, _ = envs.reset(seed=3)
    seen = hashlib.sha256(obs.tobytes())
    for _ in range(STEPS):
        obs, reward, terminated, _, info = envs.step(rng.integers(envs.single_action_space.n, size=5))
        seen.update(obs.tobytes() + reward.tobytes() + terminated.tobytes() + info["action"].tobytes())
    assert seen.hexdigest() == VECTOR[env_id]
