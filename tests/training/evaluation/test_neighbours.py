"""Neighbours know what training play determines, and say so where it does not: on miniatures of 4x4 places."""

from __future__ import annotations

import numpy as np
import pytest

from genie_env.data.episodes import NO_ACTION
from training.evaluation.experience import Experience, join_episodes, read_experience
from training.evaluation.held_out import HeldOutPlay, mapped_actions
from training.evaluation.neighbours import NEAREST, Neighbours

SIDE = 4
PLACES = SIDE * SIDE


def walk(start: int, actions_T: np.ndarray) -> np.ndarray:
    """A token 1 that goes round the places, forward at action 1 and back at action 0: [T+1, N], all determined."""
    at_T = (start + np.concatenate([[0], np.cumsum(2 * actions_T - 1)])) % PLACES
    return (np.arange(PLACES) == at_T[:, None]).astype(np.uint16)


def walks(seed: int, count: int) -> Experience:
    rng = np.random.default_rng(seed)
    actions = [rng.integers(2, size=30) for _ in range(count)]
    return join_episodes([walk(int(rng.integers(PLACES)), actions_T) for actions_T in actions], actions)


def contexts(experience: Experience) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contexts [M, 2, N], actions [M] and the frames [M, N] that came."""
    moments_M = experience.moments(2)
    pairs = experience.tokens_FN[np.stack([moments_M - 1, moments_M], axis=1)]
    return pairs, experience.actions_F[moments_M], experience.tokens_FN[moments_M + 1]


def test_what_is_determined_and_was_seen_is_predicted_exactly() -> None:
    neighbours, (contexts_CKN, actions_C, came_CN) = Neighbours(walks(0, 40)), contexts(walks(1, 3))
    assert (neighbours.predict(contexts_CKN, actions_C) == came_CN).all()
    assert (neighbours.predict_whole(contexts_CKN, actions_C) == came_CN).all()
    for place in range(PLACES):
        answer = neighbours.ask(place, contexts_CKN[0], int(actions_C[0]))
        assert answer.surrounded and answer.agree and answer.token == came_CN[0, place]
        assert 0 < len(answer.tokens) <= NEAREST


def test_neighbours_of_what_is_random_disagree() -> None:
    rng = np.random.default_rng(0)
    frames = np.zeros((400, PLACES), np.uint16)
    frames[::3, 5] = 1 + rng.integers(2, size=len(frames[::3]))
    neighbours = Neighbours(join_episodes([frames], [np.zeros(399, int)]))
    blank_KN = np.zeros((2, PLACES), np.uint16)
    answer = neighbours.ask(5, blank_KN, 0)
    assert answer.surrounded and not answer.agree
    assert set(answer.tokens) <= {1, 2}
    assert neighbours.ask(15, blank_KN, 0).agree, "places far from it are not in doubt"


def test_what_was_never_seen_has_no_neighbours_and_stays() -> None:
    neighbours = Neighbours(walks(0, 40))
    strange_KN = np.full((2, PLACES), 9, np.uint16)
    answer = neighbours.ask(3, strange_KN, 1)
    assert not len(answer.tokens) and not answer.surrounded and not answer.agree
    assert (neighbours.predict(strange_KN[None], np.array([1])) == 9).all()
    known_KN = contexts(walks(1, 1))[0][0]
    assert not len(neighbours.ask(3, known_KN, 7).tokens), "an action that was never taken"
    assert (neighbours.predict_whole(known_KN[None], np.array([7])) == known_KN[-1]).all()


def test_strange_surroundings_leave_the_place_itself_to_be_looked_up() -> None:
    neighbours = Neighbours(walks(0, 40))
    context_KN = contexts(walks(1, 1))[0][0].copy()
    context_KN[:, 1] = 9
    answer = neighbours.ask(0, context_KN, 1)
    assert len(answer.tokens) and not answer.surrounded
    assert neighbours.ask(15, context_KN, 1).surrounded


def test_of_neighbours_that_differ_elsewhere_the_nearest_count() -> None:
    # What place 15 becomes is decided by place 0, which is not around it, when place 15 shows 1.
    def decided_by(decided: int) -> np.ndarray:
        context_KN = np.zeros((2, PLACES), np.uint16)
        context_KN[:, 0], context_KN[1, 15] = 1 + decided, 1
        return context_KN

    frames = []
    for decided in np.random.default_rng(0).integers(2, size=200):
        after_1N = np.zeros((1, PLACES), np.uint16)
        after_1N[0, 15] = 2 + decided
        frames.append(np.concatenate([decided_by(int(decided)), after_1N]))
    neighbours = Neighbours(join_episodes(frames, [np.zeros(2, int)] * 200))
    for decided in range(2):
        answer = neighbours.ask(15, decided_by(decided), 0)
        assert answer.agree and answer.token == 2 + decided
        assert neighbours.predict(decided_by(decided)[None], np.array([0]))[0, 15] == 2 + decided


def test_episodes_do_not_run_into_each_other() -> None:
    ones, twos = np.full((3, PLACES), 1), np.full((4, PLACES), 2)
    experience = join_episodes([ones, twos], [np.zeros(2, int), np.zeros(3, int)])
    assert experience.moments(2).tolist() == [1, 4, 5]
    neighbours = Neighbours(experience)
    assert not len(neighbours.ask(0, np.stack([ones[0], twos[0]]), 0).tokens)
    with pytest.raises(ValueError, match="at least 3 frames"):
        Neighbours(join_episodes([ones[:2]], [np.zeros(1, int)]))
    with pytest.raises(ValueError, match="two frames"):
        join_episodes([ones[:1]], [np.zeros(0, int)])


def test_training_play_is_read_with_its_actions_and_no_more_than_asked(held_out: HeldOutPlay) -> None:
    store, experience = held_out.store, read_experience(held_out, 10_000)
    entries = store.split("train")
    assert len(experience.tokens_FN) == sum(entry.length for entry in entries)
    starts = np.flatnonzero(experience.age_F == 0)
    assert len(starts) == len(entries)
    start, entry = int(starts[2]), entries[2]
    frames = np.array(store.array("frames", entry))[None]
    assert (experience.tokens_FN[start : start + entry.length] == held_out.world.encode(frames)[0].numpy()).all()
    played_T = store.array("actions", entry)[:-1].astype(np.int64)
    mapped_T = mapped_actions(held_out.world, played_T)
    expected_T = held_out.world.infer_actions(frames)[0].numpy() if mapped_T is None else mapped_T
    assert (experience.actions_F[start : start + entry.length - 1] == expected_T).all()
    assert experience.actions_F[start + entry.length - 1] == NO_ACTION
    assert 100 < len(read_experience(held_out, 300).tokens_FN) <= 300
