"""What a world reads from held-out episodes: tokens of their frames, latent actions, rewards and ends."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np

from genie_env.games.sprites import sprite_of
from genie_env.measurement import WORLD, Measurement, Metric, Subset, with_fields
from genie_env.models.latent_action import LatentActionModel
from genie_env.statistics import Interval, block_bootstrap, bootstrap_sums, mean, psnr, ratio
from training.data.dataset import FrameDataset
from training.evaluation.array_metrics import high_frequency_power, perplexity, pixel_errors, ssim, token_flips
from training.evaluation.dreams import MEDIAN
from training.evaluation.held_out import HeldOutPlay
from training.evaluation.sprites import count_pixels_left
from training.latent_action.agreement import hungarian_accuracy, normalised_mutual_information
from training.latent_action.task import agreement
from training.outcome.event_scores import event_counts, f1

TOKENIZER, LATENT_ACTIONS, OUTCOME = "tokenizer", "latent_actions", "outcome"
MAJORITY = "majority"
FLIP_FRAMES = 500
"""Frames at the beginning of each episode in which flipping tokens are counted."""
ROOM = 4.0
"""Pixels from the extremes of its coordinate from which a sprite has room to move."""


def measure_tokenizer(play: HeldOutPlay, count: int, seed: int) -> list[Measurement]:
    """``count`` frames drawn back from their tokens, and how many of the tokens are in use."""
    frames_MHWC, tokens_MN = play.frames(count, seed)
    drawn_MHWC = play.world.decode(tokens_MN[None])[0].cpu().numpy()
    empty_MHWC = np.broadcast_to(play.background_HWC, frames_MHWC.shape)
    counts_V = np.bincount(tokens_MN.numpy().ravel(), minlength=play.world.config.tokenizer.vocab_size)
    return with_fields(
        [
            *_of_drawn(play, frames_MHWC, drawn_MHWC),
            Measurement.of(Metric.TOKEN_FLIPS, _flips(play)),
            *measure_usage(counts_V),
            *with_fields(_of_drawn(play, frames_MHWC, empty_MHWC), source=MEDIAN),
        ],
        experiment=TOKENIZER,
    )


def _flips(play: HeldOutPlay) -> Interval:
    """Share of unchanged patches whose token changes, over the beginnings of the episodes."""
    found = []
    for episode in play.episodes:
        tokens_TN = episode.tokens_TN[:FLIP_FRAMES].numpy()
        found.append(token_flips(play.store.array("frames", episode.entry)[: len(tokens_TN)], tokens_TN))
    flipped_M, still_M = (np.concatenate(column) for column in zip(*found, strict=True))
    return ratio(flipped_M, still_M)


def measure_usage(counts_V: np.ndarray) -> list[Measurement]:
    """How much of a vocabulary is in use."""
    in_use = counts_V > 0
    return [
        Measurement.of(Metric.TOKENS_IN_USE, Interval(float(in_use.sum()), count=int(counts_V.sum()))),
        Measurement.of(Metric.VOCABULARY_SHARE, in_use.mean()),
        Measurement.of(Metric.TOKEN_PERPLEXITY, perplexity(counts_V)),
    ]


def measure_latent_actions(play: HeldOutPlay, count: int, seed: int) -> list[Measurement]:
    """Agreement with the effects of the real actions, where they are known, use of the codes, and what they are worth
    to the decoder.
    """
    if play.world.latent_action is None:
        return []
    columns = ("codes_T", "effects_T", "truth_TK")
    codes_M, effects_M, truth_MK = (np.concatenate([getattr(e, c) for e in play.episodes]) for c in columns)
    found = _agreement(codes_M, effects_M) if play.store.manifest.source.has_actions else []
    for name in dict.fromkeys(name for _, name, _ in play.game.action_directions):
        if name in play.store.manifest.truth_names:
            # Where a paddle cannot move, no picture tells which action was taken.
            place_M = truth_MK[:, play.store.truth_column(name)]
            free_M = (place_M >= np.nanmin(place_M) + ROOM) & (place_M <= np.nanmax(place_M) - ROOM)
            of_free = _agreement(codes_M[free_M], effects_M[free_M])
            found += with_fields(of_free, subset=Subset.ROOM_TO_MOVE, sprite=sprite_of(name))
    shares_A = np.bincount(codes_M, minlength=play.world.config.dynamics.num_actions) / len(codes_M)
    found += [Measurement.of(Metric.CODE_SHARE, share, subset=f"code {code}") for code, share in enumerate(shares_A)]
    found.append(Measurement.of(Metric.CODE_PERPLEXITY, perplexity(shares_A)))
    decoder = _decoder_worth(play.world.latent_action, play, count, seed)
    found.append(Measurement.of(Metric.DECODER_DELTA_PSNR, decoder, subset=Subset.MOVING_PIXELS))
    return with_fields(found, experiment=LATENT_ACTIONS)


def measure_outcome(play: HeldOutPlay) -> list[Measurement]:
    """F1 of reward events and of ends, read from real play; an event may be off by one frame.

    Nothing where neither is known.
    """
    if play.world.config.outcome is None:
        return []
    rewards_E4 = [
        sum(event_counts(np.sign(e.read_rewards_T) == sign, np.sign(e.rewards_T) == sign) for sign in (-1, 1))
        for e in play.episodes
    ]
    ends_E4 = [event_counts(e.read_ended_T, e.ended_T) for e in play.episodes]
    return [
        Measurement.of(metric, bootstrap_sums(f1, *np.array(counts_E4).T), experiment=OUTCOME)
        for metric, counts_E4 in ((Metric.REWARD_F1, rewards_E4), (Metric.TERMINATION_F1, ends_E4))
    ]


def _of_drawn(play: HeldOutPlay, real_MHWC: np.ndarray, drawn_MHWC: np.ndarray) -> list[Measurement]:
    error_M, foreground_error_M, foreground_M = pixel_errors(real_MHWC, drawn_MHWC, play.background_HWC)

    def power(frames_MHWC: np.ndarray) -> np.ndarray:
        return high_frequency_power(frames_MHWC.astype(np.float32) - play.background_HWC)

    found = [
        Measurement.of(Metric.PSNR, psnr(error_M, np.ones_like(error_M))),
        Measurement.of(Metric.FOREGROUND_PSNR, psnr(foreground_error_M, foreground_M)),
        Measurement.of(Metric.SSIM, mean(ssim(real_MHWC, drawn_MHWC))),
        Measurement.of(Metric.HIGH_FREQUENCIES, ratio(power(drawn_MHWC), power(real_MHWC))),
        Measurement.of(Metric.EXACT_FRAMES, mean((real_MHWC == drawn_MHWC).all((1, 2, 3)))),
    ]
    if play.game.colours is not None:
        counts = count_pixels_left(real_MHWC, drawn_MHWC, play.game.colours)
        for s, sprite in enumerate(play.game.colours.sprites):
            share = ratio(counts.left_BS[:, s], counts.all_BS[:, s])
            found.append(Measurement.of(Metric.PIXELS_KEPT, share, sprite=sprite))
    return found


def _agreement(codes_M: np.ndarray, effects_M: np.ndarray) -> list[Measurement]:
    """Ours, and that of always naming the most frequent effect."""
    accuracy = partial(Measurement.of, Metric.HUNGARIAN_ACCURACY)
    return [
        accuracy(block_bootstrap(hungarian_accuracy, codes_M, effects_M), source=WORLD),
        Measurement.of(Metric.NMI, block_bootstrap(normalised_mutual_information, codes_M, effects_M)),
        accuracy(block_bootstrap(_majority_share, effects_M), source=MAJORITY),
    ]


def _majority_share(effects_M: np.ndarray) -> float:
    return float(np.bincount(effects_M).max() / len(effects_M))


def _decoder_worth(latent_action: LatentActionModel, play: HeldOutPlay, count: int, seed: int) -> Interval:
    """PSNR in dB that the latent action model's decoder gains by the right code, over batches of transitions."""
    model = copy.deepcopy(latent_action).cpu()
    transitions, rng = FrameDataset(play.store, "test"), np.random.default_rng(seed)
    batches = [transitions.transitions(rng, 32, model.config.context_frames) for _ in range(max(2, count // 32))]
    return mean(np.array([agreement(model, play.store, [batch])["delta_psnr"] for batch in batches]))
