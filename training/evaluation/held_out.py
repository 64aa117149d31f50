"""Held-out play as a world reads it: whole episodes, clips cut from them, and what the world predicts for those.

Owns the way from a recording to predictions, with real frames as context or dreamed ones. Knows nothing of how
predictions are scored.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from genie_env.config import SamplingConfig
from genie_env.data.checks import require_spaces_of
from genie_env.data.episodes import EpisodeEntry, EpisodeStore
from genie_env.games.registry import Game
from genie_env.games.sprites import find_sprites
from genie_env.models.outcome import OutcomeHead, predict_episode
from genie_env.rollout.action_inference import frame_log_prob
from genie_env.rollout.engine import Rollout
from genie_env.world import World
from training.data.dataset import background, effect_labels
from training.data.token_store import TokenStore

BATCH = 64  # clips predicted together
CHECKED_FRAMES = 4  # of each episode whose tokens are read from a token store


class HeldOutEpisode(NamedTuple):
    """One held-out episode of T transitions, and what the world reads from it."""

    entry: EpisodeEntry
    tokens_TN: torch.Tensor
    """Tokens of all T+1 frames."""
    codes_T: np.ndarray
    """Latent actions inferred from the frames."""
    dynamics_actions_T: np.ndarray
    """Latent actions of the kind that the dynamics learned from: inferred, or recorded and mapped as a player's are."""
    effects_T: np.ndarray
    """Effects of the recorded actions."""
    truth_TK: np.ndarray
    rewards_T: np.ndarray
    ended_T: np.ndarray
    read_rewards_T: np.ndarray
    """Rewards that the outcome head reads from the tokens."""
    read_ended_T: np.ndarray


class Clips(NamedTuple):
    """Held-out clips: ``context`` real frames, then the H frames that are to be predicted."""

    context: int
    frames_CTHWC: np.ndarray
    tokens_CTN: torch.Tensor
    actions_CT: torch.Tensor
    """Latent actions of the kind that the dynamics learned from, [C, T-1]."""
    scored_CH: np.ndarray
    """Whether a point was scored between the context and each predicted frame."""
    served_CH: np.ndarray
    """Whether the tracked sprite was served since the context. A serve is random, so what follows cannot be known."""
    outcomes_CH: np.ndarray
    """Whether a point was scored, or the game ended, in the very step to each predicted frame."""
    truth_CTK: np.ndarray
    """Ground truth of every frame, columns as the recording's manifest names them; none of a game without."""

    @property
    def real_CHN(self) -> torch.Tensor:
        """Tokens of the frames that are to be predicted."""
        return self.tokens_CTN[:, self.context :]

    @property
    def previous_CHN(self) -> torch.Tensor:
        """Tokens of the real frame before each of them."""
        return self.tokens_CTN[:, self.context - 1 : -1]

    def select(self, rows: slice, steps: int) -> Clips:
        """Some of the clips, with their first ``steps`` frames to predict."""
        length = self.context + steps
        return Clips(
            self.context,
            self.frames_CTHWC[rows, :length],
            self.tokens_CTN[rows, :length],
            self.actions_CT[rows, : length - 1],
            self.scored_CH[rows, :steps],
            self.served_CH[rows, :steps],
            self.outcomes_CH[rows, :steps],
            self.truth_CTK[rows, :length],
        )


@dataclass(frozen=True)
class HeldOutPlay:
    """A world, and the held-out episodes of a recording as it reads them."""

    world: World
    store: EpisodeStore
    game: Game
    episodes: list[HeldOutEpisode]
    background_HWC: np.ndarray
    """Median frame of the training episodes."""

    def clips(self, count: int, context: int, steps: int, seed: int) -> Clips:
        """Draw ``count`` clips of ``context + steps`` frames, or all where there are fewer.

        Raises:
            ValueError: if no episode is long enough.
        """
        length = context + steps
        places = [(e, t) for e in self.episodes for t in range(len(e.tokens_TN) - length + 1)]
        if not places:
            raise ValueError(
                f"{self.store.folder}: no held-out episode has {length} frames; record more or lower the horizons"
            )
        rng = np.random.default_rng(seed)
        picks = [places[i] for i in rng.choice(len(places), min(count, len(places)), replace=False)]
        points, ends = (
            np.stack([getattr(e, name)[t + context - 1 : t + length - 1] != 0 for e, t in picks])
            for name in ("rewards_T", "ended_T")
        )
        frames_CTHWC = np.stack([self.store.array("frames", e.entry)[t : t + length] for e, t in picks])
        scored_CH = np.logical_or.accumulate(points, axis=1)
        return Clips(
            context,
            frames_CTHWC,
            torch.stack([e.tokens_TN[t : t + length] for e, t in picks]),
            torch.from_numpy(np.stack([e.dynamics_actions_T[t : t + length - 1] for e, t in picks])),
            scored_CH,
            served_since(frames_CTHWC[:, context - 1 :], scored_CH, self.game),
            points | ends,
            np.stack([self.store.array("truth", e.entry)[t : t + length] for e, t in picks]),
        )

    def frames(self, count: int, seed: int) -> tuple[np.ndarray, torch.Tensor]:
        """Random single frames uint8 [M, H, W, 3], and their tokens [M, N]."""
        ends = np.cumsum([len(e.codes_T) for e in self.episodes])
        indices = np.random.default_rng(seed).integers(ends[-1], size=count)
        which = np.searchsorted(ends, indices, side="right")
        places = [
            (self.episodes[w], index - (ends[w - 1] if w else 0)) for w, index in zip(which, indices, strict=True)
        ]
        frames_MHWC = np.stack([self.store.array("frames", e.entry)[t] for e, t in places])
        return frames_MHWC, torch.stack([e.tokens_TN[t] for e, t in places])


def read_held_out(
    world: World, store: EpisodeStore, game: Game, max_frames: int, tokens: TokenStore | None = None
) -> HeldOutPlay:
    """Read held-out episodes, no more than about ``max_frames`` frames in all.

    Raises:
        ValueError: if the recording is of a game with other frames or actions, there is no held-out episode, or
            ``tokens`` are of other frames or another tokenizer.
    """
    require_spaces_of(world.config, store.manifest.source, store.folder)
    episodes: list[HeldOutEpisode] = []
    outcome = copy.deepcopy(world.outcome).cpu() if isinstance(world.outcome, OutcomeHead) else None
    stored = None if tokens is None else _stored_tokens(world, store, tokens)
    with tqdm(total=min(max_frames, sum(e.length for e in store.split("test"))), desc="read", unit="frame") as bar:
        for index, (entry, arrays) in enumerate(store.episodes("test")):
            frames = np.array(arrays["frames"][: max_frames - bar.n])
            steps = len(frames) - 1
            if steps < 1:
                continue
            tokens_TN = world.encode(frames[None])[0].cpu() if stored is None else stored[index][: steps + 1]
            actions_T = arrays["actions"][:steps].astype(np.int64)
            codes_T, mapped_T = inferred_actions(world, frames, actions_T), mapped_actions(world, actions_T)
            episodes.append(
                HeldOutEpisode(
                    entry,
                    tokens_TN,
                    codes_T,
                    codes_T if mapped_T is None else mapped_T,
                    effect_labels(store, torch.from_numpy(actions_T)).numpy(),
                    arrays["truth"][:steps],
                    arrays["rewards"][:steps],
                    arrays["terminated"][:steps],
                    *_outcomes(outcome, tokens_TN),
                )
            )
            bar.update(len(frames))
    if not episodes:
        raise ValueError(f"{store.folder}: expected a held-out episode of at least two frames; record more steps")
    return HeldOutPlay(world, store, game, episodes, background(store))


def _outcomes(outcome: OutcomeHead | None, tokens_TN: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Rewards and ends [T-1] that a world reads from an episode; none where it knows of none."""
    if outcome is None:
        steps = len(tokens_TN) - 1
        return np.zeros(steps, np.float32), np.zeros(steps, bool)
    rewards_T, ended_T = predict_episode(outcome, tokens_TN)
    return rewards_T.numpy(), ended_T.numpy()


def inferred_actions(world: World, frames_THWC: np.ndarray, actions_T: np.ndarray) -> np.ndarray:
    """Latent actions inferred from the frames; a world without a model for that has the recorded actions' own."""
    if world.latent_action is None:
        assert world.config.action_map is not None
        return np.array(world.config.action_map.real_to_latent)[actions_T]
    return world.infer_actions(frames_THWC[None])[0].cpu().numpy()


def mapped_actions(world: World, actions_T: np.ndarray) -> np.ndarray | None:
    """Latent actions of recorded ones, mapped as a player's are; None where the dynamics learned from inferred ones."""
    mapped = world.config.action_map
    return np.array(mapped.real_to_latent)[actions_T] if world.config.recorded_actions and mapped is not None else None


def _stored_tokens(world: World, store: EpisodeStore, tokens: TokenStore) -> list[torch.Tensor]:
    """Tokens int64 [T, N] of each held-out episode, compared with what the world makes of its first frames."""
    found = [torch.from_numpy(episode.tokens_TN.astype(np.int64)) for episode in tokens.episodes("test")]
    entries = store.split("test")
    if [len(tokens_TN) for tokens_TN in found] != [entry.length for entry in entries]:
        raise ValueError(f"{tokens.folder}: expected the tokens of {store.folder}; make them with training.tokenize")
    for entry, tokens_TN in zip(entries, found, strict=True):
        made_TN = world.encode(np.array(store.array("frames", entry)[:CHECKED_FRAMES])[None])[0].cpu()
        if not torch.equal(made_TN, tokens_TN[:CHECKED_FRAMES]):
            raise ValueError(f"{tokens.folder}: expected tokens of the tokenizer of {world.config.name}, got others")
    return found


def served_since(frames_CTHWC: np.ndarray, scored_CH: np.ndarray, game: Game) -> np.ndarray:
    """Whether the tracked sprite appeared since frame 0 that was absent then, or appeared after a point: bool [C, T-1].

    Where the game's sprites are not known, a point counts as a new serve.
    """
    if game.colours is None or game.tracked not in game.colours.sprites:
        return scored_CH
    there_CT = find_sprites(frames_CTHWC, game.colours).of(game.tracked)
    # A ball that a paddle hid for a moment is no new one.
    appears_CH = there_CT[:, 1:] & ~there_CT[:, :-1] & (scored_CH | ~there_CT[:, :1])
    return np.logical_or.accumulate(appears_CH, axis=1)


def random_actions(world: World, clips: Clips, seed: int) -> torch.Tensor:
    """The clips' latent actions [C, T-1], drawn uniformly from the end of the context on."""
    generator = torch.Generator().manual_seed(seed)
    drawn_CT = torch.randint(world.config.dynamics.num_actions, clips.actions_CT.shape, generator=generator)
    drawn_CT[:, : clips.context - 1] = clips.actions_CT[:, : clips.context - 1]
    return drawn_CT


def predict(
    world: World,
    clips: Clips,
    sampling: SamplingConfig,
    forced: bool = False,
    actions_CT: torch.Tensor | None = None,
    beam: int | None = None,
) -> torch.Tensor:
    """Predicted tokens int64 [C, H, N] of the frames after the context; arguments as of :func:`dream`."""
    return dream(world, clips, sampling, forced, actions_CT, beam).tokens_BTN


def dream(
    world: World,
    clips: Clips,
    sampling: SamplingConfig,
    forced: bool = False,
    actions_CT: torch.Tensor | None = None,
    beam: int | None = None,
) -> Rollout:
    """Predictions of the frames after the context, [C, H, …], on the CPU.

    Args:
        world: whose dynamics predicts.
        clips: what it is shown.
        sampling: how tokens are drawn.
        forced: predict every frame from real ones only (teacher forcing) instead of dreaming on.
        actions_CT: used instead of the clips' own latent actions; may be longer.
        beam: search for the most likely dream instead of drawing one (:mod:`genie_env.rollout.beam`).
    """
    engine, parts = world.engine(sampling), []
    actions_CT = clips.actions_CT if actions_CT is None else actions_CT
    first = clips.context
    with tqdm(total=len(clips.tokens_CTN), desc="forced" if forced else "dreamed", unit="clip") as bar:
        for rows in torch.arange(len(clips.tokens_CTN)).split(BATCH):
            tokens, actions = clips.tokens_CTN[rows].to(world.device), actions_CT[rows].to(world.device)
            rollout = engine.roll(
                tokens[:, :first],
                actions[:, : first - 1],
                actions[:, first - 1 : tokens.shape[1] - 1],
                keys_B=rows,
                force_BTN=tokens[:, first:] if forced else None,
                beam=beam,
            )
            parts.append(rollout)
            bar.update(len(rows))
    columns: list[Any] = [None if x[0] is None else torch.cat(x).cpu() for x in zip(*parts, strict=True)]
    return Rollout(*columns)


@torch.inference_mode()
def dream_log_probs(world: World, clips: Clips, dreamed_CHN: torch.Tensor) -> torch.Tensor:
    """Log-probability float [C, H] that the world's dynamics gives each dreamed frame, in one pass, in nats."""
    engine, dynamics, first, parts = world.engine(), world.dynamics, clips.context, []
    for rows in torch.arange(len(dreamed_CHN)).split(BATCH):
        history = torch.cat([clips.tokens_CTN[rows, :first], dreamed_CHN[rows]], dim=1).to(world.device)
        actions = clips.actions_CT[rows].to(world.device)
        state = engine.start(history[:, :first], actions[:, : first - 1], rows)
        undecided = torch.full_like(history[:, 0], dynamics.mask_token)
        frames = []
        for at in range(first - 1, history.shape[1] - 1):
            features = dynamics.step(state.cache, history[:, at], actions[:, at])
            head_out = dynamics.decode(features, undecided)
            frames.append(frame_log_prob(dynamics, head_out, history[:, at], history[:, at + 1]))
        parts.append(torch.stack(frames, dim=1).cpu())
    return torch.cat(parts)
