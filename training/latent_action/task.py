"""What the training loop learns when it makes a latent action model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tyro.conf import OmitArgPrefixes

from genie_env.config import LatentActionConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.frames import grid, to_float, to_uint8
from genie_env.models.latent_action import LatentActionModel
from training.data.dataset import FrameDataset, Transitions, effect_labels
from training.engine.loop import LoopConfig, fit
from training.engine.stages import save_stage
from training.latent_action.agreement import accuracy_after, hungarian_accuracy, normalised_mutual_information
from training.latent_action.code_assignment import assign


@dataclass(frozen=True)
class TrainLatentActionConfig:
    """Learn which of a few discrete actions turned one frame into the next."""

    data: Path
    """Recording to learn from."""
    out: Path
    """Folder for checkpoint, logs and the finished model."""
    model: OmitArgPrefixes[LatentActionConfig] = LatentActionConfig()
    """Size of the network and number of codes."""
    loop: OmitArgPrefixes[LoopConfig] = LoopConfig(n_updates=2500, batch_size=32, learning_rate=1e-3, weight_decay=1e-4)
    """How long and how fast to train."""
    label_fraction: float = 0.0
    """Share of transitions whose real action is used as a label (0: learn without labels)."""
    entropy_weight: float = 0.1
    """With labels: pulls the use of codes within a batch towards uniform, so that none dies early on."""
    foretelling: float = 0.65
    """Without labels: share of the training in which the decoder learns what the past alone foretells. Until that is
    settled a code says whatever tells most, such as where the opponent goes."""
    even: float = 0.6
    """Without labels: share of what is left, in which the codes are given to as many transitions each."""


class LatentActionTask:
    """Loss and evaluation of the latent action model."""

    def __init__(self, config: TrainLatentActionConfig) -> None:
        if not 0 <= config.label_fraction <= 1:
            raise ValueError(f"label_fraction: expected a number in [0, 1], got {config.label_fraction}")
        torch.manual_seed(config.loop.seed)
        self.config = config
        self.model = LatentActionModel(config.model)
        store = EpisodeStore(config.data)
        self._store = store
        self._train, self._test = FrameDataset(store, "train"), FrameDataset(store, "test")
        labelled = np.random.default_rng(config.loop.seed).random(len(self._train)) < config.label_fraction
        self._labelled = np.flatnonzero(labelled)
        effects = len(set(store.manifest.source.effects))
        if len(self._labelled) and effects > config.model.num_actions:
            raise ValueError(f"labels name {effects} effects, the model has only {config.model.num_actions} codes")

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Draw the next frame from past and code; with or without labels to say what codes mean."""
        batch = self._train.transitions(rng, self.config.loop.batch_size, self.config.model.context_frames)
        frames = self.model.shrink(to_float(batch.frames_BTHWC)).contiguous()
        if len(self._labelled):
            return self._guided(frames, step, rng)
        return self._assigned(frames, step / self.config.loop.n_updates, generator)

    def _guided(self, frames: torch.Tensor, step: int, rng: np.random.Generator) -> tuple[torch.Tensor, dict]:
        """The encoder names the code, helped by a few labels."""
        config = self.config
        output = self.model(frames)
        before, after = frames[:, -2], frames[:, -1]
        weights = _moving_weights(before, after)
        reconstruction = (weights * (output.prediction_BCHW - after).square()).sum() / weights.sum()
        # Without this term the first code to be useful takes every transition (dead codes).
        usage_A = output.logits_BA.softmax(-1).mean(0)
        entropy = -(usage_A * usage_A.clamp_min(1e-9).log()).sum() / np.log(config.model.num_actions)
        anneal = max(0.0, 1.0 - step / (0.3 * config.loop.n_updates))
        supervised, accuracy = self._supervised(rng)
        loss = reconstruction - config.entropy_weight * anneal * entropy + 0.3 * supervised
        return loss, {
            "reconstruction": reconstruction.detach(),
            "code_entropy": entropy.detach(),
            "label_loss": supervised.detach(),
            "label_accuracy": accuracy,
        }

    def _assigned(
        self, frames: torch.Tensor, progress: float, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Decoder and encoder agree on a code (:mod:`training.latent_action.code_assignment`); each learns it."""
        config, model = self.config, self.model
        past, after = frames[:, :-1], frames[:, -1]
        weights = _moving_weights(frames[:, -2], after)
        area_B = weights.sum((1, 2, 3))
        # A new screen changes everything at once and would drown all other transitions.
        calm_B = (3 * area_B.median() / area_B).clamp_max(1.0)
        if progress < config.foretelling:
            # A code that means nothing: the decoder learns to do without.
            codes = torch.randint(config.model.num_actions, (len(frames),), generator=generator).to(frames.device)
            errors_B = (weights * (model.predict(past, codes) - after).square()).sum((1, 2, 3))
            loss = (calm_B * errors_B).sum() / (calm_B * area_B).sum()
            return loss, {"reconstruction": loss.detach()}
        errors_BA = (weights[:, None] * (model.predict_each(past) - after[:, None]).square()).sum((2, 3, 4))
        logits_BA = model.logits(frames)
        through = (progress - config.foretelling) / (1 - config.foretelling)
        trust = min(1.0, 2 * through)
        shares_BA = assign(errors_BA.detach(), logits_BA.detach(), trust, even=through < config.even)
        reconstruction = (calm_B[:, None] * shares_BA * errors_BA).sum() / (calm_B * area_B).sum()
        naming = F.cross_entropy(logits_BA, shares_BA)
        figures = {"reconstruction": reconstruction.detach(), "naming": naming.detach()}
        return reconstruction + 0.5 * naming, figures

    def _supervised(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross-entropy of the code against the merged effect on a few labelled transitions (arXiv 2502.00379)."""
        picks = rng.choice(self._labelled, size=min(32, len(self._labelled)))
        batch = self._train.at(picks, self.config.model.context_frames)
        labels = effect_labels(self._store, batch.actions_B)
        logits = self.model.logits(to_float(batch.frames_BTHWC))
        return F.cross_entropy(logits, labels), (logits.argmax(-1) == labels).float().mean()

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Code usage, agreement with the real effects, and what the code is worth to the decoder."""
        assert isinstance(model, LatentActionModel)
        rng = np.random.default_rng(0)
        batches = [self._test.transitions(rng, 256, self.config.model.context_frames) for _ in range(4)]
        return agreement(model, self._store, batches), {"lam/real_drawn": _strip(model, batches[0])}


def agreement(model: LatentActionModel, store: EpisodeStore, batches: list[Transitions]) -> dict[str, float]:
    """Figures of the three known failures: ignored code, dead codes, code that does not mean the action."""
    codes, effects, before, moved_inferred, moved_random = [], [], [], [], []
    generator = torch.Generator().manual_seed(0)
    for batch in batches:
        frames = model.shrink(to_float(batch.frames_BTHWC))
        output = model(frames)
        random = torch.randint(model.config.num_actions, output.codes_B.shape, generator=generator)
        weights = _moving_weights(frames[:, -2], frames[:, -1])
        for codes_B, errors in ((output.codes_B, moved_inferred), (random, moved_random)):
            error = (model.predict(frames[:, :-1], codes_B) - frames[:, -1]).square()
            errors.append(((weights * error).sum() / weights.sum()).item() / 3)
        codes.append(output.codes_B)
        effects.append(effect_labels(store, batch.actions_B))
        # Index -1 is any effect: a few beginnings of episodes.
        before.append(effect_labels(store, batch.before_B))
    codes_M, effects_M = torch.cat(codes).numpy(), torch.cat(effects).numpy()
    usage = np.bincount(codes_M, minlength=model.config.num_actions) / len(codes_M)
    return {
        "hungarian_accuracy": hungarian_accuracy(codes_M, effects_M),
        "accuracy_after": accuracy_after(codes_M, effects_M, torch.cat(before).numpy()),
        "nmi": normalised_mutual_information(codes_M, effects_M),
        "least_used_code": float(usage.min()),
        "delta_psnr": float(10 * np.log10(np.mean(moved_random) / np.mean(moved_inferred))),
    }


def _moving_weights(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """1 where the picture changes, 1/50 elsewhere: the rest of the picture needs no action."""
    changed = ((after - before).abs().amax(1, keepdim=True) > 0.05).float()
    return changed + 0.02 * (1 - changed)


def _strip(model: LatentActionModel, batch: Transitions) -> np.ndarray:
    frames = model.shrink(to_float(batch.frames_BTHWC[:6]))
    rows = [to_uint8(frames[:, -2]), to_uint8(frames[:, -1]), to_uint8(model(frames).prediction_BCHW)]
    return grid([list(row.numpy()) for row in rows])


def train(config: TrainLatentActionConfig) -> LatentActionModel:
    """Train, or resume, and save the finished model in ``config.out``."""
    model = fit(LatentActionTask(config), config.loop, config.out, "latent action")
    assert isinstance(model, LatentActionModel)
    save_stage(config.out, model, config.model)
    return model
