"""Held-out play as a world reads it: whole episodes, clips cut from them, and what the world predicts for those.

Owns the way from a recording to predictions, forced or dreamed. Knows nothing of how they are judged.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from genie_env.config import SamplingConfig
from genie_env.data.episodes import EpisodeEntry, EpisodeStore
from genie_env.games.sprites import SpriteColours, find_sprites
from genie_env.models.outcome import predict_episode
from genie_env.world import World
from training.data.dataset import background, effect_labels

BATCH = 64  # clips predicted together


class Reading(NamedTuple):
    """One held-out episode of T transitions, and what the world reads from it."""

    entry: EpisodeEntry
    tokens_TN: torch.Tensor
    """Of all T+1 frames."""
    codes_T: np.ndarray
    """Latent actions inferred from the frames."""
    told_T: np.ndarray
    """Latent actions of the kind that the dynamics learned from: those, or the recorded actions as a player's are."""
    effects_T: np.ndarray
    truth_TK: np.ndarray
    rewards_T: np.ndarray
    ended_T: np.ndarray
    read_rewards_T: np.ndarray
    read_ended_T: np.ndarray


def read_episodes(world: World, store: EpisodeStore, max_frames: int) -> list[Reading]:
    """Read held-out episodes, no more than about ``max_frames`` frames in all."""
    readings: list[Reading] = []
    outcome = copy.deepcopy(world.outcome).cpu()
    with tqdm(total=min(max_frames, sum(e.length for e in store.split("test"))), desc="read", unit="frame") as bar:
        for entry, arrays in store.episodes("test"):
            frames = np.array(arrays["frames"][: max_frames - bar.n])
            steps = len(frames) - 1
            if steps < 1:
                continue
            tokens_TN = world.encode(frames[None])[0].cpu()
            codes_T = world.infer_actions(frames[None])[0].cpu().numpy()
            readings.append(
                Reading(
                    entry,
                    tokens_TN,
                    codes_T,
                    _told(world, codes_T, arrays["actions"][:steps]),
                    effect_labels(store, torch.from_numpy(arrays["actions"][:steps].astype(np.int64))).numpy(),
                    arrays["truth"][:steps],
                    arrays["rewards"][:steps],
                    arrays["terminated"][:steps],
                    *(column.numpy() for column in predict_episode(outcome, tokens_TN)),
                )
            )
            bar.update(len(frames))
    return readings


def _told(world: World, codes_T: np.ndarray, actions_T: np.ndarray) -> np.ndarray:
    mapped = world.config.action_map
    if not world.config.recorded_actions or mapped is None:
        return codes_T
    return np.array(mapped.real_to_latent)[actions_T]


class Clips(NamedTuple):
    """Held-out clips: ``context`` real frames, then the H frames that are to be predicted."""

    context: int
    background_HWC: np.ndarray
    frames_CTHWC: np.ndarray
    tokens_CTN: torch.Tensor
    actions_CT: torch.Tensor
    """Latent actions of the kind that the dynamics learned from, [C, T-1]."""
    scored_CH: np.ndarray
    """Whether a point was scored between the context and each predicted frame."""
    served_CH: np.ndarray
    """Whether a ball was served since the context: a serve is random, so nobody can know what comes after it."""

    def pick(self, rows: slice, steps: int) -> Clips:
        """Some of the clips, with their first ``steps`` frames to predict."""
        length = self.context + steps
        return Clips(
            self.context,
            self.background_HWC,
            self.frames_CTHWC[rows, :length],
            self.tokens_CTN[rows, :length],
            self.actions_CT[rows, : length - 1],
            self.scored_CH[rows, :steps],
            self.served_CH[rows, :steps],
        )


def take_clips(
    store: EpisodeStore,
    readings: list[Reading],
    count: int,
    context: int,
    steps: int,
    seed: int,
    colours: SpriteColours | None = None,
) -> Clips:
    """Draw ``count`` clips of ``context + steps`` frames from held-out episodes.

    Args:
        store: where the frames are.
        readings: what the world reads from the held-out episodes.
        count: number of clips; fewer where there are fewer.
        context: real frames before the predicted ones.
        steps: frames to predict.
        seed: of the draw.
        colours: by which a serve is seen; without them, or without a ball, a point counts as a new serve.

    Raises:
        ValueError: if none is long enough.
    """
    length = context + steps
    places = [(r, t) for r in readings for t in range(len(r.tokens_TN) - length + 1)]
    if not places:
        raise ValueError(f"{store.folder}: no held-out episode has {length} frames; record more or lower the horizons")
    rng = np.random.default_rng(seed)
    picks = [places[i] for i in rng.choice(len(places), min(count, len(places)), replace=False)]
    points = np.stack([r.rewards_T[t + context - 1 : t + length - 1] != 0 for r, t in picks])
    frames_CTHWC = np.stack([store.array("frames", r.entry)[t : t + length] for r, t in picks])
    scored_CH = np.logical_or.accumulate(points, axis=1)
    return Clips(
        context,
        background(store),
        frames_CTHWC,
        torch.stack([r.tokens_TN[t : t + length] for r, t in picks]),
        torch.from_numpy(np.stack([r.told_T[t : t + length - 1] for r, t in picks])),
        scored_CH,
        served_again(frames_CTHWC[:, context - 1 :], scored_CH, colours),
    )


def served_again(frames_CTHWC: np.ndarray, scored_CH: np.ndarray, colours: SpriteColours | None) -> np.ndarray:
    """Whether a ball came into sight since frame 0 that had not been there, or not before a point: bool [C, T-1]."""
    if colours is None or "ball" not in colours.sprites:
        return scored_CH
    seen = find_sprites(frames_CTHWC, colours)
    there_CT = seen.present[..., seen.names.index("ball")]
    # A ball that a paddle hid for a moment is no new one.
    appears_CH = there_CT[:, 1:] & ~there_CT[:, :-1] & (scored_CH | ~there_CT[:, :1])
    return np.logical_or.accumulate(appears_CH, axis=1)


@torch.inference_mode()
def roll(
    world: World, clips: Clips, sampling: SamplingConfig, forced: bool = False, actions_CT: torch.Tensor | None = None
) -> torch.Tensor:
    """Predicted tokens int64 [C, H, N] of the frames after the context.

    Args:
        forced: predict every frame from real ones only (teacher forcing) instead of dreaming on.
        actions_CT: instead of the clips' own latent actions.
    """
    engine, parts = world.engine(sampling), []
    actions_CT = clips.actions_CT if actions_CT is None else actions_CT
    dreamed = slice(clips.context, clips.tokens_CTN.shape[1])
    with tqdm(total=len(clips.tokens_CTN), desc="forced" if forced else "dreamed", unit="clip") as bar:
        for rows in torch.arange(len(clips.tokens_CTN)).split(BATCH):
            tokens, actions = clips.tokens_CTN[rows].to(world.device), actions_CT[rows].to(world.device)
            rollout = engine.roll(
                tokens[:, : clips.context],
                actions[:, : clips.context - 1],
                actions[:, clips.context - 1 : dreamed.stop - 1],
                keys_B=rows,
                force_BTN=tokens[:, dreamed] if forced else None,
            )
            parts.append(rollout.tokens_BTN.cpu())
            bar.update(len(rows))
    return torch.cat(parts)
