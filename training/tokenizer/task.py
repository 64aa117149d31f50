"""What the training loop learns when it makes a video tokenizer, and what trains each kind of it.

A kind of your own is trained by the function that it was registered with: it is given the settings and the recording,
and returns the trained network. It may hand a task of its own to :func:`training.engine.loop.fit`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm
from tyro.conf import OmitArgPrefixes

from genie_env.config import TokenizerConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.frames import grid, to_float
from genie_env.models.registry import TOKENIZERS
from genie_env.models.tokenizer import FSQTokenizer, PatchCodebook, Tokenizer, to_patches, unique_rows
from training.data.dataset import FrameDataset, background
from training.engine.adversarial import AdversarialConfig, Judgement, adversarial_loss, judge
from training.engine.loop import LoopConfig, fit
from training.engine.optimization import seeded
from training.engine.stage import Stage, run_stage, trainer_of
from training.engine.task import Opponent
from training.tokenizer.discriminator import PatchDiscriminator
from training.tokenizer.losses import density_weights, foreground, instability, weighted_l1_l2


@dataclass(frozen=True)
class TrainTokenizerConfig(AdversarialConfig):
    """Learn to turn frames into discrete tokens and back."""

    data: Path
    """Recording to learn from."""
    out: Path
    """Folder for checkpoint, logs and the finished model."""
    model: OmitArgPrefixes[TokenizerConfig] = TokenizerConfig()
    """Kind and size of the tokenizer."""
    loop: OmitArgPrefixes[LoopConfig] = LoopConfig(n_updates=4000, batch_size=32, learning_rate=1e-3)
    """How long and how fast to train (fsq only)."""


def fit_codebook(store: EpisodeStore, config: TokenizerConfig) -> PatchCodebook:
    """The ``vocab_size`` most frequent patches of the training episodes."""
    tokenizer = PatchCodebook(config)
    patches, counts = [], []
    for _, arrays in tqdm(store.episodes("train"), total=len(store.split("train")), desc="codebook", unit="episode"):
        rows_MK = to_patches(torch.from_numpy(np.array(arrays["frames"])), config.patch_size).flatten(0, 1)
        distinct_UK, where_M = unique_rows(rows_MK)
        patches.append(distinct_UK)
        counts.append(torch.bincount(where_M, minlength=len(distinct_UK)))
    distinct_UK, where_M = unique_rows(torch.cat(patches))
    totals_U = torch.zeros(len(distinct_UK), dtype=torch.long).index_add_(0, where_M, torch.cat(counts))
    best = totals_U.argsort(descending=True, stable=True)[: config.vocab_size]
    # A game with fewer patches than codes leaves the rest at zero (black): harmless, never the nearest by chance.
    tokenizer.patches_VK[: len(best)] = distinct_UK[best]
    kept = totals_U[best].sum() / totals_U.sum()
    tqdm.write(f"codebook: {len(best)} of {len(distinct_UK)} distinct patches, {kept:.4%} of all patches exact")
    return tokenizer


STABILITY = {"patches": 0.02, "overlapping": 0.1}
"""Weight of :func:`instability` by kind of encoder. Where encoders overlap a fifth of it leaves three times as many
flips and draws one decibel better."""


class FSQTask:
    """Loss and evaluation of the convolutional tokenizer."""

    def __init__(self, config: TrainTokenizerConfig, store: EpisodeStore) -> None:
        self.config = config
        with seeded(config.loop.seed):
            self.model: nn.Module = FSQTokenizer(config.model)
            if config.adversarial_weight:
                self.opponent = Opponent(PatchDiscriminator(), config.adversarial_rate)
        self._train, self._test = FrameDataset(store, "train"), FrameDataset(store, "test")
        self._background = to_float(torch.from_numpy(background(store)))

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Reconstruction in which every object counts about the same, and what stays as it is keeps its token.

        A batch is pairs of consecutive frames.
        """
        assert isinstance(self.model, FSQTokenizer)
        batch_size, progress = self.config.loop.batch_size, step / self.config.loop.n_updates
        pairs_P2CHW = to_float(self._train.transitions(rng, -(-batch_size // 2), context=1).frames_BTHWC)
        frames = pairs_P2CHW.flatten(0, 1)
        mask = foreground(frames, self._background)
        latents = self.model.latents(frames)
        drawn = self.model.draw(latents)
        unstable = instability(self.model.quantizer.bound(latents).unflatten(0, (-1, 2)), pairs_P2CHW)
        loss = weighted_l1_l2(drawn, frames, density_weights(mask))
        # The single worst pixels are what the eye notices (arXiv 2406.19320 adds such a term).
        worst = (drawn.float() - frames).square().mean(1).flatten(1).topk(8, dim=1).values.mean()
        figures = {"weighted_error": loss, "worst_pixels": worst, "instability": unstable}
        figures = {name: value.detach() for name, value in figures.items()}
        loss = loss + 0.02 * worst + STABILITY[self.config.model.encoder] * unstable
        if not self.config.has_discriminator(progress):
            return loss, figures
        network, weight = self.opponent.network, self.config.adversarial_weight
        judged = judge(network, drawn) if self.config.discriminator_teaches(progress) else None
        scores = Judgement(network(frames), network(drawn.detach()), judged)
        loss, others = adversarial_loss(loss, scores, self.model.last_layer, weight)
        return loss, {**figures, **others}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """PSNR over all pixels and over the foreground, and pictures of both."""
        assert isinstance(model, Tokenizer)
        frames_BHWC = self._test.frames(np.random.default_rng(0), 256)
        drawn_BHWC = model.decode(model.encode(frames_BHWC))
        error = (drawn_BHWC.float() - frames_BHWC).square().mean(-1)
        mask = foreground(to_float(frames_BHWC), self._background)[:, 0]
        figures = {"psnr": _psnr(error.mean()), "foreground_psnr": _psnr((error * mask).sum() / mask.sum())}
        picture = grid([list(x[:6].numpy()) for x in (frames_BHWC, drawn_BHWC)])
        return figures, {"tokenizer/real_reconstructed": picture}


def _psnr(mse: torch.Tensor) -> float:
    return float(10 * torch.log10(255.0**2 / mse.clamp_min(1e-9)))


def train_fsq(config: TrainTokenizerConfig, store: EpisodeStore) -> nn.Module:
    """Train the convolutional tokenizer, or go on."""
    return fit(FSQTask(config, store), config.loop, config.out, "tokenizer", config)


TRAINERS: dict[str, Callable[[TrainTokenizerConfig, EpisodeStore], nn.Module]] = {
    "codebook": lambda config, store: fit_codebook(store, config.model),
    "fsq": train_fsq,
}
"""How each kind of this project is trained; others bring their trainer with them."""


def train(config: TrainTokenizerConfig) -> Any:
    """Train, or resume, and save the finished tokenizer in ``config.out``.

    Raises:
        ValueError: if the recording cannot be read, or nothing trains this kind of tokenizer.
    """
    config = replace(config, model=TokenizerConfig.from_json(config.model.to_json()))
    trainer = trainer_of("tokenizer", config.model.kind, TOKENIZERS, TRAINERS)
    return run_stage(config, lambda: (trainer(config, EpisodeStore(config.data)), config.model))


STAGE = Stage("tokenizer", TrainTokenizerConfig, train, {"data": "record"}, network="tokenizer")
