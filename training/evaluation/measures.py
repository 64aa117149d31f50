"""What is measured on held-out recordings: tokenizer, dynamics, latent actions and outcome head of a world.

Each function turns one kind of prediction, by the world or by a baseline, into named figures with intervals. Knows
nothing of command lines, reports and free play.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch

from genie_env.config import SamplingConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.games.registry import Game
from genie_env.games.sprites import Sightings, SpriteColours, find_sprites
from genie_env.statistics import (
    Interval,
    block_bootstrap,
    bootstrap,
    bootstrap_sums,
    decibels,
    mean,
    median,
    psnr,
    quotient,
    ratio,
)
from genie_env.world import World
from training.data.dataset import FrameDataset
from training.evaluation.array_metrics import perplexity, pixel_errors, ssim
from training.evaluation.held_out import Clips, Reading, roll
from training.evaluation.report import Figures
from training.evaluation.sprites import kept_pixels, position_errors
from training.latent_action.agreement import hungarian_accuracy, normalised_mutual_information
from training.latent_action.task import agreement
from training.outcome.event_scores import F1

ACCURACY = "changed-token accuracy"
FORESEEABLE = " before a new serve"
"""Ending of figures that leave out frames whose ball was served since: nobody can know where it is."""
NEAR = 2.0
"""Pixels within which a dreamed sprite counts as followed: a median of 0 says nothing of the worse half."""
PEAK_2 = (2 / 255) ** 2
"""From squared errors of uint8 values to those of [-1, 1]."""


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


def step_figures(scores: Scores, at: int | slice = slice(None)) -> Figures:
    """Figures that every game has, of one or all steps."""
    s = Scores(*(column[:, at] for column in scores))
    return {
        ACCURACY: ratio(s.hits, s.changed),
        "token accuracy": mean(s.right),
        "foreground PSNR, dB": psnr(s.foreground_error, s.foreground),
        "PSNR, dB": psnr(s.error, np.ones_like(s.error)),
        "MSE of [-1, 1]": mean(PEAK_2 * s.error),
    }


def horizon_figures(
    world: World, clips: Clips, predicted_CHN: torch.Tensor, horizons: tuple[int, ...], colours: SpriteColours | None
) -> Figures:
    """Figures of predictions after ``horizons`` steps, one row for each figure and horizon."""
    at_K = np.array(horizons) - 1
    scores = score(world, clips, predicted_CHN[:, at_K], at_K)
    real, drawn = clips.frames_CTHWC[:, clips.context + at_K], world.decode(predicted_CHN[:, at_K]).cpu().numpy()
    alike_CK, same_ball_CK = ssim(real, drawn), ~clips.served_CH[:, at_K]
    hits_CK, changed_CK = scores.hits * same_ball_CK, scores.changed * same_ball_CK
    by_step = [step_figures(scores, k) for k in range(len(at_K))]
    for k, figures in enumerate(by_step):
        figures["SSIM"] = mean(alike_CK[:, k])
        figures[ACCURACY + FORESEEABLE] = ratio(hits_CK[:, k], changed_CK[:, k])
        if k:
            figures[f"{ACCURACY}{FORESEEABLE}, relative to h = {horizons[0]}"] = quotient(
                hits_CK[:, k], changed_CK[:, k], hits_CK[:, 0], changed_CK[:, 0]
            )
    if colours is not None:
        objects = object_figures(clips, real, drawn, at_K, colours)
        by_step = [{**figures, **more} for figures, more in zip(by_step, objects, strict=True)]
    pairs = list(zip(horizons, by_step, strict=True))
    return {f"{name}, h = {h}": f[name] for name in by_step[-1] for h, f in pairs if name in f}


def object_figures(
    clips: Clips, real_CKHWC: np.ndarray, drawn_CKHWC: np.ndarray, at_K: np.ndarray, colours: SpriteColours
) -> list[Figures]:
    """Where the sprites of predicted frames are and whether they are there at all, for each of K steps."""
    real, seen = find_sprites(real_CKHWC, colours), find_sprites(drawn_CKHWC, colours)
    errors = sprite_errors(clips, real, seen, at_K, colours)
    same_ball_CK = ~clips.served_CH[:, at_K]
    by_step: list[Figures] = [{} for _ in at_K]
    for k, figures in enumerate(by_step):
        for s, name in enumerate(real.names):
            there, drawn = real.present[:, k, s], seen.present[:, k, s]
            both, either = 2 * (there & drawn), there.astype(int) + drawn
            figures[f"{name} error, px"] = median(errors[:, k, s])
            figures[f"{name} within {NEAR:g} px"] = ratio(*near(errors[:, k, s]))
            figures[f"{name} existence F1"] = ratio(both, either)
            if name == "ball":
                figures[f"{name} existence F1{FORESEEABLE}"] = ratio(
                    both * same_ball_CK[:, k], either * same_ball_CK[:, k]
                )
    return by_step


def sprite_errors(
    clips: Clips, real: Sightings, seen: Sightings, at_K: np.ndarray, colours: SpriteColours
) -> np.ndarray:
    """Distance in pixels [C, K, S] between sprites that came and those predicted for the frames ``at_K``.

    NaN where a sprite was not there at the start, is not there now, or somebody scored since: after a point even the
    paddles begin anew. A picture's width where only the predicted one is missing.
    """
    start = find_sprites(clips.frames_CTHWC[:, clips.context - 1], colours)
    known = start.present[:, None] & ~clips.scored_CH[:, at_K, None]
    return np.where(known, position_errors(real, seen, missing=clips.frames_CTHWC.shape[2]), np.nan)


def near(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool: which sprites a dream followed, of which that can be said (NaN: of those not)."""
    return np.nan_to_num(errors, nan=np.inf) <= NEAR, np.isfinite(errors)


def action_worth(world: World, clips: Clips, sampling: SamplingConfig, dreamed_CHN: torch.Tensor, seed: int) -> Figures:
    """ΔtPSNR at t = 4 (Genie, arXiv 2402.15391) in dB: how much random actions cost against the inferred ones."""
    steps = min(4, dreamed_CHN.shape[1])
    generator = torch.Generator().manual_seed(seed)
    drawn_CT = torch.randint(world.config.dynamics.num_actions, clips.actions_CT.shape, generator=generator)
    drawn_CT[:, : clips.context - 1] = clips.actions_CT[:, : clips.context - 1]
    short = clips._replace(tokens_CTN=clips.tokens_CTN[:, : clips.context + steps])
    last = np.array([steps - 1])
    inferred, random = (
        score(world, clips, tokens[:, last], last)
        for tokens in (dreamed_CHN, roll(world, short, sampling, actions_CT=drawn_CT))
    )

    pixels = np.ones(len(inferred.error))

    def gain(cheap_C: np.ndarray, dear_C: np.ndarray, count_C: np.ndarray) -> Interval:
        return bootstrap_sums(lambda a, b, n: decibels(a / n) - decibels(b / n), cheap_C, dear_C, count_C)

    return {
        "ΔPSNR of the dream, foreground, t = 4, dB": gain(
            inferred.foreground_error[:, 0], random.foreground_error[:, 0], inferred.foreground[:, 0]
        ),
        "ΔPSNR of the dream, whole picture, t = 4, dB": gain(inferred.error[:, 0], random.error[:, 0], pixels),
    }


def usage_figures(counts_V: np.ndarray) -> Figures:
    """How much of a vocabulary is in use."""
    return {
        "tokens in use": Interval(float((counts_V > 0).sum()), count=int(counts_V.sum())),
        "tokens in use, share of the vocabulary": Interval(float((counts_V > 0).mean())),
        "tokens in use, perplexity": Interval(perplexity(counts_V)),
    }


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
    for name in dict.fromkeys(name for _, name, _ in game.action_directions if name in store.manifest.truth_names):
        # Where a paddle cannot move, no picture tells which action was taken.
        place_M = truth_MK[:, store.truth_column(name)]
        free_M = (place_M >= np.nanmin(place_M) + 4) & (place_M <= np.nanmax(place_M) - 4)
        subsets[f", {name.split('_')[0]} has room"] = np.flatnonzero(free_M)
    ours, majority = Figures(), Figures()
    for label, picks in subsets.items():
        ours[f"Hungarian accuracy{label}"] = block_bootstrap(hungarian_accuracy, codes_M[picks], effects_M[picks])
        ours[f"NMI{label}"] = block_bootstrap(normalised_mutual_information, codes_M[picks], effects_M[picks])
        majority[f"Hungarian accuracy{label}"] = block_bootstrap(_majority, codes_M[picks], effects_M[picks])
    shares = np.bincount(codes_M, minlength=num_codes) / len(codes_M)
    ours |= {f"share of code {code}": Interval(float(share)) for code, share in enumerate(shares)}
    ours["codes in use, perplexity"] = Interval(perplexity(shares))
    return ours, majority


def _majority(_: np.ndarray, effects_M: np.ndarray) -> float:
    return float(np.bincount(effects_M).max() / len(effects_M))


def delta_psnr(world: World, store: EpisodeStore, count: int, seed: int) -> Interval:
    """What the right code is worth to the latent action model's decoder on moving pixels, in dB."""
    model = copy.deepcopy(world.latent_action).cpu()
    transitions, rng = FrameDataset(store, "test"), np.random.default_rng(seed)
    batches = [transitions.transitions(rng, 32, model.config.context_frames) for _ in range(max(2, count // 32))]
    return mean(np.array([agreement(model, store, [batch])["delta_psnr"] for batch in batches]))


def outcome_figures(readings: list[Reading]) -> Figures:
    """F1 of reward events and of ends, read from real play; an event may be off by one frame."""

    def over(events: list[list[tuple[np.ndarray, np.ndarray]]]) -> Interval:
        def value(rows: np.ndarray) -> float:
            f1 = F1()
            for row in rows:
                for predicted_T, real_T in events[row]:
                    f1.add(predicted_T, real_T)
            return f1.value()

        return bootstrap(value, len(events))

    signs = [[(np.sign(r.read_rewards_T) == s, np.sign(r.rewards_T) == s) for s in (-1, 1)] for r in readings]
    return {"reward F1": over(signs), "termination F1": over([[(r.read_ended_T, r.ended_T)] for r in readings])}
