"""Training an ensemble: its members one after another, or the heads of one trunk together.

Networks are trained as if each were alone, with a seed of its own, in a folder of its own with its own checkpoint;
they share the tokens. A killed training goes on with the member it had reached. Heads are trained in one batch: each
learns from clips of its own, and the trunk from all of them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from genie_env.config import EnsembleConfig
from genie_env.models.ensemble import DynamicsEnsemble, trunks_and_heads
from training.data.dataset import ClipBatch
from training.dynamics.loss import TokenLoss, token_loss
from training.dynamics.loss_draws import Draw
from training.dynamics.task import DynamicsTask, TrainDynamicsConfig, train
from training.engine.loop import fit

STRETCH = 256
"""Frames of an episode that belong to the same heads: ten times a clip, so that few clips lie across."""


def train_members(config: TrainDynamicsConfig) -> DynamicsEnsemble:
    """Train an ensemble in ``config.out``, or go on; ``config.model`` is its size.

    Raises:
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP, after a checkpoint.
    """
    size = config.model
    assert isinstance(size, EnsembleConfig)
    if size.member_kind == "heads":
        ensemble = fit(HeadsTask(config), config.loop, config.out, "heads", config)
        assert isinstance(ensemble, DynamicsEnsemble)
        return ensemble
    members = [train(member_settings(config, size, index)) for index in range(size.members)]
    return DynamicsEnsemble(size, members).eval()


def member_settings(config: TrainDynamicsConfig, size: EnsembleConfig, index: int) -> TrainDynamicsConfig:
    """The settings of one member, which is a training like any other; the first has the seed that was given."""
    loop = replace(config.loop, seed=config.loop.seed if index == 0 else _seed(config.loop.seed, index))
    return replace(config, model=size.member, loop=loop, out=member_folder(config.out, index))


def member_folder(out: Path, index: int) -> Path:
    """Where a member is trained."""
    return out / f"member-{index}"


class HeadsTask(DynamicsTask):
    """Several heads on one trunk: each is judged on the stretches of play that are its own."""

    def __init__(self, config: TrainDynamicsConfig) -> None:
        if config.adversarial_weight:
            raise ValueError("adversarial_weight: expected member_kind networks, each with a discriminator; got heads")

        super().__init__(config)
        self._heads = trunks_and_heads(self.model)[1]
        trunk = self._heads[0].trunk
        # Heads are given other numbers of clips in every batch, which no compiler likes.
        self._trunk = torch.compile(trunk, dynamic=False) if config.compile else trunk

    def frame_loss(
        self, draw: Draw, clip: ClipBatch, context_BTN: torch.Tensor, decided_BTN: torch.Tensor
    ) -> TokenLoss:
        """Loss of all heads, each on its own clips, by the number of tokens that changed there."""
        owned_BK = torch.from_numpy(owners(draw.picks_B2, len(self._heads)))
        features = self._trunk(context_BTN, clip.actions_BT)
        parts, nats_BTN = [], torch.zeros_like(context_BTN, dtype=torch.float32)
        for head, owned_B in zip(self._heads, owned_BK.T, strict=True):
            rows_R = owned_B.nonzero()[:, 0].to(features.device)
            if not len(rows_R):
                continue
            decided = decided_BTN[rows_R].flatten(0, 1)
            head_out = head.decode(features[rows_R].flatten(0, 1), decided)
            context, target = (x[rows_R].flatten(0, 1) for x in (context_BTN, clip.tokens_BTN[:, 1:]))
            is_open, importance = decided == head.mask_token, None
            if draw.importance_B is not None:
                importance_R = draw.importance_B.to(features.device)[rows_R]
                importance = importance_R.repeat_interleave(context_BTN.shape[1])[:, None]
            changed_weight = self.config.changed_weight
            parts.append(token_loss(head, head_out, context, target, is_open, changed_weight, importance))
            # The mean of the heads that learn from a clip.
            share_R11 = owned_BK[rows_R.cpu()].sum(1).to(features.device)[:, None, None]
            nats_BTN.index_add_(0, rows_R, parts[-1].nats.unflatten(0, (len(rows_R), -1)) / share_R11)
        count = sum(part.num_changed for part in parts)
        loss, hits = (sum(getattr(p, x) * p.num_changed for p in parts) / count for x in ("loss", "changed_accuracy"))
        return TokenLoss(torch.as_tensor(loss), torch.as_tensor(hits), count, nats_BTN)


def owners(picks_B2: np.ndarray, heads: int) -> np.ndarray:
    """Which heads learn from which clips: bool [B, K], True for each with a chance of one half, for one at least.

    A hash of the episode and of the stretch of it decides, not a generator: what a head never saw, it never sees, and
    there the heads may differ (a bootstrap without replacement).

    Args:
        picks_B2: int, (episode, time) of each clip's beginning.
        heads: their number.
    """
    places_B = (picks_B2[:, 0].astype(np.int64) << 32) + picks_B2[:, 1] // STRETCH
    owned_BK = np.array([[_mixed(place, head) & 1 for head in range(heads)] for place in places_B.tolist()], bool)
    for row, place in enumerate(places_B.tolist()):
        if not owned_BK[row].any():
            owned_BK[row, _mixed(place, heads) % heads] = True
    return owned_BK


def _mixed(place: int, lane: int) -> int:
    """A hash of two integers, by the finaliser of SplitMix64 (Steele et al. 2014)."""
    mask = 2**64 - 1
    x = (place * 0x9E3779B97F4A7C15 + (lane + 1) * 0x3C79AC492BA7B653) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def _seed(seed: int, index: int) -> int:
    return int(np.random.default_rng([seed, index]).integers(2**31))
