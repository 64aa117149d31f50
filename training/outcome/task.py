"""What the training loop learns when it makes an outcome head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tyro.conf import OmitArgPrefixes

from genie_env.config import OutcomeConfig, OutcomeShape, SamplingConfig
from genie_env.files.json_config import JsonConfig
from genie_env.models.outcome import OutcomeHead, outcome_chances
from training.data.dataset import ClipBatch, TokenDataset
from training.data.token_store import TokenStore, sized
from training.dynamics.corruption import corrupt_context
from training.engine.loop import LoopConfig, fit
from training.engine.optimization import seeded
from training.engine.stage import Stage, load_network, run_stage
from training.outcome.clips import OutcomeClips, dream_clips
from training.outcome.event_scores import EventScores

WINDOWS = 5
"""Windows of a clip, each one frame later than the one before it."""


@dataclass(frozen=True)
class TrainOutcomeConfig(JsonConfig):
    """Learn to read reward and termination from tokens."""

    tokens: Path
    """Folder of tokenized episodes."""
    out: Path
    """Folder for checkpoint, logs and the finished model."""
    model: OmitArgPrefixes[OutcomeShape] = OutcomeShape()
    """Size of the head, and the reward of each class."""
    loop: OmitArgPrefixes[LoopConfig] = LoopConfig(n_updates=2500, batch_size=64, learning_rate=1e-3, weight_decay=0.05)
    """How long and how fast to train; a batch counts clips of several transitions."""
    event_share: float = 0.5
    """Share of clips drawn around rewards, ends and beginnings; the loss is corrected for it."""
    corruption: float = 0.01
    """Highest share of corrupted tokens."""
    foreign: float = 0.1
    """Highest share of places whose tokens come from another clip, or are renamed throughout the clip."""
    frozen: float = 0.5
    """Highest share of places that are shown without change. A point is then read from all that tells of it, the
    ball's leaving too, and not from the score alone, which is what a dream draws worst."""
    dynamics_path: Path | None = None
    """Finished stage of the dynamics, whose dreams are learned from too; None: recorded frames only."""
    dreamed_share: float = 0.3
    """Share of clips whose last frames are dreamed."""
    dreams: int = 3000
    """Dreamed clips, made once at the beginning."""
    tolerance: int = 3
    """A dream has left the recording when more tokens of its last frame than this are wrong."""
    sampling: SamplingConfig = SamplingConfig()
    """How dreams are drawn."""


class Labels(NamedTuple):
    """What happened in the last transition of each of a clip's W windows."""

    classes_BW: torch.Tensor
    ended_BW: torch.Tensor
    before_B: torch.Tensor
    """Class of the transition before the first window's."""


class OutcomeTask:
    """Loss and evaluation of the outcome head."""

    def __init__(self, config: TrainOutcomeConfig) -> None:
        store = TokenStore(config.tokens)
        size = sized(config.model, OutcomeConfig, store)
        self.config, self._vocab_size, context = config, size.vocab_size, size.context_frames
        with seeded(config.loop.seed):
            self.model: nn.Module = OutcomeHead(size)
        self._nothing = config.model.rewards.index(0.0) if 0.0 in config.model.rewards else None
        self._train, self._test = TokenDataset(store, "train"), TokenDataset(store, "test")
        shape = (context + WINDOWS - 1, max(0, context - 2), config.event_share, WINDOWS - 1)
        self._clips = OutcomeClips(self._train, *shape)
        self._reward_offset, self._end_offset = self._prior_offsets()
        self._dreamed = self._dreamed_test = None
        if config.dynamics_path is not None:
            dynamics, _ = load_network(config.dynamics_path, "dynamics")
            rng = np.random.default_rng(2)
            self._dreamed = dream_clips(dynamics, config.sampling, self._clips, rng, config.dreams, config.tolerance)
            held_out = OutcomeClips(self._test, *shape)
            self._dreamed_test = dream_clips(
                dynamics, config.sampling, held_out, rng, config.dreams // 3, config.tolerance
            )

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Cross-entropy of reward class and termination of every window's last transition."""
        config = self.config
        clip = self._batch(rng)
        windows_BWCN, labels = self._windows(clip)
        windows_BWCN = self._disguise(windows_BWCN, generator)
        windows_MCN = corrupt_context(windows_BWCN.flatten(0, 1), config.corruption, self._vocab_size, generator)
        logits = self.model(windows_MCN)
        # Events are drawn more often than they happen. Training with the logarithm of that ratio added to the logits
        # leaves the head itself calibrated to how often they really happen (logit adjustment, arXiv 2007.07314).
        shape = labels.classes_BW.shape
        reward_loss = aligned_loss((logits.reward_BR + self._reward_offset).unflatten(0, shape), labels, self._nothing)
        end_loss = F.binary_cross_entropy_with_logits(
            logits.terminated_B.unflatten(0, shape) + self._end_offset, labels.ended_BW.float()
        )
        return reward_loss + end_loss, {"reward_loss": reward_loss.detach(), "end_loss": end_loss.detach()}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """F1 and AUPRC of events (within one frame) over whole held-out episodes, and inside dreams."""
        assert isinstance(model, OutcomeHead)
        played = EventScores(self.config.model.rewards)
        for episode in self._test.episodes:
            tokens_TN = torch.from_numpy(episode.tokens_TN.astype(np.int64))
            chances_TR, ends_T = outcome_chances(model, tokens_TN)
            played.add(chances_TR.numpy(), ends_T.numpy(), episode.rewards_T[:-1], episode.terminated_T[:-1])
        figures = played.figures()
        if self._dreamed_test is not None and len(self._dreamed_test.tokens_BTN):
            dreamed = EventScores(self.config.model.rewards)
            skipped = self.config.model.context_frames - 2
            for tokens_TN, _, rewards_T, ended_T in zip(*self._dreamed_test, strict=True):
                chances_TR, ends_T = outcome_chances(model, tokens_TN)
                # Windows that the clip's beginning cuts off are those of no dream.
                dreamed.add(*(x.numpy()[skipped:] for x in (chances_TR, ends_T, rewards_T, ended_T)))
            figures |= {f"dream_{name}": value for name, value in dreamed.figures().items()}
        return figures, {}

    def _batch(self, rng: np.random.Generator) -> ClipBatch:
        rows = self.config.loop.batch_size
        dreamed = self._dreamed
        if dreamed is None or not len(dreamed.tokens_BTN):
            return self._clips.take(self._clips.draw(rng, rows))
        share = rng.binomial(rows, self.config.dreamed_share)
        real = self._clips.take(self._clips.draw(rng, rows - share))
        picks = torch.from_numpy(rng.integers(len(dreamed.tokens_BTN), size=share))
        return ClipBatch(*(torch.cat([a, b[picks]]) for a, b in zip(real, dreamed, strict=True)))

    def _windows(self, clip: ClipBatch) -> tuple[torch.Tensor, Labels]:
        """All windows of ``context_frames`` frames, int64 [B, W, C, N], and what happened at their ends."""
        context = self.config.model.context_frames
        windows_BWCN = clip.tokens_BTN.unfold(1, context, 1).transpose(2, 3)
        classes_BT = reward_classes(clip.rewards_BT.flatten(), self.config.model.rewards).view(clip.rewards_BT.shape)
        nothing = torch.full_like(classes_BT[:, 0], self._nothing or 0)
        before_B = classes_BT[:, context - 3] if context > 2 else nothing
        return windows_BWCN, Labels(classes_BT[:, context - 2 :], clip.terminated_BT[:, context - 2 :], before_B)

    def _disguise(self, windows_BWCN: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Give some places another clip's tokens, rename those of others, and let some stand still."""
        rows, vocab, places = len(windows_BWCN), self._vocab_size, windows_BWCN.shape[-1]

        def chosen(highest: float) -> torch.Tensor:
            rate_B111 = highest * torch.rand(rows, 1, 1, 1, generator=generator)
            return torch.rand(rows, 1, 1, places, generator=generator) < rate_B111

        other = windows_BWCN[torch.randperm(rows, generator=generator)]
        mixed = torch.where(chosen(self.config.foreign), other, windows_BWCN)
        shift = torch.randint(vocab, (rows, 1, 1, places), generator=generator)
        mixed = torch.where(chosen(self.config.foreign), (mixed + shift) % vocab, mixed)
        return torch.where(chosen(self.config.frozen), mixed[:, :, :1], mixed)

    def _prior_offsets(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Logarithms of how much more often each class is drawn than it happens."""
        rewards_M = torch.from_numpy(np.concatenate([e.rewards_T[:-1] for e in self._train.episodes]))
        ends_M = torch.from_numpy(np.concatenate([e.terminated_T[:-1] for e in self._train.episodes]))
        _, drawn = self._windows(self._clips.take(self._clips.draw(np.random.default_rng(1), 4096)))
        count = len(self.config.model.rewards)
        natural = torch.bincount(reward_classes(rewards_M, self.config.model.rewards), minlength=count) + 1.0
        sampled = torch.bincount(drawn.classes_BW.flatten(), minlength=count) + 1.0
        ratio = (sampled / sampled.sum()) / (natural / natural.sum())
        odds_drawn = (drawn.ended_BW.sum() + 1.0) / (~drawn.ended_BW).sum().clamp_min(1)
        odds_true = (ends_M.sum() + 1.0) / (~ends_M).sum().clamp_min(1)
        return ratio.log(), (odds_drawn / odds_true).log()


def aligned_loss(logits_BWR: torch.Tensor, labels: Labels, nothing: int | None) -> torch.Tensor:
    """Cross-entropy in which an event may be read in its own frame or in the next one, but only in one of them.

    A game counts a point when it likes and draws it when it gets there: in Pong half of the points show one frame
    late. Asked for the exact frame a head can only say "perhaps" twice, and stays below one half both times. Here the
    label's position is a hidden variable that is summed over, as in connectionist temporal classification (Graves et
    al. 2006), and the head settles on what the picture shows.

    Args:
        logits_BWR: of W consecutive transitions.
        labels: what happened, and when the recording says it did.
        nothing: class of reward 0; None (there is none): every label stays where it is.
    """
    nll_BWR = -logits_BWR.log_softmax(-1)
    classes_BW = labels.classes_BW
    own_BW = nll_BWR.gather(-1, classes_BW[..., None])[..., 0]
    if nothing is None:
        return own_BW.mean()
    event_BW, idle_BW = classes_BW != nothing, nll_BWR[..., nothing]
    # Whether the first window shows an event of the transition before it, and the last one's will only show in the
    # next frame, cannot be told here. An end has no next frame.
    weights_BW = torch.ones_like(own_BW)
    weights_BW[:, 0] -= (labels.before_B != nothing).float()
    weights_BW[:, -1] *= 1 - (event_BW[:, -1] & ~labels.ended_BW[:, -1]).float()
    on_time = own_BW[:, :-1] + own_BW[:, 1:]
    late = idle_BW[:, :-1] + nll_BWR[:, 1:].gather(-1, classes_BW[:, :-1, None])[..., 0]
    movable = event_BW[:, :-1] & ~event_BW[:, 1:] & (weights_BW[:, :-1] * weights_BW[:, 1:] > 0)
    gain = torch.where(movable, F.softplus(on_time - late), 0.0)
    return ((own_BW * weights_BW).sum() - gain.sum()) / weights_BW.sum()


def reward_classes(rewards_B: torch.Tensor, rewards: tuple[float, ...]) -> torch.Tensor:
    """Index of the nearest reward class, int64."""
    return (rewards_B[:, None].float() - torch.tensor(rewards)).abs().argmin(1)


def train(config: TrainOutcomeConfig) -> OutcomeHead:
    """Train, or resume, and save the finished head in ``config.out``."""
    config = replace(config, model=sized(config.model, OutcomeConfig, TokenStore(config.tokens)))
    return run_stage(
        config, lambda: (fit(OutcomeTask(config), config.loop, config.out, "outcome", config), config.model)
    )


STAGE = Stage(
    "outcome",
    TrainOutcomeConfig,
    train,
    {"tokens": "tokenize", "dynamics_path": "dynamics"},
    network="outcome",
)
