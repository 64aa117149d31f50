"""What is measured on held-out recordings: tokenizer, dynamics, latent actions and outcome head of a world.

Each function turns one kind of prediction, by the world or by a baseline, into named figures. Knows nothing of
command lines, reports and free play.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from genie_env.config import SamplingConfig
from genie_env.episodes import EpisodeEntry, EpisodeStore
from genie_env.world_model import World
from training.action_agreement import hungarian_accuracy, normalised_mutual_information
from training.dataset import FrameDataset, background, effect_labels
from training.games import Game, SpriteColours
from training.report import Figure, Figures, interval, mean, median, over_stretches, psnr, ratio
from training.sprites import detect, kept_pixels, position_errors
from training.train_latent_action import agreement
from training.train_outcome import F1, judge_episode

BATCH = 64  # clips predicted together


class Reading(NamedTuple):
    """One held-out episode of T transitions, and what the world reads from it."""

    entry: EpisodeEntry
    tokens_TN: torch.Tensor
    """Of all T+1 frames."""
    codes_T: np.ndarray
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
            readings.append(
                Reading(
                    entry,
                    tokens_TN,
                    world.infer_actions(frames[None])[0].cpu().numpy(),
                    effect_labels(store, torch.from_numpy(arrays["actions"][:steps].astype(np.int64))).numpy(),
                    arrays["truth"][:steps],
                    arrays["rewards"][:steps],
                    arrays["terminated"][:steps],
                    *judge_episode(outcome, tokens_TN),
                )
            )
            bar.update(len(frames))
    return readings


class Clips(NamedTuple):
    """Held-out clips: ``context`` real frames, then the H frames that are to be predicted."""

    context: int
    background_HWC: np.ndarray
    frames_CTHWC: np.ndarray
    tokens_CTN: torch.Tensor
    actions_CT: torch.Tensor
    """Inferred latent actions, [C, T-1]."""
    scored_CH: np.ndarray
    """Whether a point was scored between the context and each predicted frame."""


def take_clips(store: EpisodeStore, readings: list[Reading], count: int, context: int, steps: int, seed: int) -> Clips:
    """Draw ``count`` clips of ``context + steps`` frames from held-out episodes.

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
    return Clips(
        context,
        background(store),
        np.stack([store.array("frames", r.entry)[t : t + length] for r, t in picks]),
        torch.stack([r.tokens_TN[t : t + length] for r, t in picks]),
        torch.from_numpy(np.stack([r.codes_T[t : t + length - 1] for r, t in picks])),
        np.logical_or.accumulate(points, axis=1),
    )


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
    batches = torch.arange(len(clips.tokens_CTN)).split(BATCH)
    steps = range(clips.context, clips.tokens_CTN.shape[1])
    with tqdm(total=len(batches) * len(steps), desc="forced" if forced else "dreamed", unit="step") as bar:
        for rows in batches:
            tokens = clips.tokens_CTN[rows].to(world.device)
            actions = (clips.actions_CT if actions_CT is None else actions_CT)[rows].to(world.device)
            state = engine.start(tokens[:, : clips.context], actions[:, : clips.context - 1], rows)
            heat = torch.full((len(rows),), sampling.temperature, device=world.device)
            drawn = []
            for t in steps:
                drawn.append(engine.step(state, actions[:, t - 1], heat).tokens_BN)
                if forced:
                    # The cache takes the present frame in at the next step: what it will remember is then real.
                    state.recent_BCN[:, -1] = tokens[:, t]
                bar.update()
            parts.append(torch.stack(drawn, dim=1).cpu())
    return torch.cat(parts)


class Scores(NamedTuple):
    """What all figures of a prediction come from: sums per clip and step, [C, K]."""

    hits: np.ndarray
    """Tokens that had to change and are right."""
    changed: np.ndarray
    right: np.ndarray
    """Share of all tokens that are right."""
    error: np.ndarray
    """Mean squared error of a colour value."""
    foreground_error: np.ndarray
    """Sum over pixels that differ from the median background."""
    foreground: np.ndarray


def score(world: World, clips: Clips, predicted_CKN: torch.Tensor, at_K: np.ndarray) -> Scores:
    """Compare predictions for the frames ``at_K`` (0: the first after the context) with what came."""
    parts = []
    for rows in np.array_split(np.arange(len(predicted_CKN)), -(-len(predicted_CKN) // 16)):
        target, before = (clips.tokens_CTN[rows][:, clips.context + at_K - back] for back in (0, 1))
        right, changed = (predicted_CKN[rows] == target).numpy(), (target != before).numpy()
        drawn = world.decode(predicted_CKN[rows]).cpu().numpy()
        errors = pixel_errors(clips.frames_CTHWC[rows][:, clips.context + at_K], drawn, clips.background_HWC)
        parts.append(((right & changed).sum(-1), changed.sum(-1), right.mean(-1), *errors))
    return Scores(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def pixel_errors(real: np.ndarray, drawn: np.ndarray, background_HWC: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean squared error of frames [..., H, W, 3], its sum over foreground pixels, and their number."""
    square = np.square(real.astype(np.float32) - drawn).mean(-1)
    # As in training.losses.foreground: 0.06 of the range [-1, 1].
    mask = np.abs(real.astype(np.int16) - background_HWC).max(-1) > 7
    return square.mean((-1, -2)), (square * mask).sum((-1, -2)), mask.sum((-1, -2))


def step_figures(scores: Scores, at: int | slice = slice(None)) -> Figures:
    """Figures that every game has, of one or all steps."""
    s = Scores(*(column[:, at] for column in scores))
    return {
        "changed-token accuracy": ratio(s.hits, s.changed),
        "token accuracy": mean(s.right),
        "foreground PSNR, dB": psnr(s.foreground_error, s.foreground),
        "PSNR, dB": psnr(s.error, np.ones_like(s.error)),
    }


def horizon_figures(
    world: World, clips: Clips, predicted_CHN: torch.Tensor, horizons: tuple[int, ...], colours: SpriteColours | None
) -> Figures:
    """Figures of predictions after ``horizons`` steps, one row for each figure and horizon."""
    at_K = np.array(horizons) - 1
    scores = score(world, clips, predicted_CHN[:, at_K], at_K)
    by_step = [step_figures(scores, k) for k in range(len(at_K))]
    if colours is not None:
        start = detect(clips.frames_CTHWC[:, clips.context - 1], colours)
        real = detect(clips.frames_CTHWC[:, clips.context + at_K], colours)
        seen = detect(world.decode(predicted_CHN[:, at_K]).cpu().numpy(), colours)
        # A new serve is random: nobody can know where that ball is.
        known = start.present[:, None] & ~clips.scored_CH[:, at_K, None]
        errors = np.where(known, position_errors(real, seen, missing=clips.frames_CTHWC.shape[2]), np.nan)
        for k, figures in enumerate(by_step):
            for s, name in enumerate(real.names):
                there, drawn = real.present[:, k, s], seen.present[:, k, s]
                figures[f"{name} error, px"] = median(errors[:, k, s])
                figures[f"{name} existence F1"] = ratio(2 * (there & drawn), there.astype(int) + drawn)
    return {f"{name}, h = {h}": f[name] for name in by_step[0] for h, f in zip(horizons, by_step, strict=True)}


def action_worth(world: World, clips: Clips, sampling: SamplingConfig, dreamed_CHN: torch.Tensor, seed: int) -> Figure:
    """ΔtPSNR at t = 4 (Genie, arXiv 2402.15391) on the foreground: inferred against random actions, in dB."""
    steps = min(4, dreamed_CHN.shape[1])
    generator = torch.Generator().manual_seed(seed)
    drawn_CT = torch.randint(world.config.dynamics.num_actions, clips.actions_CT.shape, generator=generator)
    drawn_CT[:, : clips.context - 1] = clips.actions_CT[:, : clips.context - 1]
    short = clips._replace(tokens_CTN=clips.tokens_CTN[:, : clips.context + steps])
    last = np.array([steps - 1])
    inferred, random = (
        score(world, clips, tokens[:, last], last).foreground_error[:, 0]
        for tokens in (dreamed_CHN, roll(world, short, sampling, actions_CT=drawn_CT))
    )
    return interval(
        lambda rows: float(10 * np.log10(max(random[rows].sum(), 1e-9) / max(inferred[rows].sum(), 1e-9))), len(random)
    )


def tokenizer_figures(
    real_BHWC: np.ndarray, drawn_BHWC: np.ndarray, background_HWC: np.ndarray, colours: SpriteColours | None
) -> Figures:
    """Figures of frames drawn back from their tokens."""
    error, foreground_error, foreground = pixel_errors(real_BHWC, drawn_BHWC, background_HWC)
    figures = {
        "PSNR, dB": psnr(error, np.ones_like(error)),
        "foreground PSNR, dB": psnr(foreground_error, foreground),
        "frames exact": mean((real_BHWC == drawn_BHWC).all((1, 2, 3))),
    }
    if colours is not None:
        kept = kept_pixels(real_BHWC, drawn_BHWC, colours)
        for s, name in enumerate(colours.sprites):
            figures[f"{name} pixels kept"] = ratio(kept.kept_BS[:, s], kept.all_BS[:, s])
    return figures


def agreement_figures(
    readings: list[Reading], store: EpisodeStore, game: Game, num_codes: int
) -> tuple[Figures, Figures]:
    """How well latent actions agree with the real ones' effects, and the same for always naming the majority."""
    columns = ("codes_T", "effects_T", "truth_TK")
    codes_M, effects_M, truth_MK = (np.concatenate([getattr(r, c) for r in readings]) for c in columns)
    subsets = {"": np.arange(len(codes_M))}
    for name in dict.fromkeys(name for _, name, _ in game.obeys if name in store.manifest.truth_names):
        # Where a paddle cannot move, no picture tells which action was taken.
        place_M = truth_MK[:, store.truth_column(name)]
        free_M = (place_M >= np.nanmin(place_M) + 4) & (place_M <= np.nanmax(place_M) - 4)
        subsets[f", {name.split('_')[0]} has room"] = np.flatnonzero(free_M)
    ours, majority = Figures(), Figures()
    for label, picks in subsets.items():
        ours[f"Hungarian accuracy{label}"] = over_stretches(hungarian_accuracy, codes_M[picks], effects_M[picks])
        ours[f"NMI{label}"] = over_stretches(normalised_mutual_information, codes_M[picks], effects_M[picks])
        majority[f"Hungarian accuracy{label}"] = over_stretches(_majority, codes_M[picks], effects_M[picks])
    for code in range(num_codes):
        ours[f"share of code {code}"] = Figure(float((codes_M == code).mean()))
    return ours, majority


def _majority(_: np.ndarray, effects_M: np.ndarray) -> float:
    return float(np.bincount(effects_M).max() / len(effects_M))


def delta_psnr(world: World, store: EpisodeStore, count: int, seed: int) -> Figure:
    """What the right code is worth to the latent action model's decoder on moving pixels, in dB."""
    model = copy.deepcopy(world.latent_action).cpu()
    transitions, rng = FrameDataset(store, "test"), np.random.default_rng(seed)
    batches = [transitions.transitions(rng, 32, model.config.context_frames) for _ in range(max(2, count // 32))]
    return mean(np.array([agreement(model, store, [batch])["delta_psnr"] for batch in batches]))


def outcome_figures(readings: list[Reading]) -> Figures:
    """F1 of reward events and of ends, read from real play; an event may be off by one frame."""

    def over(events: list[list[tuple[np.ndarray, np.ndarray]]]) -> Figure:
        def value(rows: np.ndarray) -> float:
            f1 = F1()
            for row in rows:
                for predicted_T, real_T in events[row]:
                    f1.add(predicted_T, real_T)
            return f1.value()

        return interval(value, len(events))

    signs = [[(np.sign(r.read_rewards_T) == s, np.sign(r.rewards_T) == s) for s in (-1, 1)] for r in readings]
    return {"reward F1": over(signs), "termination F1": over([[(r.read_ended_T, r.ended_T)] for r in readings])}
