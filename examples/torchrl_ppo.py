"""Learn to play inside a dream with TorchRL: PPO (arXiv 1707.06347) on the tokens of the native vector environment."""

import argparse

import gymnasium as gym
import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.envs import GymWrapper
from torchrl.envs.utils import step_mdp
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import genie_env  # noqa: F401  registers the ids

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world", default="pong", help="bundled world or folder")
parser.add_argument("--steps", type=int, default=100_000, help="environment steps in all rows together")
parser.add_argument("--rows", type=int, default=16)
parser.add_argument("--horizon", type=int, default=64, help="steps of every row between two updates")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

# TorchRL resets ended rows by itself, and wants an environment that does not.
envs = gym.make_vec("Genie/World-v0", args.rows, world=args.world, obs_type="tokens", autoreset_mode="Disabled")
env = GymWrapper(envs, device="cpu", categorical_action_encoding=True)
env.set_seed(args.seed)
vocabulary = int(envs.single_observation_space.high.max()) + 1
num_tokens, num_actions = envs.single_observation_space.shape[0], int(envs.single_action_space.n)


def network(num_outputs: int) -> nn.Module:
    """From tokens [..., N] to outputs [..., num_outputs]."""
    return nn.Sequential(
        nn.Embedding(vocabulary, 8),
        nn.Flatten(-2),
        nn.Linear(8 * num_tokens, 64),
        nn.Tanh(),
        nn.Linear(64, num_outputs),
    )


logits = TensorDictModule(network(num_actions), in_keys=["observation"], out_keys=["logits"])
actor = ProbabilisticActor(
    logits, in_keys=["logits"], distribution_class=torch.distributions.Categorical, return_log_prob=True
)
critic = ValueOperator(network(1), in_keys=["observation"])
advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic)
loss_of = ClipPPOLoss(actor, critic, clip_epsilon=0.1, entropy_coeff=0.01)
optimizer = torch.optim.Adam(loss_of.parameters(), 2.5e-4)

played, points, state = 0, 0.0, env.reset()
while played < args.steps:
    with torch.no_grad():
        batch = env.rollout(args.horizon, actor, tensordict=state, auto_reset=False, break_when_any_done=False)
        state = env.maybe_reset(step_mdp(batch[:, -1]))
    played, points = played + batch.numel(), points + float(batch["next", "reward"].sum())
    for _ in range(args.epochs):
        with torch.no_grad():
            advantage(batch)
        losses = loss_of(batch.reshape(-1))
        optimizer.zero_grad()
        (losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]).backward()
        nn.utils.clip_grad_norm_(loss_of.parameters(), 0.5)
        optimizer.step()
env.close()
print(f"{played} steps of learning, {1000 * points / played:+.1f} net points per 1,000 steps")
