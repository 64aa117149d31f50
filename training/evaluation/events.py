"""What happens in a step of a recording, and what kind of mistake a dreamed frame makes there.

Events are those of sprites, and need a game whose sprites are known; kinds of mistakes need tokens only. Knows nothing
of worlds or of dreams that go on.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from genie_env.games.sprites import find_sprites, sprite_of
from training.evaluation.held_out import Clips, HeldOutPlay

STILL = 0.2
"""Pixels a step up to which a sprite stands still."""
TOUCH = (6.0, 8.0)
"""Columns and rows between the centres of the tracked sprite and another one, up to which it turns at that one."""
REACH = 4.0
"""Pixels from a wrong patch within which a sprite's centre makes the mistake one of that sprite."""
HARDLY_SEEN = 3
"""Times that training play showed a token at a place, below which the token is rare there."""
POINT, TARGET, SERVE, GONE, WALL = "point", "target hit", "serve", "out of sight", "bounce at a wall"
ELSEWHERE, ANYWHERE = "elsewhere in the picture", "anywhere"


class Events(NamedTuple):
    """What happens to sprites in the step to each predicted frame."""

    where: dict[str, np.ndarray]
    """Column and row of each sprite in every frame of the clips, float [C, T, 2]; NaN while it is absent."""
    what: dict[str, np.ndarray]
    """What happens to each sprite, str [C, H]; empty: it goes on as it did."""
    tracked: str

    def of(self, clip: int, step: int, wrong_places_P: np.ndarray, context: int, patch: tuple[int, float]) -> str:
        """The event of a step in which some places are wrong: that of the sprite there, now, next, or just before.

        Args:
            clip: of the clips.
            step: of the predicted frames.
            wrong_places_P: places whose tokens are wrong, counted row by row.
            context: real frames of the clips before the first predicted one.
            patch: places in a row of the frame, and the pixels of an edge of each.
        """
        if not self.where:
            return ANYWHERE
        concerned = [name for name in self.where if self._near(name, clip, step + context, wrong_places_P, patch)]
        steps = self.what[self.tracked].shape[1]
        window = [t for t in (step, step + 1, step - 1) if 0 <= t < steps]
        if self.tracked in concerned or not concerned:
            # What a point does, such as to digits, is drawn away from the sprites, too.
            shared = (POINT, TARGET, SERVE, GONE)
            around = [self.what[self.tracked][clip, t] for t in window]
            found = [event for event in around if event and (event in shared or self.tracked in concerned)]
            if found:
                return found[0]
        for name in concerned:
            if name != self.tracked:
                found = [self.what[name][clip, t] for t in window if self.what[name][clip, t]]
                if found:
                    return found[0]
        return f"{concerned[0]} on its way" if concerned else ELSEWHERE

    def happened(self, before_C: np.ndarray) -> dict[str, int]:
        """How often each event happens in the first ``before_C`` steps of the clips; one that lasts counts once."""
        counts: dict[str, int] = {}
        for what_CH in self.what.values():
            begins_CH = what_CH.copy()
            begins_CH[:, 1:][what_CH[:, 1:] == what_CH[:, :-1]] = ""
            counted = np.arange(what_CH.shape[1]) < before_C[:, None]
            names, numbers = np.unique(begins_CH[counted], return_counts=True)
            for name, number in zip(names.tolist(), numbers.tolist(), strict=True):
                if name:
                    counts[name] = counts.get(name, 0) + number
        return counts

    def _near(self, name: str, clip: int, t: int, places_P: np.ndarray, patch: tuple[int, float]) -> bool:
        side, edge = patch
        for x, y in self.where[name][clip, max(t - 1, 0) : t + 1]:
            for place in places_P if math.isfinite(x) else ():
                row, column = divmod(int(place), side)
                middle_x, middle_y = (column + 0.5) * edge - 0.5, (row + 0.5) * edge - 0.5
                if max(abs(x - middle_x), abs(y - middle_y)) <= edge / 2 + REACH:
                    return True
        return False


def find_events(play: HeldOutPlay, clips: Clips) -> Events:
    """Events of the clips' predicted frames, from ground truth, or else from sprites found by their colours."""
    where = positions(play, clips)
    tracked = play.game.tracked
    if tracked not in where:
        return Events({}, {}, tracked)
    first = clips.context
    what = {}
    for name, xy_CT2 in where.items():
        turns_CT = np.asarray(_turns(xy_CT2).any(2))
        labels_CT = np.where(turns_CT, f"turn of {name}", "").astype(object)
        if name == tracked:
            labels_CT = _of_tracked(xy_CT2, turns_CT, {k: v for k, v in where.items() if k != tracked})
            labels_CT[:, first:] = _outcomes(labels_CT[:, first:], clips.outcomes_CH, turns_CT[:, first:])
        what[name] = labels_CT[:, first:]
    return Events(where, what, tracked)


def positions(play: HeldOutPlay, clips: Clips) -> dict[str, np.ndarray]:
    """Column and row of each sprite, float [C, T, 2]; nothing where the game's sprites are not known."""
    names = play.store.manifest.truth_names
    columns = {name: clips.truth_CTK[..., index] for index, name in enumerate(names)}
    if not columns and play.game.colours is not None:
        columns = find_sprites(clips.frames_CTHWC, play.game.colours).coordinates()
    sprites = dict.fromkeys(sprite_of(name) for name in columns)
    return {
        sprite: np.stack([columns[f"{sprite}_x"], columns[f"{sprite}_y"]], axis=-1).astype(np.float64)
        for sprite in sprites
        if {f"{sprite}_x", f"{sprite}_y"} <= set(columns)
    }


def kind_of_mistake(
    before_P: np.ndarray, came_P: np.ndarray, dreamed_P: np.ndarray, counts_P: np.ndarray, outcome: bool
) -> str:
    """What kind of mistake wrong places show, whatever the game.

    Args:
        before_P: real tokens of the wrong places in the frame before.
        came_P: what came.
        dreamed_P: what was dreamed.
        counts_P: how often training play showed at these places what came.
        outcome: whether a point was scored or the game ended.
    """
    if outcome:
        return "at a reward or an end"
    if (counts_P == 0).any():
        return "a token that training play never had there"
    if (counts_P < HARDLY_SEEN).any():
        return f"a token seen there fewer than {HARDLY_SEEN} times"
    stays, kept = (came_P == before_P).all(), (dreamed_P == before_P).all()
    return "moved what stays" if stays else "left what changes" if kept else "changed it otherwise"


def _turns(xy_CT2: np.ndarray) -> np.ndarray:
    """Whether a coordinate begins to move otherwise than it last did, bool [C, T, 2]."""
    turns_CT2 = np.zeros(xy_CT2.shape, bool)
    last_C2 = np.zeros((len(xy_CT2), 2))
    for t in range(1, xy_CT2.shape[1]):
        step_C2 = xy_CT2[:, t] - xy_CT2[:, t - 1]
        sign_C2 = np.where(np.abs(step_C2) > STILL, np.sign(step_C2), 0.0)
        turns_CT2[:, t] = (sign_C2 * last_C2) < 0
        # A sprite that came back has no direction yet; one that rests for a moment keeps its own.
        last_C2 = np.where(np.isnan(step_C2), 0.0, np.where(sign_C2 == 0, last_C2, sign_C2))
    return turns_CT2


def _of_tracked(xy_CT2: np.ndarray, turns_CT: np.ndarray, others: dict[str, np.ndarray]) -> np.ndarray:
    """Bounces, serves and disappearances of the tracked sprite, str [C, T]."""
    labels_CT = np.where(turns_CT, WALL, "").astype(object)
    before_CT2 = np.concatenate([xy_CT2[:, :1], xy_CT2[:, :-1]], axis=1)
    for name, other_CT2 in others.items():
        touches_CT = np.asarray((np.abs(before_CT2 - other_CT2) <= TOUCH).all(2))
        labels_CT[turns_CT & touches_CT] = f"bounce at {name}"
    there_CT = np.asarray(np.isfinite(xy_CT2).all(2))
    labels_CT[:, 1:][there_CT[:, 1:] & ~there_CT[:, :-1]] = SERVE
    labels_CT[:, 1:][~there_CT[:, 1:] & there_CT[:, :-1]] = GONE
    return labels_CT


def _outcomes(labels_CH: np.ndarray, outcomes_CH: np.ndarray, turns_CH: np.ndarray) -> np.ndarray:
    """The same labels with outcomes: at a target the sprite turns, just then or a frame earlier or later."""
    near_CH = turns_CH.copy()
    near_CH[:, 1:] |= turns_CH[:, :-1]
    near_CH[:, :-1] |= turns_CH[:, 1:]
    return np.where(outcomes_CH, np.where(near_CH, TARGET, POINT), labels_CH)
