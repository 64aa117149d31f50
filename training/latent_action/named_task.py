"""Encoder and decoder learn the names of transitions: the one to tell them, the other to draw by them.

First of the transitions that have one, also shown elsewhere in the picture; then of the others as well, which the model
names itself: by what draws the next frame best, and by what the encoder says. Until then neither has seen where codes
can hardly be told apart, at a wall say, and carries there what it learned where they can.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from genie_env.models.latent_action import LatentActionModel
from training.data.dataset import FrameDataset
from training.engine.loop_config import LoopConfig
from training.latent_action.code_assignment import assign
from training.latent_action.drawings import draw
from training.latent_action.pictures import shifted

LABEL_BATCH = 32
SMOOTHING = 0.05
ALONE = 0.6
"""Share of the updates that learn from named transitions alone."""
TRUST = 1.5
"""For how many nats each nat of the encoder's counts where a transition has no name."""
UNNAMED = 0.5
"""Share of a batch, after that, whose transitions the model names itself."""


class Names(NamedTuple):
    """Soft names of some transitions of a recording."""

    trust: float
    """Weight of the names, in [0, 1]: 1 without labels; with them how much better than chance the two agree."""

    indices_M: np.ndarray
    """Their numbers in the recording."""
    shares_MA: torch.Tensor
    place_M2: torch.Tensor
    """Row and column of what the codes change, in pixels of the model's pictures."""
    unnamed_N: np.ndarray
    """Numbers of transitions without a name; where there are none, nothing need be carried to them."""


class Labels(NamedTuple):
    """Transitions whose effect is known."""

    data: FrameDataset
    indices_L: np.ndarray
    effects_L: torch.Tensor
    """The code that stands for the effect of each."""


class NamedTask:
    """Loss of encoder and decoder under given names, and under labels where there are some."""

    def __init__(
        self, model: LatentActionModel, data: FrameDataset, names: Names, labels: Labels | None, loop: LoopConfig
    ) -> None:
        self.model, self._data, self._names, self._labels, self._loop = model, data, names, labels, loop

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Cross-entropy of the encoder against the names, and error of the next frame drawn under them."""
        del generator
        names = self._names
        joined = len(names.unnamed_N) and step >= ALONE * self._loop.n_updates
        others = round(UNNAMED * self._loop.batch_size) if joined else 0
        named = self._loop.batch_size - others
        picks = rng.integers(len(names.indices_M), size=named)
        indices_B = names.indices_M[picks]
        if others:
            indices_B = np.concatenate([indices_B, rng.choice(names.unnamed_N, size=others)])
        batch = self._data.at(indices_B, self.model.config.context_frames)
        frames = self.model.see(batch.frames_BTHWC).contiguous()
        if len(names.unnamed_N):
            frames = torch.cat([shifted(frames[:named], names.place_M2[torch.from_numpy(picks)], rng), frames[named:]])
        drawn, logits_BA = draw(self.model, frames), self.model.logits(frames)
        shares_BA = names.shares_MA[torch.from_numpy(picks)].to(frames.device)
        if others:
            # Compared in one batch with transitions that are clear, drawings that are alike leave a name open.
            own_BA = assign(drawn.errors_BK.detach(), logits_BA.detach(), TRUST, even=False)
            shares_BA = torch.cat([shares_BA, own_BA[named:]])
        naming = F.cross_entropy(logits_BA, shares_BA, label_smoothing=SMOOTHING)
        if self._labels is not None:
            # Where names are not to be trusted, the decoder draws by what the encoder has learned from labels.
            scores_BA = names.trust * (shares_BA + 1e-3).log() + logits_BA.detach().log_softmax(1)
            shares_BA = scores_BA.softmax(1)
        reconstruction = drawn.reconstruction(shares_BA)
        loss = reconstruction + 0.5 * names.trust * naming
        figures = {"reconstruction": reconstruction, "naming": naming}
        if self._labels is not None:
            figures["label_loss"] = self._label_loss(self._labels, rng)
            loss = loss + 0.5 * figures["label_loss"]
        return loss, {name: value.detach() for name, value in figures.items()}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Nothing: models are compared when the names are learned."""
        del model
        return {}, {}

    def _label_loss(self, labels: Labels, rng: np.random.Generator) -> torch.Tensor:
        picks = rng.choice(len(labels.indices_L), size=min(LABEL_BATCH, len(labels.indices_L)))
        batch = labels.data.at(labels.indices_L[picks], self.model.config.context_frames)
        return F.cross_entropy(
            self.model.logits(self.model.see(batch.frames_BTHWC)), labels.effects_L[picks].to(self.model.device)
        )
