"""The policy that ships plays as stable-baselines3's does: the same stacks, the same logits, the same actions."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from agents.sb3.evaluate_policy import chooser, steps_of
from agents.sb3.make_envs import make_dreams
from agents.sb3.play_policy import logits
from agents.sb3.policy_io import load_policy
from genie_env.bundle import read_config
from genie_env.policies.player import PolicyPlayer
from genie_env.policies.token_policy import load_token_policy
from tests.helpers.policies import make_token_policy


def test_logits_are_those_of_stable_baselines3_and_so_are_the_stacks(run: Path, random_world: Path) -> None:
    policy, about = load_policy(run / "policy")
    ours = load_token_policy(run / "policy")
    player = PolicyPlayer(ours, np.random.default_rng(0), likeliest=True)
    dreams = make_dreams(random_world, about.spec, 1, horizon=7, device="cpu")
    dreams.seed(0)
    compared = []

    def choose(observations_BX: np.ndarray, restarted_B: np.ndarray) -> np.ndarray:
        newest_N = observations_BX[0, -about.num_tokens :]
        player.begin(newest_N) if restarted_B[0] else player.see(0, newest_N)
        theirs_BA, ours_BA = logits(policy, observations_BX), ours.logits(observations_BX)
        np.testing.assert_allclose(ours_BA - ours_BA.max(), theirs_BA - theirs_BA.max(), atol=1e-5)
        actions_B = chooser(policy, deterministic=True)(observations_BX, restarted_B)
        compared.append((player.act(), int(actions_B[0])))
        # Other actions than the likeliest, so that dreams differ.
        return np.array([len(compared) % about.spec.num_actions])

    list(islice(steps_of(choose, dreams), 40))
    dreams.close()
    assert len(compared) == 40 and all(mine == theirs for mine, theirs in compared)


def test_policy_written_without_stable_baselines3_is_read_by_it(random_world: Path, tmp_path: Path) -> None:
    folder = make_token_policy(tmp_path / "policy", read_config(random_world), str(random_world))
    policy, about = load_policy(folder)
    shape = (9, about.spec.frame_stack * about.num_tokens)
    tokens_BX = np.random.default_rng(0).integers(about.vocab_size, size=shape)
    ours_BA, theirs_BA = load_token_policy(folder).logits(tokens_BX), logits(policy, tokens_BX)
    ours_BA = ours_BA - np.logaddexp.reduce(ours_BA, axis=1, keepdims=True)
    np.testing.assert_allclose(ours_BA, theirs_BA, atol=1e-4)
