"""Train the outcome head: ``python -m training.train_outcome --tokens runs/pong/tokens --out runs/pong/outcome``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import nn

from genie_env.config import OutcomeConfig
from genie_env.models.outcome import OutcomeHead
from training.corruption import corrupt_context
from training.dataset import TokenDataset
from training.loop import LoopConfig, fit
from training.stages import save_stage


@dataclass(frozen=True)
class TrainOutcomeConfig:
    """Learn to read reward and termination from tokens."""

    tokens: Path
    """Folder of tokenized episodes."""
    out: Path
    """Folder for checkpoint, logs and the finished model."""
    model: OutcomeConfig = OutcomeConfig()
    """Size of the head, and the reward of each class."""
    loop: LoopConfig = LoopConfig(n_updates=2500, batch_size=128, learning_rate=1e-3, weight_decay=0.05)
    """How long and how fast to train."""
    event_share: float = 0.5
    """Share of batches drawn around rewards and ends; the loss is corrected for it."""
    corruption: float = 0.03
    """Highest share of corrupted tokens."""


class OutcomeTask:
    """Loss and evaluation of the outcome head."""

    def __init__(self, config: TrainOutcomeConfig) -> None:
        torch.manual_seed(config.loop.seed)
        self.config = config
        self.model = OutcomeHead(config.model)
        self._train, self._test = TokenDataset(config.tokens, "train"), TokenDataset(config.tokens, "test")
        self._reward_offset, self._end_offset = self._prior_offsets()

    def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        """Cross-entropy of reward class and termination of each window's last transition."""
        config = self.config
        # Windows around events give near misses too: the event may lie a few frames before or after the end.
        length = 2 * config.model.context_frames
        clip = self._train.clips(rng, config.loop.batch_size, length, config.event_share)
        end = rng.integers(config.model.context_frames, length + 1, size=config.loop.batch_size)
        tokens_BCN, classes_B, ended_B = self._windows(clip, torch.from_numpy(end))
        tokens_BCN = corrupt_context(tokens_BCN, config.corruption, config.model.vocab_size, generator)
        logits = self.model(tokens_BCN)
        # Events are drawn more often than they happen. Training with the logarithm of that ratio added to the logits
        # leaves the head itself calibrated to how often they really happen (logit adjustment, arXiv 2007.07314).
        reward_loss = F.cross_entropy(logits.reward_BR + self._reward_offset, classes_B)
        end_loss = F.binary_cross_entropy_with_logits(logits.terminated_B + self._end_offset, ended_B.float())
        return reward_loss + end_loss, {"reward_loss": reward_loss.detach(), "end_loss": end_loss.detach()}

    def evaluate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """F1 of reward events (within one frame) and of terminations over whole held-out episodes."""
        assert isinstance(model, OutcomeHead)
        rewards, ends = F1(), F1()
        for episode in self._test.episodes:
            predicted_T, ended_T = judge_episode(model, torch.from_numpy(episode.tokens_TN).long())
            for value in self.config.model.rewards:
                if value:
                    rewards.add(predicted_T == value, episode.rewards_T[:-1] == value)
            ends.add(ended_T, episode.terminated_T[:-1])
        return {"reward_f1": rewards.value(), "termination_f1": ends.value()}, {}

    def _windows(self, clip, end_B: torch.Tensor):
        """Cut the ``context_frames`` frames that end before ``end`` out of each clip, with their last outcome."""
        context = self.config.model.context_frames
        rows = torch.arange(len(end_B))
        index = end_B[:, None] - context + torch.arange(context)
        rewards_B = clip.rewards_BT[rows, end_B - 2]
        return (
            clip.tokens_BTN[rows[:, None], index],
            reward_classes(rewards_B, self.config.model.rewards),
            clip.terminated_BT[rows, end_B - 2],
        )

    def _prior_offsets(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Logarithms of how much more often each class is drawn than it happens."""
        rng = np.random.default_rng(1)
        context = self.config.model.context_frames
        rewards_M = torch.from_numpy(np.concatenate([e.rewards_T[:-1] for e in self._train.episodes]))
        ends_M = np.concatenate([e.terminated_T[:-1] for e in self._train.episodes])
        drawn = self._train.clips(rng, 4096, 2 * context, self.config.event_share)
        end = torch.from_numpy(rng.integers(context, 2 * context + 1, size=4096))
        _, classes, ended = self._windows(drawn, end)
        count = len(self.config.model.rewards)
        natural = torch.bincount(reward_classes(rewards_M, self.config.model.rewards), minlength=count) + 1.0
        sampled = torch.bincount(classes, minlength=count) + 1.0
        ratio = (sampled / sampled.sum()) / (natural / natural.sum())
        odds_drawn, odds_true = (ended.sum() + 1.0) / (~ended).sum(), (ends_M.sum() + 1.0) / (~ends_M).sum()
        return ratio.log(), (odds_drawn / odds_true).log()


class F1:
    """F1 of rare events; a prediction counts if a real event lies within ``tolerance`` frames of it."""

    def __init__(self, tolerance: int = 1) -> None:
        self._tolerance = tolerance
        self._hits_predicted = self._predicted = self._hits_real = self._real = 0

    def add(self, predicted_T: np.ndarray, real_T: np.ndarray) -> None:
        """Count one episode."""
        at, real_at = np.flatnonzero(predicted_T), np.flatnonzero(real_T)
        near = np.abs(at[:, None] - real_at[None]) <= self._tolerance
        self._hits_predicted += int(near.any(1).sum())
        self._hits_real += int(near.any(0).sum())
        self._predicted += len(at)
        self._real += len(real_at)

    def value(self) -> float:
        """Harmonic mean of precision and recall; NaN where there was nothing to find and nothing was found."""
        if not self._predicted and not self._real:
            return float("nan")
        precision = self._hits_predicted / max(1, self._predicted)
        recall = self._hits_real / max(1, self._real)
        return 2 * precision * recall / max(1e-9, precision + recall)


def reward_classes(rewards_B: torch.Tensor, rewards: tuple[float, ...]) -> torch.Tensor:
    """Index of the nearest reward class, int64."""
    return (rewards_B[:, None].float() - torch.tensor(rewards)).abs().argmin(1)


@torch.inference_mode()
def judge_episode(model: OutcomeHead, tokens_TN: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Reward [T-1] and termination [T-1] the head reads from a tokenized episode."""
    context = model.config.context_frames
    padded = torch.cat([tokens_TN[:1].expand(context - 2, -1), tokens_TN]) if context > 2 else tokens_TN
    windows_TCN = padded.unfold(0, context, 1).permute(0, 2, 1)
    parts = [model.judge(part) for part in windows_TCN.split(2048)]
    return torch.cat([p[0] for p in parts]).numpy(), torch.cat([p[1] for p in parts]).numpy()


def train(config: TrainOutcomeConfig) -> OutcomeHead:
    """Train, or resume, and save the finished head in ``config.out``."""
    model = fit(OutcomeTask(config), config.loop, config.out, "outcome")
    assert isinstance(model, OutcomeHead)
    save_stage(config.out, model, config.model)
    return model


if __name__ == "__main__":
    train(tyro.cli(TrainOutcomeConfig, description=__doc__))
