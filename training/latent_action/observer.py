"""What a perfect observer of the pictures could name: at a wall nothing shows which key is held.

Replays a recording in the real game. At each step all actions are tried from the same state of the console, and
compared by the frames that follow. Works for games without chance whose state can be copied (``clone_state`` and
``restore_state``, as the Arcade Learning Environment's).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from genie_env.data.episodes import EpisodeEntry, EpisodeStore
from genie_env.games.registry import merged_effects
from genie_env.games.source_game import SourceGame, make_source_game


def observer_codes(store: EpisodeStore, split: str, later: int = 0) -> np.ndarray:
    """Names [M] that an observer gives who sees every difference between frames, but nothing that no frame shows.

    Of the effects that lead to the very frames that came, it names the one that is most often right in such a case.

    Args:
        store: the recording.
        split: its episodes to look at.
        later: frames after the next one that the observer waits for, under the recorded actions.

    Raises:
        ValueError: if the game's state cannot be copied, or it does not replay the recording.
    """
    effects = merged_effects(store.manifest.source)
    alike: list[frozenset[int]] = []
    taken: list[int] = []
    for entry in store.split(split):
        actions_T = store.array("actions", entry)[:-1]
        taken += effects[actions_T].tolist()
        alike += _alike(store, entry, effects, later)
    often: dict[frozenset[int], Counter[int]] = defaultdict(Counter)
    for case, effect in zip(alike, taken, strict=True):
        often[case][effect] += 1
    return np.array([often[case].most_common(1)[0][0] for case in alike], dtype=np.int64)


def _alike(store: EpisodeStore, entry: EpisodeEntry, effects: np.ndarray, later: int) -> list[frozenset[int]]:
    """For each transition the effects that would have led to the same frames."""
    frames, actions = store.array("frames", entry), store.array("actions", entry)
    game = make_source_game(store.manifest.source)
    console: Any = game.unwrapped
    if not hasattr(console, "clone_state"):
        raise ValueError(f"{store.manifest.source.env_id}: expected a game whose state can be copied (clone_state)")
    representative = {int(effect): int(np.flatnonzero(effects == effect)[0]) for effect in np.unique(effects)}
    frame, _ = game.reset(seed=0)
    found = []
    for t in range(len(actions) - 1):
        if not np.array_equal(frame, frames[t]):
            raise ValueError(
                f"{store.folder}: frame {t} of an episode differs when it is replayed; has the game chance?"
            )
        state, own = console.clone_state(), int(effects[actions[t]])
        same = {own}
        for effect, action in representative.items():
            if effect != own and _leads_to(game, action, actions, frames, t, later):
                same.add(effect)
            console.restore_state(state)
        found.append(frozenset(same))
        frame = game.step(int(actions[t]))[0]
    game.close()
    return found


def _leads_to(game: SourceGame, action: int, actions: np.ndarray, frames: np.ndarray, t: int, later: int) -> bool:
    """Whether ``action`` instead of the recorded one, and the recorded ones after it, give the recorded frames."""
    for ahead in range(min(later + 1, len(frames) - 1 - t)):
        frame = game.step(action if ahead == 0 else int(actions[t + ahead]))[0]
        if not np.array_equal(frame, frames[t + ahead + 1]):
            return False
    return True
