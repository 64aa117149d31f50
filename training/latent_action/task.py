"""What the training loop learns when it makes a latent action model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tyro.conf import OmitArgPrefixes

from genie_env.config import AUTO, LatentActionConfig, LatentActionShape, require_num_actions
from genie_env.data.episodes import EpisodeStore
from genie_env.files.json_config import JsonConfig
from genie_env.frames import grid, to_uint8
from genie_env.models.latent_action import LatentActionModel
from training.data.dataset import FrameDataset, Transitions, effect_labels
from training.engine.distributed import training_device
from training.engine.loop import LoopConfig, fit
from training.engine.optimization import seeded
from training.engine.stage import (
    CONFIG,
    Stage,
    changed_settings,
    load_network,
    run_stage,
    save_network,
    settings_of,
)
from training.latent_action.agreement import accuracy_after, hungarian_accuracy, normalised_mutual_information
from training.latent_action.code_assignment import assign
from training.latent_action.drawings import draw
from training.latent_action.named_task import Labels
from training.latent_action.naming import NamingSettings, align
from training.latent_action.prototypes import measure_prototypes

LEARNED = "learned"
"""Folder of the model whose codes have no meaning yet."""


@dataclass(frozen=True)
class TrainLatentActionConfig(JsonConfig):
    """Learn which of a few discrete actions turned one frame into the next."""

    data: Path
    """Recording to learn from."""
    out: Path
    """Folder for checkpoint, logs and the finished model."""
    model: OmitArgPrefixes[LatentActionShape] = LatentActionShape()
    """Size of the network and number of codes."""
    loop: OmitArgPrefixes[LoopConfig] = LoopConfig(n_updates=2500, batch_size=32, learning_rate=1e-3, weight_decay=1e-4)
    """How long and how fast to train."""
    max_actions: int = 6
    """Where the number of codes is ``auto``: how many training begins with, and finds at most, 2 to 8."""
    label_fraction: float = 0.0
    """Share of transitions whose real action is used as a label, in [0, 1]; 0 learns from pictures alone."""
    labels: Path | None = None
    """Recording that the labels are taken from; the default is the one to learn from."""
    foretelling: float = 0.65
    """Share of the updates in which the decoder learns what the past alone foretells. Until that is settled a code
    says whatever tells most, such as where the opponent goes."""
    even: float = 0.6
    """Share of the updates after that, in which the codes are given to as many transitions each."""
    naming: bool = True
    """Name transitions by the effects of the codes, and learn the names; without, codes stay as learned, each free to
    mean something else after every action."""
    naming_updates: int = 2500
    """Updates in which a new encoder and decoder learn the names."""
    device: str = "auto"
    """Torch device; ``auto`` is the process's own GPU where there is one."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_fraction <= 1:
            raise ValueError(f"label_fraction: expected a number in [0, 1], got {self.label_fraction}")
        if self.labels is not None and not self.label_fraction:
            raise ValueError("labels: expected a label_fraction > 0, the share of that recording's labels to use")
        if self.label_fraction and not self.naming:
            raise ValueError("label_fraction: expected naming; labels are learned beside names")
        require_num_actions("max_actions", self.max_actions)
        if self.model.num_actions == AUTO and (self.label_fraction or not self.naming):
            raise ValueError(
                "num_actions: auto is for pictures alone, with naming; labels say how many effects there are; got "
                f"label_fraction {self.label_fraction} and naming {self.naming}"
            )

    def begun(self) -> LatentActionConfig:
        """The model that training begins with."""
        count = self.max_actions if self.model.num_actions == AUTO else self.model.num_actions
        return LatentActionConfig.from_json({**self.model.to_json(), "num_actions": count})


class LatentActionTask:
    """Loss and evaluation of the latent action model, before anything says what its codes mean."""

    def __init__(self, config: TrainLatentActionConfig) -> None:
        self.config = config
        with seeded(config.loop.seed):
            self.model = LatentActionModel(config.begun()).to(training_device(config.device))
        store = EpisodeStore(config.data)
        self._store = store
        self._train, self._test = FrameDataset(store, "train"), FrameDataset(store, "test")

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Draw the next frame from past and code, while nothing says yet what codes mean."""
        batch = self._train.transitions(rng, self.config.loop.batch_size, self.config.model.context_frames)
        frames = self.model.see(batch.frames_BTHWC).contiguous()
        return self._assigned(frames, step / self.config.loop.n_updates, generator)

    def _assigned(
        self, frames: torch.Tensor, progress: float, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Decoder and encoder agree on a code (:mod:`training.latent_action.code_assignment`); each learns it."""
        config, model = self.config, self.model
        if progress < config.foretelling:
            # A code that means nothing: the decoder learns to do without.
            codes = torch.randint(model.config.num_actions, (len(frames),), generator=generator).to(frames.device)
            loss = draw(model, frames, codes[:, None]).reconstruction(torch.ones_like(codes[:, None]))
            return loss, {"reconstruction": loss.detach()}
        drawn, logits_BA = draw(model, frames), model.logits(frames)
        through = (progress - config.foretelling) / (1 - config.foretelling)
        trust = min(1.0, 2 * through)
        shares_BA = assign(drawn.errors_BK.detach(), logits_BA.detach(), trust, even=through < config.even)
        reconstruction = drawn.reconstruction(shares_BA)
        naming = F.cross_entropy(logits_BA, shares_BA)
        figures = {"reconstruction": reconstruction.detach(), "naming": naming.detach()}
        return reconstruction + 0.5 * naming, figures

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Code usage, agreement with the real effects, and what the code is worth to the decoder."""
        assert isinstance(model, LatentActionModel)
        rng = np.random.default_rng(0)
        batches = [self._test.transitions(rng, 256, self.config.model.context_frames) for _ in range(4)]
        return agreement(model, self._store, batches), {"lam/real_drawn": _strip(model, batches[0])}


def agreement(model: LatentActionModel, store: EpisodeStore, batches: list[Transitions]) -> dict[str, float]:
    """Figures of the three known failures: ignored code, dead codes, code that does not mean the action.

    The last is left out where no actions are known.
    """
    codes, effects, before, moved_inferred, moved_random = [], [], [], [], []
    generator = torch.Generator().manual_seed(0)
    for batch in batches:
        frames = model.see(batch.frames_BTHWC)
        output = model(frames)
        random = torch.randint(model.config.num_actions, output.codes_B.shape, generator=generator).to(model.device)
        drawn = draw(model, frames, torch.stack([output.codes_B, random], dim=1))
        inferred_error, random_error = (drawn.errors_BK.sum(0) / drawn.area_B.sum() / 3).tolist()
        moved_inferred.append(inferred_error)
        moved_random.append(random_error)
        codes.append(output.codes_B.cpu())
        effects.append(effect_labels(store, batch.actions_B))
        # Index -1 is any effect: a few beginnings of episodes.
        before.append(effect_labels(store, batch.before_B))
    codes_M, effects_M = torch.cat(codes).numpy(), torch.cat(effects).numpy()
    usage = np.bincount(codes_M, minlength=model.config.num_actions) / len(codes_M)
    figures = {
        "least_used_code": float(usage.min()),
        "delta_psnr": float(10 * np.log10(np.mean(moved_random) / np.mean(moved_inferred))),
    }
    if not store.manifest.source.has_actions:
        return figures
    return {
        "hungarian_accuracy": hungarian_accuracy(codes_M, effects_M),
        "accuracy_after": accuracy_after(codes_M, effects_M, torch.cat(before).numpy()),
        "nmi": normalised_mutual_information(codes_M, effects_M),
        **figures,
    }


def _strip(model: LatentActionModel, batch: Transitions) -> np.ndarray:
    frames = model.see(batch.frames_BTHWC[:6])
    rows = [to_uint8(frames[:, -2]), to_uint8(frames[:, -1]), to_uint8(model(frames).prediction_BCHW)]
    return grid([list(row.cpu().numpy()) for row in rows])


def train(config: TrainLatentActionConfig) -> LatentActionModel:
    """Train, or resume, and save the finished model in ``config.out``: codes first, then what they are to mean."""

    def make() -> tuple[LatentActionModel, LatentActionConfig]:
        labels = _labels(config)
        model = _learned(config)
        data = FrameDataset(EpisodeStore(config.data), "train")
        if config.naming:
            held_out = FrameDataset(EpisodeStore(config.data), "test")
            loop = replace(config.loop, n_updates=config.naming_updates, decay_share=0.6, warmup=50)
            settings = NamingSettings(
                config.out / LEARNED,
                config.data,
                config.labels,
                config.label_fraction,
                merges=config.model.num_actions == AUTO,
            )
            model = align(model, data, held_out, labels, loop, config.out, settings)
        model = model.cpu()
        return model, replace(model.config, prototypes=measure_prototypes(model, data))

    return run_stage(config, make)


def _learned(config: TrainLatentActionConfig) -> LatentActionModel:
    """The model whose codes mean whatever draws best, made before or now."""
    folder = config.out / LEARNED
    if (folder / CONFIG).exists() and not changed_settings(folder, config):
        return load_network(folder, "latent_action")[0].to(training_device(config.device))
    model = fit(LatentActionTask(config), config.loop, folder, "latent action", config)
    assert isinstance(model, LatentActionModel)
    save_network(folder, model, model.config, settings_of(config))
    return model


def _labels(config: TrainLatentActionConfig) -> Labels | None:
    """Labels of a random share of a recording's transitions; None without any.

    Raises:
        ValueError: if they name more effects than the model has codes.
    """
    if not config.label_fraction:
        return None
    store = EpisodeStore(config.labels or config.data)
    if not store.manifest.source.has_actions:
        raise ValueError(f"label_fraction: expected a recording with actions, {store.folder} has none")
    data = FrameDataset(store, "train")
    indices = np.flatnonzero(np.random.default_rng(config.loop.seed).random(len(data)) < config.label_fraction)
    count = len(set(store.manifest.source.effects))
    if not len(indices):
        raise ValueError(f"label_fraction: {config.label_fraction} of {len(data)} transitions is none")
    if count > config.begun().num_actions:
        raise ValueError(f"labels name {count} effects, the model has only {config.begun().num_actions} codes")
    return Labels(data, indices, effect_labels(store, data.at(indices, 1).actions_B))


STAGE = Stage("latent_action", TrainLatentActionConfig, train, {"data": "record"}, network="latent_action")
