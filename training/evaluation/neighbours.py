"""What a recording's other play says comes next: the nearest moments of its training episodes.

A prediction from memory alone, with which a world's own is compared. Whole frames hardly ever come twice, since score
and opponent differ. So every place of the frame has neighbours of its own: the moments at which the places around it
showed exactly the same in the last frames, and the same was done. Of those the nearest count, by how much of the whole
picture was the same. A place that has none is looked up without the places around it, and else stays as it is.

Found by sorted 64-bit hashes, twice a number and two indices for each place of each moment: 250 MB for 100,000 frames
of 64 places. Equal hashes of other content are possible, and need never be expected. Knows tokens only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.experience import Experience

FRAMES = 2
"""Frames of a context: two show how things move. With four there are fewer neighbours, which are hardly better."""
AROUND = 1
"""Places around a place that are its surroundings: in Pong 5x5 places have neighbours a tenth less often than 3x3."""
NEAREST = 5
"""Neighbours that count."""
_CHUNK = 4096  # moments whose hashes are made together


class _Surroundings:
    """The moments of training play, found by what a place and those around it showed and by what was done."""

    def __init__(self, around: int, contexts_MKN: np.ndarray, actions_M: np.ndarray, next_MN: np.ndarray) -> None:
        self.around, self.side = around, int(contexts_MKN.shape[2] ** 0.5)
        size = 2 * around + 1
        rng = np.random.default_rng(0)
        self._border = int(contexts_MKN.max()) + 1
        shape = (contexts_MKN.shape[1], size, size, self._border + 2)
        self._numbers_KYXV = rng.integers(2**64, size=shape, dtype=np.uint64)
        self._numbers_A = rng.integers(2**64, size=int(actions_M.max()) + 2, dtype=np.uint64)
        moments, places = len(actions_M), contexts_MKN.shape[2]
        keys_NM = np.empty((places, moments), np.uint64)
        for start in range(0, moments, _CHUNK):
            part = slice(start, start + _CHUNK)
            keys_NM[:, part] = self.keys(contexts_MKN[part], actions_M[part]).T
        self._order_NM = np.empty((places, moments), np.int32)
        self._changes_NM = np.zeros((places, moments), np.int32)
        for place in range(places):
            order_M = keys_NM[place].argsort(kind="stable")
            self._order_NM[place] = order_M
            keys_NM[place] = keys_NM[place, order_M]
            self._changes_NM[place, 1:] = np.diff(next_MN[order_M, place].astype(np.int64)).astype(bool).cumsum()
        self._keys_NM = keys_NM

    def keys(self, contexts_CKN: np.ndarray, actions_C: np.ndarray) -> np.ndarray:
        """A hash of the surroundings of each place, uint64 [C, N]; tokens and actions never seen get one of theirs."""
        rows, frames, _ = contexts_CKN.shape
        side, pad = self.side, self.around
        tokens_CKYX = np.full((rows, frames, side + 2 * pad, side + 2 * pad), self._border, np.int64)
        inner = slice(pad, pad + side)
        known = np.where(contexts_CKN < self._border, contexts_CKN, self._border + 1)
        tokens_CKYX[:, :, inner, inner] = known.reshape(rows, frames, side, side)
        actions = np.where(actions_C < len(self._numbers_A) - 1, actions_C, len(self._numbers_A) - 1)
        keys_CYX = np.repeat(self._numbers_A[actions], side * side).reshape(rows, side, side)
        for k, y, x in np.ndindex(self._numbers_KYXV.shape[:3]):
            keys_CYX += self._numbers_KYXV[k, y, x][tokens_CKYX[:, k, y : y + side, x : x + side]]
        return keys_CYX.reshape(rows, -1)

    def span(self, place: int, keys_C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last+1 of the moments with these hashes, as indices into :meth:`moments`."""
        low, high = (np.searchsorted(self._keys_NM[place], keys_C, side) for side in ("left", "right"))
        return low, high

    def moments(self, place: int, low: int, high: int) -> np.ndarray:
        """The moments of a span."""
        return self._order_NM[place, low:high]

    def agree(self, place: int, low_C: np.ndarray, high_C: np.ndarray) -> np.ndarray:
        """Whether the place became the same after all moments of each span, bool [C]; False where there are none."""
        changes_M = self._changes_NM[place]
        last = len(changes_M) - 1
        return (high_C > low_C) & (changes_M[np.minimum(low_C, last)] == changes_M[np.maximum(high_C - 1, 0)])


@dataclass(frozen=True)
class Answer:
    """What the neighbours of one place say."""

    tokens: np.ndarray
    """What the place became at each of the neighbours, the nearest first; empty: there are none."""
    surrounded: bool
    """Whether the places around it were the same, too."""

    @property
    def agree(self) -> bool:
        """Whether all of them say the same."""
        return len(self.tokens) > 0 and bool((self.tokens == self.tokens[0]).all())

    @property
    def token(self) -> int:
        """What most of them say; of equals the nearest."""
        votes = (self.tokens[:, None] == self.tokens).sum(1)
        return int(self.tokens[votes.argmax()])


class Neighbours:
    """Training play, to be asked what came next in contexts int [C, K, N] of ``FRAMES`` frames, the newest last."""

    def __init__(self, experience: Experience) -> None:
        """Sort the training play.

        Raises:
            ValueError: if no training episode has a context and a frame after it.
        """
        moments_M = experience.moments(FRAMES)
        if not len(moments_M):
            raise ValueError(f"expected a training episode of at least {FRAMES + 1} frames")
        ages_K = np.arange(FRAMES)[::-1]
        contexts_MKN = experience.tokens_FN[moments_M[:, None] - ages_K]
        self._actions_M = experience.actions_F[moments_M]
        self._next_MN = experience.tokens_FN[moments_M + 1]
        rate_N = experience.changing_N()
        self._changing_P = np.flatnonzero(rate_N)
        # Seldom changed places, such as digits, count less than those where things move; the root keeps these few in.
        self._weights_Q = np.tile(np.sqrt(rate_N[self._changing_P]), FRAMES).astype(np.float32)
        self._levels = [_Surroundings(around, contexts_MKN, self._actions_M, self._next_MN) for around in (AROUND, 0)]
        self._of_action = {int(a): np.flatnonzero(self._actions_M == a) for a in np.unique(self._actions_M)}
        self._seen = {a: self._visible(contexts_MKN[rows]) for a, rows in self._of_action.items()}

    def ask(self, place: int, context_KN: np.ndarray, action: int, apart_M: np.ndarray | None = None) -> Answer:
        """The neighbours of one place; ``apart_M`` are the :meth:`distances` of the context where they are known."""
        for level in self._levels:
            keys_1N = level.keys(context_KN[None], np.array([action]))
            low, high = (int(end[0]) for end in level.span(place, keys_1N[:, place]))
            if high > low:
                moments = level.moments(place, low, high)
                apart_M = self.distances(context_KN, action) if apart_M is None else apart_M
                nearest = moments[_smallest(apart_M[moments], NEAREST)]
                return Answer(self._next_MN[nearest, place], level.around > 0)
        return Answer(np.zeros(0, np.uint16), False)

    def predict(self, contexts_CKN: np.ndarray, actions_C: np.ndarray) -> np.ndarray:
        """The next frame of each context as the neighbours of each place have it, int64 [C, N]."""
        predicted_CN = contexts_CKN[:, -1].astype(np.int64)
        level = self._levels[0]
        keys_CN = level.keys(contexts_CKN, actions_C)
        open_CN = np.ones(predicted_CN.shape, bool)
        for place in range(predicted_CN.shape[1]):
            low_C, high_C = level.span(place, keys_CN[:, place])
            # Where all say the same, which of them are nearest does not matter.
            sure_C = level.agree(place, low_C, high_C)
            open_CN[:, place] = ~sure_C
            for c in np.flatnonzero(sure_C):
                predicted_CN[c, place] = self._next_MN[level.moments(place, low_C[c], low_C[c] + 1)[0], place]
        for c in np.flatnonzero(open_CN.any(1)):
            apart_M = self.distances(contexts_CKN[c], int(actions_C[c]))
            for place in np.flatnonzero(open_CN[c]):
                answer = self.ask(int(place), contexts_CKN[c], int(actions_C[c]), apart_M)
                if len(answer.tokens):
                    predicted_CN[c, place] = answer.token
        return predicted_CN

    def predict_whole(self, contexts_CKN: np.ndarray, actions_C: np.ndarray) -> np.ndarray:
        """The next frame of the moment whose whole picture is nearest to each context, int64 [C, N].

        After an action that was never taken everything stays as it is.
        """
        predicted_CN = contexts_CKN[:, -1].astype(np.int64)
        for c, action in enumerate(actions_C):
            if int(action) in self._of_action:
                predicted_CN[c] = self._next_MN[self.distances(contexts_CKN[c], int(action)).argmin()]
        return predicted_CN

    def distances(self, context_KN: np.ndarray, action: int) -> np.ndarray:
        """How much of the picture differs at each moment, float32 [M]; infinite where something else was done.

        Counted are the places that ever change, each by the root of how often it does.
        """
        apart_M = np.full(len(self._actions_M), np.inf, np.float32)
        seen_QM = self._seen.get(int(action))
        if seen_QM is not None:
            differs_M = np.zeros(seen_QM.shape[1], np.float32)
            # One place after the other: a row at a time stays in the processor's cache.
            for seen_M, wanted, weight in zip(seen_QM, self._visible(context_KN[None]), self._weights_Q, strict=True):
                differs_M += weight * (seen_M != wanted)
            apart_M[self._of_action[int(action)]] = differs_M
        return apart_M

    def _visible(self, contexts_CKN: np.ndarray) -> np.ndarray:
        """The Q = K * P tokens that distances count, [Q, C]."""
        return np.ascontiguousarray(contexts_CKN[:, :, self._changing_P].reshape(len(contexts_CKN), -1).T)


def _smallest(values_M: np.ndarray, count: int) -> np.ndarray:
    """Indices of the smallest values, the smallest first."""
    some = np.argpartition(values_M, count - 1)[:count] if len(values_M) > count else np.arange(len(values_M))
    return some[np.argsort(values_M[some], kind="stable")]
