"""Learn to play inside a dream with Tianshou 0.5: PPO (arXiv 1707.06347) on the tokens of single environments."""

import argparse

import gymnasium as gym
import torch
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.policy import PPOPolicy
from tianshou.utils.net.common import ActorCritic
from torch import nn

import genie_env  # noqa: F401  registers the ids

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world", default="pong", help="bundled world or folder")
parser.add_argument("--steps", type=int, default=100_000, help="environment steps in all rows together")
parser.add_argument("--rows", type=int, default=8)
parser.add_argument("--horizon", type=int, default=64, help="steps of every row between two updates")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

# Tianshou's vector environments hold single ones: each row steps by itself, at the price of a forward for each.
envs = DummyVectorEnv(
    [lambda: gym.make("Genie/World-v0", world=args.world, obs_type="tokens") for _ in range(args.rows)]
)
envs.seed(args.seed)
space, actions = envs.observation_space[0], envs.action_space[0]
vocabulary, num_tokens = int(space.high.max()) + 1, space.shape[0]


class Network(nn.Module):
    """From tokens [B, N] to outputs [B, num_outputs]."""

    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Embedding(vocabulary, 8),
            nn.Flatten(-2),
            nn.Linear(8 * num_tokens, 64),
            nn.Tanh(),
            nn.Linear(64, num_outputs),
        )

    def forward(self, tokens_BN, state=None, info=None):
        return self.layers(torch.as_tensor(tokens_BN))


class Actor(Network):
    """Tianshou's actors return the state of a recurrent network, too."""

    def forward(self, tokens_BN, state=None, info=None):
        return super().forward(tokens_BN), state


actor, critic = Actor(int(actions.n)), Network(1)
policy = PPOPolicy(
    actor,
    critic,
    torch.optim.Adam(ActorCritic(actor, critic).parameters(), 2.5e-4),
    lambda logits: torch.distributions.Categorical(logits=logits),
    action_space=actions,
    action_scaling=False,
    eps_clip=0.1,
)
collector = Collector(policy, envs, VectorReplayBuffer(args.rows * args.horizon, args.rows))
played, points = 0, 0.0
while played < args.steps:
    played += int(collector.collect(n_step=args.rows * args.horizon)["n/st"])
    points += float(collector.buffer.rew.sum())
    policy.update(0, collector.buffer, batch_size=256, repeat=args.epochs)
    collector.reset_buffer()
envs.close()
print(f"{played} steps of learning, {1000 * points / played:+.1f} net points per 1,000 steps")
