"""Dynamics: past tokens and an action -> the next frame's tokens.

A *trunk* reads each frame once, with attention within the frame and over time, and a small *head* turns its
features into the next frame's tokens. The head also sees those next tokens that are already decided (the rest are
masked, as in MaskGIT, arXiv 2202.04200), so uncertain tokens can be drawn one after another at the price of the
head alone: a ball is then neither split nor doubled. With nothing decided it is one parallel pass.

Most tokens stay what they are, so each token's distribution has two parts: a gate, whether it stays, and over the
vocabulary, what it becomes if it does not. The vocabulary is looked at only where something may change.

Neighbouring tokens share one transformer position (``group``), which makes the network four times cheaper at the
same width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from genie_env.config import DynamicsConfig
from genie_env.nn.embeddings import half_whitened_components
from genie_env.nn.kv_cache import KVCache
from genie_env.nn.transformer import SpatialBlock, SpatioTemporalBlock

if TYPE_CHECKING:
    from genie_env.models.ensemble import DynamicsEnsemble


class Dynamics(nn.Module):
    """Spatio-temporal transformer with a masked decoding head."""

    def __init__(self, config: DynamicsConfig) -> None:
        super().__init__()
        self.config = config
        c, members = config, config.group**2
        self.mask_token = c.vocab_size
        self.embed = nn.Embedding(c.vocab_size + 1, c.token_dim)
        self.embed_action = nn.Embedding(c.num_actions, c.width)
        self.position = nn.Parameter(torch.empty(c.num_groups, c.width).normal_(std=0.5))
        self.enter = nn.Linear(members * c.token_dim, c.width, bias=False)
        self.blocks = nn.ModuleList([SpatioTemporalBlock(c.width, c.num_heads, c.window) for _ in range(c.num_layers)])
        self.enter_head = nn.Linear(members * c.token_dim, c.width, bias=False)
        self.head = nn.ModuleList([SpatialBlock(c.width, c.num_heads) for _ in range(c.head_layers)])
        self.norm = nn.LayerNorm(c.width, bias=False)
        self.leave = nn.Linear(c.width, members * (c.token_dim + 1), bias=False)
        self.bias_V = nn.Parameter(torch.zeros(c.vocab_size))
        self.stay_bias = nn.Parameter(torch.tensor(4.0))
        self._initialise()

    def _initialise(self) -> None:
        nn.init.normal_(self.embed.weight, std=self.config.token_dim**-0.5)
        nn.init.normal_(self.embed_action.weight, std=0.5)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
        # Embeddings have unit norm, as suits the output; on the way in they must not drown beside place and action.
        for entrance in (self.enter, self.enter_head):
            nn.init.normal_(entrance.weight, std=(self.config.token_dim / entrance.in_features) ** 0.5)
        # Residual branches begin at zero: at the start every block passes its input on unchanged.
        blocks: list[Any] = [*self.blocks, *self.head]
        for block in blocks:
            for branch in ("space", "time"):
                if hasattr(block, branch):
                    nn.init.zeros_(getattr(block, branch).out.weight)
            nn.init.zeros_(block.mlp.down.weight)
        nn.init.normal_(self.leave.weight, std=0.02)

    @torch.no_grad()
    def init_embedding_from_descriptors(self, descriptors_VK: torch.Tensor) -> None:
        """Let tokens that look alike begin with alike embeddings."""
        components_VC = half_whitened_components(descriptors_VK, self.config.token_dim)
        self.embed.weight[:-1, : components_VC.shape[1]] = components_VC * self.config.token_dim**-0.5

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.position.device

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The matrices between entrance and exit, which train best with Muon."""
        return [p for block in [*self.blocks, *self.head] for p in block.parameters() if p.ndim == 2]

    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        """Features of whole clips: frame t and the action taken there -> [B, T, G, D].

        Frame t sees frames t - window + 1 .. t in each layer, and further back through several.
        """
        x_BTGD = self._enter(tokens_BTN, actions_BT)
        for block in self.blocks:
            x_BTGD = block(x_BTGD)
        return x_BTGD

    def prefill(self, cache: KVCache, rows: torch.Tensor, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> None:
        """Make the cache's ``rows`` remember these frames and actions, and nothing else."""
        histories = []
        if tokens_BTN.shape[1]:
            x_BTGD = self._enter(tokens_BTN, actions_BT)
            blocks: list[Any] = [*self.blocks]
            for block in blocks:
                x_BTGD, keys_values = block.prefill(x_BTGD)
                histories.append(keys_values)
        cache.fill_rows(rows, histories)

    def step(self, cache: KVCache, tokens_BN: torch.Tensor, actions_B: torch.Tensor) -> torch.Tensor:
        """Features [B, G, D] of the present frame, which the cache then remembers. Equal to :meth:`trunk`."""
        x_BGD = self._enter(tokens_BN, actions_B)
        present, blocks = cache.present(), cast("list[Any]", self.blocks)
        for ring, block in zip(cache.rings, blocks, strict=True):
            x_BGD = block.step(x_BGD, ring, present)
        cache.advance()
        return x_BGD

    def decode(self, features_MGD: torch.Tensor, decided_MN: torch.Tensor) -> torch.Tensor:
        """The head's output for each token of the next frame.

        Args:
            features_MGD: of the trunk.
            decided_MN: tokens of the next frame, ``mask_token`` where still undecided.

        Returns:
            float [M, N, token_dim + 1], to be read by :meth:`stay_logits` and :meth:`log_probs`.
        """
        x_MGD = features_MGD + self.enter_head(self._group(self.embed(decided_MN)))
        for block in self.head:
            x_MGD = block(x_MGD)
        return self._ungroup(self.leave(self.norm(x_MGD)))

    def stay_logits(self, head_out: torch.Tensor) -> torch.Tensor:
        """Logit [...] of each token staying what it is, from :meth:`decode` [..., token_dim + 1]."""
        return head_out[..., -1].float() + self.stay_bias

    def change_log_probs(self, head_out: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [..., V] of what a token becomes, given that it does not stay ``current`` [...]."""
        logits = (head_out[..., :-1] @ self.embed.weight[:-1].T + self.bias_V).float()
        return logits.scatter(-1, current[..., None], -torch.inf).log_softmax(-1)

    def log_probs(self, head_out: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        """Log-probabilities [..., V] of each next token, from :meth:`decode` and the present tokens [...]."""
        stay = self.stay_logits(head_out)[..., None]
        change = self.change_log_probs(head_out, current) + F.logsigmoid(-stay)
        return change.scatter(-1, current[..., None], F.logsigmoid(stay))

    def empty_cache(self, rows: int) -> KVCache:
        """A cache for ``rows`` rollouts, on the model's device."""
        c = self.config
        places, head_width = c.num_groups * c.num_heads, c.width // c.num_heads
        return KVCache.empty(c.num_layers, rows, places, c.window, head_width, self.device)

    def _enter(self, tokens: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        x = self.enter(self._group(self.embed(tokens))) + self.position
        return x + self.embed_action(actions)[..., None, :]

    def _group(self, x: torch.Tensor) -> torch.Tensor:
        """[..., N, E] -> [..., G, group² * E]."""
        side, g = self.config.side // self.config.group, self.config.group
        return rearrange(x, "... (y i x j) e -> ... (y x) (i j e)", y=side, i=g, x=side, j=g)

    def _ungroup(self, x: torch.Tensor) -> torch.Tensor:
        """[..., G, group² * E] -> [..., N, E]."""
        side, g = self.config.side // self.config.group, self.config.group
        return rearrange(x, "... (y x) (i j e) -> ... (y i x j) e", y=side, i=g, x=side, j=g)


def head_outputs(
    model: Dynamics | DynamicsEnsemble,
    context_BTN: torch.Tensor,
    actions_BT: torch.Tensor,
    decided_BTN: torch.Tensor,
) -> torch.Tensor:
    """The head's output for the tokens of each next frame, [B, T, N, token_dim + 1]."""
    features = model.trunk(context_BTN, actions_BT)
    return model.decode(features.flatten(0, 1), decided_BTN.flatten(0, 1)).unflatten(0, features.shape[:2])


def parallel_log_probs(
    model: Dynamics | DynamicsEnsemble, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor
) -> torch.Tensor:
    """Log-probabilities [B, T, N, V] of each next frame in one pass, nothing decided."""
    undecided = torch.full_like(tokens_BTN, model.mask_token)
    return model.log_probs(head_outputs(model, tokens_BTN, actions_BT, undecided), tokens_BTN)
