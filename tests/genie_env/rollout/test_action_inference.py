"""The dynamics itself says which action a clip shows."""

from __future__ import annotations

import torch

from genie_env.config import DynamicsConfig
from genie_env.models.dynamics import Dynamics
from genie_env.rollout.action_inference import most_likely_actions


class Counting(Dynamics):
    """Knows one rule: action a moves every token a places further along the vocabulary."""

    def step(self, cache: object, tokens_BN: torch.Tensor, actions_B: torch.Tensor) -> torch.Tensor:
        return actions_B[:, None, None].float().expand(-1, 1, 1)

    def decode(self, features_MGD: torch.Tensor, decided_MN: torch.Tensor) -> torch.Tensor:
        return features_MGD.expand(-1, decided_MN.shape[1], 1)

    def stay_logits(self, head_out: torch.Tensor) -> torch.Tensor:
        return torch.where(head_out[..., 0] == 0, 8.0, -8.0)

    def log_probs(self, head_out: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        target = (current + head_out[..., 0].long()) % self.config.vocab_size
        logits = torch.zeros(*target.shape, self.config.vocab_size)
        return logits.scatter(-1, target[..., None], 8.0).log_softmax(-1)


CONFIG = DynamicsConfig(vocab_size=32, num_actions=3, width=16, num_heads=2, num_layers=1, token_dim=8, window=4)


def test_actions_are_read_off_what_they_did() -> None:
    actions_BT = torch.randint(3, (4, 7), generator=torch.Generator().manual_seed(0))
    steps_BT = torch.cat([torch.zeros(4, 1, dtype=torch.long), actions_BT.cumsum(1)], dim=1)
    tokens_BTN = (steps_BT[..., None] + torch.arange(64)) % 32
    assert torch.equal(most_likely_actions(Counting(CONFIG), tokens_BTN), actions_BT)


def test_rows_do_not_depend_on_each_other_and_a_picture_has_no_action() -> None:
    torch.manual_seed(0)
    model = Dynamics(CONFIG).eval()
    tokens_BTN = torch.randint(32, (3, 6, 64))
    together = most_likely_actions(model, tokens_BTN)
    assert torch.equal(together[1:2], most_likely_actions(model, tokens_BTN[1:2]))
    assert most_likely_actions(model, tokens_BTN[:, :1]).shape == (3, 0)
