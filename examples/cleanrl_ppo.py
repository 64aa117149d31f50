"""Learn to play inside a dream: PPO in the style of CleanRL (arXiv 1707.06347), on the native vector environment."""

import argparse

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

import genie_env  # noqa: F401  registers the ids

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world", default="pong", help="bundled world or folder")
parser.add_argument("--steps", type=int, default=100_000, help="environment steps in all rows together")
parser.add_argument("--rows", type=int, default=8)
parser.add_argument("--horizon", type=int, default=64, help="steps of every row between two updates")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--minibatches", type=int, default=4)
parser.add_argument("--learning-rate", type=float, default=2.5e-4)
parser.add_argument("--gamma", type=float, default=0.99)
parser.add_argument("--gae-lambda", type=float, default=0.95)
parser.add_argument("--clip", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.manual_seed(args.seed)
rng = np.random.default_rng(args.seed)


def layer(module: nn.Module, gain: float = 2**0.5) -> nn.Module:
    nn.init.orthogonal_(module.weight, gain)
    nn.init.zeros_(module.bias)
    return module


class Agent(nn.Module):
    """Policy and value from one grayscale picture and the one before it."""

    def __init__(self, num_actions: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            layer(nn.Conv2d(2, 16, 8, stride=4)),
            nn.ReLU(),
            layer(nn.Conv2d(16, 32, 4, stride=2)),
            nn.ReLU(),
            nn.Flatten(),
            layer(nn.Linear(32 * 6 * 6, 128)),
            nn.ReLU(),
        )
        self.policy = layer(nn.Linear(128, num_actions), 0.01)
        self.value = layer(nn.Linear(128, 1), 1.0)

    def forward(self, pictures_BHWC: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        features_BD = self.trunk(pictures_BHWC.permute(0, 3, 1, 2) / 255.0)
        return Categorical(logits=self.policy(features_BD)), self.value(features_BD)[:, 0]


envs = gym.make_vec("Genie/World-v0", args.rows, world=args.world, obs_type="grayscale", autoreset_mode="SameStep")
envs = gym.wrappers.vector.RecordEpisodeStatistics(envs)
agent = Agent(int(envs.single_action_space.n))
optimizer = torch.optim.Adam(agent.parameters(), args.learning_rate, eps=1e-5)

shape = (args.horizon, args.rows)
pictures_TBHWC = torch.zeros(*shape, *envs.single_observation_space.shape[:2], 2)
actions_TB, log_probs_TB = torch.zeros(shape, dtype=torch.long), torch.zeros(shape)
rewards_TB, values_TB, ended_TB = torch.zeros(shape), torch.zeros(shape), torch.zeros(shape)


def stacked(new_BHW1: np.ndarray, old_BHW2: torch.Tensor | None, begun_B: np.ndarray) -> torch.Tensor:
    """The new picture beside the one before; a row that has just begun sees its first one twice."""
    new = torch.from_numpy(new_BHW1).float()
    before = (
        new if old_BHW2 is None else torch.where(torch.from_numpy(begun_B)[:, None, None, None], new, old_BHW2[..., 1:])
    )
    return torch.cat([before, new], dim=-1)


obs, _ = envs.reset(seed=args.seed)
picture_BHWC = stacked(obs, None, np.ones(args.rows, bool))
num_updates, returns = max(1, args.steps // (args.horizon * args.rows)), []
for update in range(num_updates):
    for t in range(args.horizon):
        with torch.no_grad():
            policy, values_TB[t] = agent(picture_BHWC)
            actions_TB[t] = policy.sample()
            log_probs_TB[t] = policy.log_prob(actions_TB[t])
        pictures_TBHWC[t] = picture_BHWC
        obs, rewards, terminated, truncated, infos = envs.step(actions_TB[t].numpy())
        rewards_TB[t], ended_TB[t] = torch.from_numpy(rewards), torch.from_numpy(terminated | truncated)
        picture_BHWC = stacked(obs, picture_BHWC, terminated | truncated)
        if "episode" in infos:
            returns += infos["episode"]["r"][infos["_episode"]].tolist()

    # Advantages backwards in time (arXiv 1506.02438); an episode's end cuts the sum.
    advantages_TB, running_B = torch.zeros(shape), torch.zeros(args.rows)
    with torch.no_grad():
        next_value_B = agent(picture_BHWC)[1]
    for t in reversed(range(args.horizon)):
        goes_on_B = 1.0 - ended_TB[t]
        delta_B = rewards_TB[t] + args.gamma * next_value_B * goes_on_B - values_TB[t]
        running_B = delta_B + args.gamma * args.gae_lambda * goes_on_B * running_B
        advantages_TB[t], next_value_B = running_B, values_TB[t]
    targets_M, advantages_M = (advantages_TB + values_TB).flatten(), advantages_TB.flatten()

    for _ in range(args.epochs):
        for rows in np.array_split(rng.permutation(args.horizon * args.rows), args.minibatches):
            policy, values_M = agent(pictures_TBHWC.flatten(0, 1)[rows])
            ratio_M = (policy.log_prob(actions_TB.flatten()[rows]) - log_probs_TB.flatten()[rows]).exp()
            gain_M = advantages_M[rows]
            gain_M = (gain_M - gain_M.mean()) / (gain_M.std() + 1e-8)
            clipped_M = ratio_M.clamp(1 - args.clip, 1 + args.clip)
            policy_loss = -torch.minimum(gain_M * ratio_M, gain_M * clipped_M).mean()
            value_loss = 0.5 * (values_M - targets_M[rows]).square().mean()
            loss = policy_loss + 0.5 * value_loss - 0.01 * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()

    done = (update + 1) * args.horizon * args.rows
    if update == num_updates - 1 or update % 10 == 0:
        recent = f"{np.mean(returns[-20:]):+.2f}" if returns else "–"
        print(f"{done} steps, {len(returns)} episodes, mean return of the last 20: {recent}", flush=True)
envs.close()
