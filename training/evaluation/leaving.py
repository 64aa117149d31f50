"""Where dreams leave the recording: the first wrong frame of each, what happened there, and who could have known.

Owns what leaving is and what it is put down to. Neighbours are those of :mod:`training.evaluation.neighbours`; how
anything is written or drawn is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import torch

from genie_env.measurement import WORLD, Measurement, Metric, Subset
from genie_env.statistics import ratio
from training.evaluation.array_metrics import count_places
from training.evaluation.dreams import COPY_LAST, DREAM, ONE_STEP, hits
from training.evaluation.events import Events, find_events, kind_of_mistake
from training.evaluation.experience import Experience
from training.evaluation.held_out import Clips, HeldOutPlay
from training.evaluation.neighbours import FRAMES, Neighbours

STAYS = 5
"""Frames in a row that are wrong when a dream has left: a single one that is right again has not."""
ASKED_STEPS = 8
"""Frames of each clip that are predicted by neighbours from real ones, evenly spread."""
ROLLED_CLIPS = 48
"""Clips that neighbours roll out."""
HORIZONS = (1, 5, 10, 20, 50)
NEIGHBOURS, WHOLE = "neighbours", "nearest_frame"


class Cause(StrEnum):
    """What the neighbours of the wrong places say; the first of these that any of the places has, from the last."""

    KNOWN = "determined and seen"
    """They agree, and are right: training play has shown it."""
    OPEN = "ambiguous"
    """They disagree."""
    MISLED = "they agree on another"
    """They agree, and something else came: what decided it is not in the context."""
    UNSEEN = "unseen"
    """There are none with the same surroundings."""


@dataclass(frozen=True)
class Leaving:
    """The first frame that is wrong, and stays wrong, of one clip's dream."""

    clip: int
    step: int
    """Of the predicted frames, from 0."""
    places: tuple[int, ...]
    """Whose tokens are wrong."""
    event: str
    kind: str
    cause: Cause
    likely: bool
    """Whether the most likely tokens, predicted from the real frames before, are right: the drawing is to blame."""


class Departed(NamedTuple):
    """All that left, of how many clips of how many steps, and how often each event happened before."""

    found: list[Leaving]
    step_C: np.ndarray
    """Step at which each clip's dream leaves, int [C]; the number of steps where it never does."""
    steps: int
    happened: dict[str, int]


def leaving_steps(clips: Clips, dreamed_CHN: torch.Tensor) -> np.ndarray:
    """The first of ``STAYS`` wrong frames in a row, int [C]; the number of dreamed frames where there is none."""
    wrong_CH = (dreamed_CHN != clips.real_CHN).any(-1).numpy()
    steps = wrong_CH.shape[1]
    if steps < STAYS:
        return np.full(len(wrong_CH), steps)
    stays_CH = np.lib.stride_tricks.sliding_window_view(wrong_CH, STAYS, axis=1).all(-1)
    return np.where(np.asarray(stays_CH).any(1), np.asarray(stays_CH).argmax(1), steps)


def find_departures(
    play: HeldOutPlay,
    clips: Clips,
    dreamed_CHN: torch.Tensor,
    likely_CHN: torch.Tensor,
    experience: Experience,
    neighbours: Neighbours,
) -> Departed:
    """Where each clip's dream leaves, and what that is put down to.

    Args:
        play: world and recording.
        clips: held-out ones.
        dreamed_CHN: their dreams.
        likely_CHN: the most likely tokens of each frame, predicted from the real frames before it.
        experience: what training play shows.
        neighbours: the same, to be asked.
    """
    step_C, steps = leaving_steps(clips, dreamed_CHN), dreamed_CHN.shape[1]
    events = find_events(play, clips)
    counts_NV = count_places(experience.tokens_FN, play.world.config.tokenizer.vocab_size)
    found = []
    for clip in np.flatnonzero(step_C < steps):
        step = int(step_C[clip])
        came_N, dreamed_N = clips.real_CHN[clip, step].numpy(), dreamed_CHN[clip, step].numpy()
        places = np.flatnonzero(came_N != dreamed_N)
        found.append(
            Leaving(
                int(clip),
                step,
                tuple(places.tolist()),
                _event(events, play, clips, int(clip), step, places),
                kind_of_mistake(
                    clips.previous_CHN[clip, step].numpy()[places],
                    came_N[places],
                    dreamed_N[places],
                    counts_NV[places, came_N[places]],
                    bool(clips.outcomes_CH[clip, step]),
                ),
                cause_of(neighbours, clips, int(clip), step, places),
                bool((likely_CHN[clip, step] == clips.real_CHN[clip, step]).all()),
            )
        )
    return Departed(found, step_C, steps, events.happened(np.minimum(step_C + 2, steps)))


def _event(events: Events, play: HeldOutPlay, clips: Clips, clip: int, step: int, places: np.ndarray) -> str:
    side = play.world.config.dynamics.side
    return events.of(clip, step, places, clips.context, (side, clips.frames_CTHWC.shape[2] / side))


def cause_of(neighbours: Neighbours, clips: Clips, clip: int, step: int, places: np.ndarray) -> Cause:
    """What the neighbours of these places of a predicted frame say, taken together."""
    context_KN, action = contexts(clips, slice(clip, clip + 1), step)
    causes = []
    for place in places:
        answer = neighbours.ask(int(place), context_KN[0], int(action[0]))
        if not answer.surrounded:
            causes.append(Cause.UNSEEN)
        elif not answer.agree:
            causes.append(Cause.OPEN)
        else:
            came = int(clips.real_CHN[clip, step, place])
            causes.append(Cause.KNOWN if answer.token == came else Cause.MISLED)
    return max(causes, key=list(Cause).index)


def contexts(clips: Clips, rows: slice, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The real frames before a predicted one, int [C, FRAMES, N], and the actions there, int [C]."""
    at = clips.context + step
    return clips.tokens_CTN[rows, at - FRAMES : at].numpy(), clips.actions_CT[rows, at - 1].numpy()


def measure_neighbours(
    clips: Clips, dreamed_CHN: torch.Tensor, likely_CHN: torch.Tensor, neighbours: Neighbours
) -> list[Measurement]:
    """Changed-token accuracy of the world, of neighbours and of copies: one step from real frames, and rolled out."""
    steps = dreamed_CHN.shape[1]
    asked = np.unique(np.linspace(0, steps - 1, ASKED_STEPS).astype(int))
    every = [contexts(clips, slice(None), int(step)) for step in asked]
    predicted = {
        WORLD: likely_CHN[:, asked],
        NEIGHBOURS: _stacked(neighbours.predict(*pair) for pair in every),
        WHOLE: _stacked(neighbours.predict_whole(*pair) for pair in every),
        COPY_LAST: clips.previous_CHN[:, asked],
    }
    found = [
        Measurement.of(
            Metric.CHANGED_TOKEN_ACCURACY, ratio(*hits(clips, tokens, asked)), source=source, experiment=ONE_STEP
        )
        for source, tokens in predicted.items()
    ]
    few = clips.select(slice(ROLLED_CLIPS), steps)
    rolled = {
        WORLD: dreamed_CHN[:ROLLED_CLIPS],
        NEIGHBOURS: roll(few, neighbours.predict),
        COPY_LAST: few.previous_CHN[:, :1].expand(-1, steps, -1),
    }
    for source, tokens in rolled.items():
        for horizon in (h for h in HORIZONS if h <= steps):
            at = np.array([horizon - 1])
            right, changed = (x * ~few.served_CH[:, at] for x in hits(few, tokens[:, at], at))
            found.append(
                Measurement.of(
                    Metric.CHANGED_TOKEN_ACCURACY,
                    ratio(right, changed),
                    source=source,
                    horizon=horizon,
                    subset=Subset.BEFORE_SERVE,
                    experiment=DREAM,
                )
            )
    return found


def roll(clips: Clips, step_on: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> torch.Tensor:
    """Predict all frames after the clips' context one from the other, int64 [C, H, N].

    Args:
        clips: contexts, and the actions that were taken.
        step_on: from contexts [C, FRAMES, N] and actions [C] to the next frame [C, N].
    """
    context_CKN, frames = contexts(clips, slice(None), 0)[0], []
    for step in range(clips.scored_CH.shape[1]):
        frames.append(step_on(context_CKN, contexts(clips, slice(None), step)[1]))
        context_CKN = np.concatenate([context_CKN[:, 1:], frames[-1][:, None]], axis=1)
    return torch.from_numpy(np.stack(frames, axis=1))


def _stacked(frames: Iterable[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(list(frames), axis=1))
