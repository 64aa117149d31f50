"""What the training loop learns when it makes a dynamics model, and what trains each kind of it.

A kind of your own is trained by the function that it was registered with: it is given the settings, whose ``model`` has
the sizes of the tokens, and the tokens, and returns the trained network. It may hand a task of its own to
:func:`training.engine.loop.fit`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tyro.conf import OmitArgPrefixes

from genie_env.config import DynamicsConfig, DynamicsShape, EnsembleConfig
from genie_env.models.dynamics import Dynamics, head_outputs, parallel_log_probs
from genie_env.models.ensemble import DynamicsEnsemble, trunks_and_heads
from genie_env.models.protocols import VideoTokenizer
from genie_env.models.registry import DYNAMICS, make_dynamics
from training.data.dataset import ClipBatch, TokenDataset
from training.data.token_store import TokenStore, sized
from training.data.tokenize_episodes import TokenizeConfig, tokenize_once
from training.dynamics.corruption import corrupt_context
from training.dynamics.discriminator import ClipDiscriminator, judge_dreams
from training.dynamics.loss import Forward, TokenLoss, mask_targets, next_frame_loss
from training.dynamics.loss_draws import Draw, LossDraws
from training.dynamics.pictures import dream_strip
from training.dynamics.scheduled_sampling import DreamedContext, ScheduledSamplingConfig, dream_context
from training.engine.adversarial import AdversarialConfig, adversarial_loss
from training.engine.distributed import training_device
from training.engine.loop import LoopConfig, fit
from training.engine.optimization import seeded
from training.engine.stage import Stage, load_network, run_stage, trainer_of
from training.engine.task import Opponent


@dataclass(frozen=True)
class TrainDynamicsConfig(AdversarialConfig):
    """Learn to predict the next frame's tokens from past tokens and latent actions."""

    tokens: Path | None = None
    """Tokens to learn from, made by ``training.tokenize``; None makes them from the recording, in ``out``, with the
    tokenizer and the latent action model."""
    out: Path = Path("runs/dynamics")
    """Folder for checkpoint, logs and the finished model."""
    model: OmitArgPrefixes[DynamicsShape] = DynamicsShape()
    """Kind and size of the network; vocabulary, tokens of a frame and actions are those of the tokens."""
    loop: OmitArgPrefixes[LoopConfig] = LoopConfig(
        n_updates=12_500, batch_size=4, learning_rate=3e-3, muon_rate=0.02, warmup=100, decay_share=0.4, ema=0.999
    )
    """How long and how fast to train."""
    clip_length: int = 24
    """Frames of a clip; longer than the window, so that layers learn to pass on what is older."""
    loss_share: float = 0.0
    """Share of each batch's clips that are drawn by the loss they last had, at most eight times as often as evenly; the
    rest is drawn evenly. 0: all."""
    loss_correction: bool = False
    """Let clips that are drawn more often count as much less, so that what is learned in the end is the same."""
    corruption: float = 0.1
    """Highest share of corrupted context tokens (0: none)."""
    changed_weight: float = 2.0
    """How much more a token counts that the model expects to change."""
    scheduled_sampling: ScheduledSamplingConfig = ScheduledSamplingConfig()
    """Contexts that the model dreamed itself."""
    parallel_share: float = 0.6
    """Share of frames predicted in one pass with nothing decided; the rest has a random part decided."""
    video_tokenizer_path: Path | None = None
    """Finished tokenizer whose tokens' looks the embeddings begin from; without it they begin at random, and no
    pictures are drawn."""
    lam_path: Path | None = None
    """Finished latent action model, which infers the actions where there are no tokens yet."""
    data: Path | None = None
    """Recording that the tokens were made from: adds the real frames to the pictures."""
    start_from: Path | None = None
    """Finished dynamics of the same size whose weights training begins with."""
    compile: bool = False
    """``torch.compile`` trunk and head: a minute or two at the start, a tenth (float32) to a third faster on a CPU."""
    device: str = "auto"
    """Torch device; ``auto`` is the process's own GPU where there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.loss_share < 1:
            raise ValueError(f"loss_share: expected a number from 0 to below 1, got {self.loss_share!r}")
        if self.loss_correction and not self.loss_share:
            raise ValueError("loss_correction: expected a loss_share > 0, whose draws are corrected; got 0")
        if not self.adversarial_weight:
            return
        dreams = self.scheduled_sampling
        if dreams.method != "self_rollout":
            raise ValueError(
                f"adversarial_weight: expected scheduled_sampling.method self_rollout, whose dreams are judged, got "
                f"{dreams.method}"
            )
        if self.compile:
            raise ValueError("adversarial_weight: expected compile off; gradients are compared in parts of the graph")


class DynamicsTask:
    """Loss and evaluation of the dynamics."""

    def __init__(self, config: TrainDynamicsConfig) -> None:
        if config.tokens is None:
            raise ValueError("tokens: expected a folder made by training.tokenize")
        self.config, store = config, TokenStore(config.tokens)
        size = sized(config.model, DynamicsConfig, store)
        with seeded(config.loop.seed):
            self.model: Dynamics | DynamicsEnsemble = make_dynamics(size)
        self._tokenizer: VideoTokenizer | None = None
        if config.video_tokenizer_path is not None:
            tokenizer, _ = load_network(config.video_tokenizer_path, "tokenizer")
            self.model.init_embedding_from_descriptors(tokenizer.descriptors())
            self._tokenizer = tokenizer
        if config.start_from is not None:
            begin_from(self.model, config.start_from, size)
        self._device = training_device(config.device)
        self.model.to(self._device)
        if config.adversarial_weight:
            assert isinstance(self.model, Dynamics)
            with seeded(config.loop.seed):
                discriminator = ClipDiscriminator(size)
            discriminator.init_embedding(self.model)
            self.opponent = Opponent(discriminator.to(self._device), config.adversarial_rate)
        self._forward: Forward = torch.compile(head_outputs, dynamic=False) if config.compile else head_outputs
        self._train, self._test = TokenDataset(store, "train"), TokenDataset(store, "test")
        self.memory: LossDraws | None = None
        if config.loss_share:
            lengths = [len(episode.tokens_TN) for episode in self._train.episodes]
            self.memory = LossDraws(lengths, config.clip_length, config.loss_share)

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Negative log-likelihood of every next frame given its past, from a corrupted or dreamed context."""
        config, progress = self.config, step / self.config.loop.n_updates
        draw = self._draw(rng)
        clip = self._train.take(draw.picks_B2, config.clip_length + 1).to(self._device)
        context = self._context(clip, progress, generator)
        target_BTN = clip.tokens_BTN[:, 1:]
        decided_BTN = mask_targets(target_BTN, config.parallel_share, self.model.mask_token, generator)
        if context.valid_BT is not None:
            # What is wholly decided is not learned.
            decided_BTN = torch.where(context.valid_BT[..., None], decided_BTN, target_BTN)
        result = self.frame_loss(draw, clip, context.tokens_BTN, decided_BTN)
        loss = result.loss
        figures = {"changed_accuracy": result.changed_accuracy, "count": result.num_changed, **context.figures}
        if self.memory is not None:
            # What follows a dreamed frame says more of the dream than of the place.
            counts_BT = (decided_BTN == self.model.mask_token).sum(-1) * context.is_real()
            figures["noted"] = self.memory.noted(draw.picks_B2, result.nats.sum(-1), counts_BT)
            figures["known_share"] = self.memory.known_share()
        if context.dreamed is not None and config.has_discriminator(progress):
            assert isinstance(self.model, Dynamics)
            model, real_BTN = self.model if config.discriminator_teaches(progress) else None, clip.tokens_BTN[:, :-1]
            scores = judge_dreams(model, self.opponent.network, real_BTN, clip.actions_BT, context.dreamed)
            loss, others = adversarial_loss(loss, scores, self.model.leave.weight, config.adversarial_weight)
            figures |= others
        return loss, figures

    def _draw(self, rng: np.random.Generator) -> Draw:
        config = self.config
        if self.memory is None:
            return Draw(self._train.picks(rng, config.loop.batch_size, config.clip_length + 1))
        draw = self.memory.draw(rng, config.loop.batch_size)
        return draw if config.loss_correction else Draw(draw.picks_B2)

    def _context(self, clip: ClipBatch, progress: float, generator: torch.Generator) -> DreamedContext:
        """Real frames, corrupted in some rows; the others end in dreamed ones."""
        dreams, real_BTN = self.config.scheduled_sampling, clip.tokens_BTN[:, :-1]
        tokens_BTN = corrupt_context(real_BTN, self.config.corruption, self.model.config.vocab_size, generator)
        if dreams.teacher_forcing_ratio(progress) == 1:
            return DreamedContext(tokens_BTN, torch.zeros(len(tokens_BTN), dtype=torch.bool, device=self._device), {})
        dream = dream_context(self.model, real_BTN, clip.actions_BT, dreams, progress, generator)
        return dream._replace(tokens_BTN=torch.where(dream.dreamed_B[:, None, None], dream.tokens_BTN, tokens_BTN))

    def frame_loss(
        self, draw: Draw, clip: ClipBatch, context_BTN: torch.Tensor, decided_BTN: torch.Tensor
    ) -> TokenLoss:
        """Loss of the next frames of clips that were drawn so."""
        importance_B = None if draw.importance_B is None else draw.importance_B.to(self._device)
        weight, forward = self.config.changed_weight, self._forward
        return next_frame_loss(self.model, clip, context_BTN, decided_BTN, weight, forward, importance_B)

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Changed-token accuracy of one parallel pass from real context, on held-out episodes."""
        assert isinstance(model, (Dynamics, DynamicsEnsemble))
        clip = self._test.clips(np.random.default_rng(0), 32, self.config.clip_length + 1).to(self._device)
        hits = changed = likely = 0.0
        for rows in torch.arange(32).split(8):
            part = ClipBatch(*(x[rows] for x in clip))
            log_probs = parallel_log_probs(model, part.tokens_BTN[:, :-1], part.actions_BT)
            target, current = part.tokens_BTN[:, 1:], part.tokens_BTN[:, :-1]
            moved = target != current
            hits += float((log_probs.argmax(-1) == target)[moved].sum())
            likely += float(log_probs.gather(-1, target[..., None]).sum())
            changed += float(moved.sum())
        figures = {"changed_accuracy": hits / changed, "nats_per_frame": -likely / (32 * self.config.clip_length)}
        if self._tokenizer is None:
            return figures, {}
        length, sampling, data = self.config.clip_length, self.config.scheduled_sampling.sampling, self.config.data
        strip = dream_strip(model, self._tokenizer, self._test, length, sampling, data)
        return figures, {"dynamics/real_reconstructed_dreamed": strip}


def begin_from(model: Dynamics | DynamicsEnsemble, folder: Path, size: DynamicsConfig) -> None:
    """Give a model the weights of a finished one; every member of an ensemble those of a finished dynamics.

    Raises:
        ValueError: if it is none of that size.
    """
    earlier, found = load_network(folder, "dynamics")
    if found == size:
        model.load_state_dict(earlier.state_dict())
    elif isinstance(size, EnsembleConfig) and found == size.member:
        for member in trunks_and_heads(model)[1]:
            member.load_state_dict(earlier.state_dict())
    else:
        raise ValueError(f"start_from: expected a dynamics of the size {size}, found {found} in {folder}")


def train_transformer(config: TrainDynamicsConfig, store: TokenStore) -> nn.Module:
    """Train the transformer, or go on."""
    return fit(DynamicsTask(config), config.loop, config.out, "dynamics", config)


def train_ensemble(config: TrainDynamicsConfig, store: TokenStore) -> nn.Module:
    """Train the members of an ensemble, or go on."""
    # Imported here: it trains members by the tasks of this module.
    from training.dynamics.members import train_members

    return train_members(config)


TRAINERS: dict[str, Callable[[TrainDynamicsConfig, TokenStore], nn.Module]] = {
    "transformer": train_transformer,
    "ensemble": train_ensemble,
}
"""How each kind of this project is trained; others bring their trainer with them."""


def train(config: TrainDynamicsConfig) -> Any:
    """Train, or resume, and save the finished model in ``config.out``.

    Raises:
        ValueError: if an input cannot be read, a stated size is not that of the tokens, or nothing trains this kind.
    """
    store = TokenStore(config.tokens) if config.tokens is not None else tokenize_once(_tokenizing(config))
    size = sized(config.model, DynamicsConfig, store)
    trainer, settings = trainer_of("dynamics", size.kind, DYNAMICS, TRAINERS), replace(config, model=size)
    return run_stage(settings, lambda: (trainer(replace(settings, tokens=store.folder), store), size))


def _tokenizing(config: TrainDynamicsConfig) -> TokenizeConfig:
    data, tokenizer, lam = config.data, config.video_tokenizer_path, config.lam_path
    if data is None or tokenizer is None or lam is None:
        raise ValueError("tokens: expected --tokens, or what makes them: --data, --video-tokenizer-path, --lam-path")
    return TokenizeConfig(data, config.out / "tokens", tokenizer, lam)


STAGE = Stage(
    "dynamics",
    TrainDynamicsConfig,
    train,
    {"tokens": "tokenize", "video_tokenizer_path": "tokenizer", "data": "record"},
    network="dynamics",
)
