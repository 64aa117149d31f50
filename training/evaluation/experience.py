"""What a recording's training episodes show, as tokens in memory: the frames, what was done, and where each began.

Two bytes a token, so 100,000 frames of 64 tokens are 13 MB. Knows how episodes are read; knows nothing of predictions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from genie_env.data.episodes import NO_ACTION
from training.data.token_store import TokenStore
from training.data.tokenize_episodes import kept_episodes
from training.evaluation.held_out import HeldOutPlay, inferred_actions, mapped_actions


@dataclass(frozen=True)
class Experience:
    """F frames of training episodes, one episode after the other."""

    tokens_FN: np.ndarray
    """uint16."""
    actions_F: np.ndarray
    """int64, latent action of the dynamics that was taken at each frame; ``NO_ACTION`` at the last of an episode."""
    age_F: np.ndarray
    """int64, frames of the episode before each."""

    def moments(self, context: int) -> np.ndarray:
        """Indices [M] of the frames that have another one after them, and ``context`` with themselves up to them."""
        return np.flatnonzero((self.actions_F != NO_ACTION) & (self.age_F >= context - 1))

    def changing_N(self) -> np.ndarray:
        """Share of the steps in which each place changes, float64 [N]."""
        steps_M = self.moments(1)
        return (self.tokens_FN[steps_M + 1] != self.tokens_FN[steps_M]).mean(0)


def join_episodes(tokens: list[np.ndarray], actions: list[np.ndarray]) -> Experience:
    """Experience from the tokens [T, N] and latent actions [T-1] of each episode.

    Raises:
        ValueError: if no episode has two frames.
    """
    if not any(map(len, actions)):
        raise ValueError("expected a training episode of at least two frames")
    return Experience(
        np.concatenate(tokens).astype(np.uint16),
        np.concatenate([np.append(actions_T, NO_ACTION) for actions_T in actions]).astype(np.int64),
        np.concatenate([np.arange(len(tokens_TN)) for tokens_TN in tokens]),
    )


def read_experience(play: HeldOutPlay, max_frames: int, tokens: TokenStore | None = None) -> Experience:
    """The training episodes as the world reads them, from everywhere in the recording, ``max_frames`` at most.

    Args:
        play: world and recording.
        max_frames: frames read.
        tokens: of the same recording, read instead of made where it has all training episodes.
    """
    entries = play.store.split("train")
    stored = {}
    if tokens is not None and [len(e.tokens_TN) for e in tokens.episodes("train")] == [e.length for e in entries]:
        stored = {id(entry): e.tokens_TN for entry, e in zip(entries, tokens.episodes("train"), strict=True)}
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    left = max_frames
    for entry in tqdm(kept_episodes(entries, max_frames), desc="training play", unit="episode"):
        length = min(entry.length, left)
        if length < 2:
            continue
        frames_THWC = play.store.array("frames", entry)[:length]
        played_T = play.store.array("actions", entry)[: length - 1].astype(np.int64)
        mapped_T = mapped_actions(play.world, played_T)
        tokens_TN = stored.get(id(entry))
        if tokens_TN is None:
            tokens_TN = play.world.encode(np.array(frames_THWC)[None])[0].cpu().numpy()
        found[0].append(tokens_TN[:length])
        found[1].append(inferred_actions(play.world, np.array(frames_THWC), played_T) if mapped_T is None else mapped_T)
        left -= length
    return join_episodes(*found)
