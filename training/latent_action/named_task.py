"""What the training loop learns once transitions have names: the encoder to tell them, the decoder to draw by them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from genie_env.frames import to_float
from genie_env.models.latent_action import LatentActionModel
from training.data.dataset import FrameDataset
from training.latent_action.pictures import calm_weights, moving_weights

LABEL_BATCH = 32
SMOOTHING = 0.05


class Names(NamedTuple):
    """Soft names of some transitions of a recording."""

    trust: float
    """Weight of the names, in [0, 1]: 1 without labels; with them how much better than chance the two agree."""

    indices_M: np.ndarray
    """Their numbers in the recording."""
    shares_MA: torch.Tensor


class Labels(NamedTuple):
    """Transitions whose effect is known."""

    data: FrameDataset
    indices_L: np.ndarray
    effects_L: torch.Tensor
    """The code that stands for the effect of each."""


class NamedTask:
    """Loss of encoder and decoder under given names, and under labels where there are some."""

    def __init__(
        self, model: LatentActionModel, data: FrameDataset, names: Names, labels: Labels | None, batch_size: int
    ) -> None:
        self.model, self._data, self._names, self._labels, self._batch_size = model, data, names, labels, batch_size

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Cross-entropy of the encoder against the names, and error of the next frame drawn under them."""
        del step, generator
        picks_B = rng.integers(len(self._names.indices_M), size=self._batch_size)
        shares_BA = self._names.shares_MA[torch.from_numpy(picks_B)]
        batch = self._data.at(self._names.indices_M[picks_B], self.model.config.context_frames)
        frames = self.model.shrink(to_float(batch.frames_BTHWC)).contiguous()
        past, after = frames[:, :-1], frames[:, -1]
        weights = moving_weights(frames[:, -2], after)
        errors_BA = (weights[:, None] * (self.model.predict_each(past) - after[:, None]).square()).sum((2, 3, 4))
        area_B = weights.sum((1, 2, 3))
        calm_B = calm_weights(area_B)
        logits_BA = self.model.logits(frames)
        naming = F.cross_entropy(logits_BA, shares_BA, label_smoothing=SMOOTHING)
        if self._labels is not None:
            # Where names are not to be trusted, the decoder draws by what the encoder has learned from labels.
            scores_BA = self._names.trust * (shares_BA + 1e-3).log() + logits_BA.detach().log_softmax(1)
            shares_BA = scores_BA.softmax(1)
        reconstruction = (calm_B[:, None] * shares_BA * errors_BA).sum() / (calm_B * area_B).sum()
        loss = reconstruction + 0.5 * self._names.trust * naming
        figures = {"reconstruction": reconstruction, "naming": naming}
        if self._labels is not None:
            figures["label_loss"] = self._label_loss(self._labels, rng)
            loss = loss + 0.5 * figures["label_loss"]
        return loss, {name: value.detach() for name, value in figures.items()}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Nothing: models are compared when a round is over."""
        del model
        return {}, {}

    def _label_loss(self, labels: Labels, rng: np.random.Generator) -> torch.Tensor:
        picks = rng.choice(len(labels.indices_L), size=min(LABEL_BATCH, len(labels.indices_L)))
        batch = labels.data.at(labels.indices_L[picks], self.model.config.context_frames)
        return F.cross_entropy(self.model.logits(to_float(batch.frames_BTHWC)), labels.effects_L[picks])
