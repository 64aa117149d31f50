"""Whether a small network can tell dreamed clips from real ones (a classifier two-sample test, arXiv 1610.06545).

The real game is played by the policy of free play, which looks at nothing. Each row's first frames are the prompt of a
dream that gets the very actions the game got. A game that is over begins again; a dream that says so begins again with
the first frames of a new real one. The network learns on some rows and is asked about others: 0.5 is a dream that it
cannot tell from the game, 1 one that it always can.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from genie_env.action_map import latent_tables
from genie_env.config import SamplingConfig
from genie_env.measurement import WORLD, Measurement, Metric
from genie_env.nn.embeddings import half_whitened_components
from genie_env.statistics import Interval, ratio
from genie_env.world import World
from training.dynamics.discriminator import ClipFeatures
from training.engine.optimization import seeded
from training.evaluation.free_play import REAL, FreePlay, play_real

REALISM = "realism"
CLIP = 16
"""Frames of a clip."""
HORIZONS = (16, 100, 1000)
"""Steps since the last real frame at which clips begin."""
CLIPS = 4
"""Clips of each row asked about at each horizon, one after another."""
PROMPT = 16
"""Real frames that a dream begins from."""
ROWS_AT_ONCE = 8
"""Rows of the real game in memory as pictures."""
UPDATES, BATCH = 300, 32
"""Length and batches of the classifier's training."""


class Rows(NamedTuple):
    """Play of some rows; frame t is t + 1 steps after the prompt."""

    tokens_BTN: torch.Tensor
    cut_BT: np.ndarray
    """Frames that do not follow from the one before, since another game begins."""

    def whole(self, begins_K: np.ndarray) -> np.ndarray:
        """bool [B, K]: whether the clip that begins at a frame is play of one piece."""
        inside = begins_K[:, None] + np.arange(1, CLIP)
        return np.logical_not(self.cut_BT[:, inside].any(-1))

    def clips(self, rows_M: np.ndarray, begins_M: np.ndarray) -> torch.Tensor:
        """int64 [M, CLIP, N]."""
        return self.tokens_BTN[rows_M[:, None], begins_M[:, None] + np.arange(CLIP)]


class Pairs(NamedTuple):
    """Real rows, and the dreams that have their prompts and actions."""

    real: Rows
    dreamed: Rows


def steps_needed(horizons: tuple[int, ...]) -> int:
    """Frames after the prompt that the last clips end with."""
    return max(horizons) - 1 + CLIP * CLIPS


def play_pairs(world: World, rows: int, steps: int, seed: int, sampling: SamplingConfig | None = None) -> Pairs:
    """Play the real game and dream the same.

    Raises:
        ImportError, ValueError, gymnasium.error.Error: if the game cannot be made; see ``make_source_game``.
    """
    parts = []
    for first in range(0, rows, ROWS_AT_ONCE):
        count, source = min(ROWS_AT_ONCE, rows - first), world.config.source
        # Every action counts as an effect of its own: what is kept is then the action.
        own = tuple(range(len(source.action_meanings)))
        play = play_real(source, count, PROMPT - 1 + steps, seed + first, own)
        parts.append((world.encode(play.frames_BTHWC), _latent_actions(world, play), play.cut_BT))
    tokens_BTN, actions_BT = (torch.cat(column) for column in zip(*(part[:2] for part in parts), strict=True))
    cut_BT = np.concatenate([part[2] for part in parts])
    dreamed = _dream(world, tokens_BTN, actions_BT, cut_BT, seed, sampling)
    return Pairs(Rows(tokens_BTN[:, PROMPT:].cpu(), cut_BT[:, PROMPT - 1 :]), dreamed)


@torch.inference_mode()
def _dream(
    world: World,
    tokens_BTN: torch.Tensor,
    actions_BT: torch.Tensor,
    cut_BT: np.ndarray,
    seed: int,
    sampling: SamplingConfig | None,
) -> Rows:
    """Dreams from the first frames of real rows, with all of their actions; see the module."""
    engine, count = world.engine(sampling), len(tokens_BTN)
    keys_B = torch.arange(count, device=world.device) + seed
    state = engine.start(tokens_BTN[:, :PROMPT], actions_BT[:, : PROMPT - 1], keys_B)
    begins_B = _beginnings(cut_BT)
    anew_BP = torch.from_numpy(begins_B[:, None] + np.arange(PROMPT)).to(world.device)
    rows_B1 = torch.arange(count, device=world.device)[:, None]
    anew_BPN, anew_actions_BP = tokens_BTN[rows_B1, anew_BP], actions_BT[rows_B1, anew_BP[:, :-1]]
    frames, cuts = [], []
    for t in tqdm(range(PROMPT - 1, actions_BT.shape[1]), desc="the same dreamed", unit="step"):
        step = engine.step(state, actions_BT[:, t])
        over_B = step.terminated_B
        frames.append(torch.where(over_B[:, None], anew_BPN[:, -1], step.tokens_BN))
        cuts.append(over_B)
        over_R = over_B.nonzero()[:, 0]
        if len(over_R):
            # Another key: the new dream draws other numbers than the first.
            engine.reset_rows(state, over_R, anew_BPN[over_R], anew_actions_BP[over_R], keys_B[over_R] + t * count)
    return Rows(torch.stack(frames, 1).cpu(), torch.stack(cuts, 1).cpu().numpy())


def _beginnings(cut_BT: np.ndarray) -> np.ndarray:
    """Frame int [B] where a row's second game begins, if its first frames make a prompt; else that of its first, 0."""
    begins_B = np.zeros(len(cut_BT), np.int64)
    for row, cut_T in enumerate(cut_BT):
        # Step t leads to frame t + 1.
        whole = [t for t in np.flatnonzero(cut_T) if t + PROMPT < len(cut_T) and not cut_T[t + 1 : t + PROMPT].any()]
        begins_B[row] = whole[0] + 1 if whole else 0
    return begins_B


def _latent_actions(world: World, play: FreePlay) -> torch.Tensor:
    """Actions of the dynamics int64 [B, T], as a player's become them; inferred where no map is known."""
    mapped = world.config.action_map
    if mapped is None:
        return world.infer_actions(play.frames_BTHWC)
    assert play.effects_BT is not None
    # Before the first action of a game none is known: the last row of the tables.
    before_BT = np.where(play.cut_BT, -1, play.effects_BT)[:, :-1]
    before_BT = np.pad(before_BT, ((0, 0), (1, 0)), constant_values=-1)
    return torch.from_numpy(latent_tables(mapped)[before_BT, play.effects_BT]).to(world.device)


def measure_realism(
    world: World, pairs: Pairs, horizons: tuple[int, ...], seed: int, updates: int = UPDATES
) -> list[Measurement]:
    """Accuracy on dreamed and real clips, and on real clips of two halves of the rows, which nothing tells apart."""
    looks_VK = world.tokenizer.descriptors().cpu().float().flatten(1)
    half = len(pairs.real.cut_BT) // 2
    parts = slice(half), slice(half, 2 * half)
    halves = [Rows(pairs.real.tokens_BTN[part], pairs.real.cut_BT[part]) for part in parts]
    found: list[Measurement] = []
    for source, compared in ((WORLD, pairs), (REAL, Pairs(*halves))):
        accuracies = tell_apart(compared, horizons, looks_VK, seed, updates)
        found += [
            Measurement.of(Metric.TOLD_FROM_REAL, accuracy, source=source, horizon=horizon, experiment=REALISM)
            for horizon, accuracy in accuracies.items()
        ]
    return found


def tell_apart(
    pairs: Pairs, horizons: tuple[int, ...], looks_VK: torch.Tensor, seed: int, updates: int = UPDATES
) -> dict[int, Interval]:
    """Share of clips that a classifier calls rightly, by horizon; resampled by row.

    Half of the rows teach a classifier that is asked about the other half, and the other way round.

    Args:
        pairs: with at least :func:`steps_needed` frames.
        horizons: steps since the prompt at which the clips begin that are asked about; any later than the first teach.
        looks_VK: what each token looks like; see ``Tokenizer.descriptors``.
        seed: of the classifier.
        updates: of its training.
    """
    count = len(pairs.real.cut_BT)
    asked_HK = np.array(horizons)[:, None] - 1 + CLIP * np.arange(CLIPS)
    hits_BH, asked_BH = np.zeros((count, len(horizons))), np.zeros((count, len(horizons)))
    for fold in range(2):
        tested = np.arange(count) % 2 == fold
        network = _fit(pairs, np.flatnonzero(~tested), min(horizons) - 1, looks_VK, seed + fold, updates)
        if network is None:
            continue
        for is_dream, rows in enumerate(pairs):
            whole_BHK = rows.whole(asked_HK.ravel()).reshape(count, *asked_HK.shape) & tested[:, None, None]
            row_M, horizon_M, clip_M = np.nonzero(whole_BHK)
            with torch.no_grad():
                parts = rows.clips(row_M, asked_HK[horizon_M, clip_M]).split(256)
                told_M = torch.cat([network(part) > 0 for part in parts]).numpy() if len(row_M) else np.zeros(0, bool)
            np.add.at(hits_BH, (row_M, horizon_M), told_M == bool(is_dream))
            np.add.at(asked_BH, (row_M, horizon_M), 1)
    return {horizon: ratio(hits_BH[:, h], asked_BH[:, h]) for h, horizon in enumerate(horizons)}


class ClipClassifier(nn.Module):
    """Logit [M] of a clip's being dreamed, from its tokens [M, T, N]."""

    def __init__(self, looks_VK: torch.Tensor, side: int) -> None:
        super().__init__()
        self.features = ClipFeatures(len(looks_VK), side)
        self.leave = nn.Linear(2 * self.features.channels, 1)
        with torch.no_grad():
            components_VC = half_whitened_components(looks_VK, self.features.embed.embedding_dim)
            self.features.embed.weight[:, : components_VC.shape[1]] = components_VC

    def forward(self, tokens_MTN: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = self.features(self.features.embed(tokens_MTN)).flatten(2)
        # What is wrong may be one sprite in one frame: the mean alone would not show it.
        return self.leave(torch.cat([x.mean(-1), x.amax(-1)], 1))[:, 0]


def _fit(
    pairs: Pairs, rows_R: np.ndarray, first: int, looks_VK: torch.Tensor, seed: int, updates: int
) -> ClipClassifier | None:
    """A classifier of the clips of these rows that begin at frame ``first`` or later; None if there are none."""
    begins_K = np.arange(first, pairs.real.cut_BT.shape[1] - CLIP + 1)
    places = [np.argwhere(rows.whole(begins_K)[rows_R]) for rows in pairs]
    if not all(map(len, places)):
        return None
    with seeded(seed):
        network = ClipClassifier(looks_VK, round(pairs.real.tokens_BTN.shape[-1] ** 0.5))
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, updates)
    truth_M = torch.arange(2).repeat_interleave(BATCH // 2).float()
    for _ in range(updates):
        picks = [place[rng.integers(len(place), size=BATCH // 2)] for place in places]
        clips = [rows.clips(rows_R[pick[:, 0]], begins_K[pick[:, 1]]) for rows, pick in zip(pairs, picks, strict=True)]
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(network(torch.cat(clips)), truth_M).backward()
        optimizer.step()
        schedule.step()
    return network.eval()
