"""A planner in one game: it follows the game by its frames and plans in dreams. Same methods as a policy's player."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, Protocol

import numpy as np

from genie_env.config import WorldConfig
from genie_env.envs.options import ActionType
from genie_env.planners.cross_entropy import CrossEntropy
from genie_env.planners.imagination import Imagination, Imagine, Imagined
from genie_env.planners.tree_search import TreeSearch
from genie_env.policies.spec import make_policy_spec

PREFIX = "planner:"
"""Beginning of the name of a planner where the folder of a policy may stand, too."""
PLANNERS: dict[str, type[CrossEntropy] | type[TreeSearch]] = {"cem": CrossEntropy, "tree": TreeSearch}


class Planner(Protocol):
    """Chooses an action by trying sequences of them; settings with a method."""

    @property
    def hold(self) -> int:
        """Steps that the chosen action is held."""
        ...

    def plan(self, imagine: Imagine, num_actions: int, rng: np.random.Generator, /) -> int:
        """The action to hold now, from 0."""
        ...


class PlanState(NamedTuple):
    """What decides how a planning player goes on."""

    place: Any
    rng: np.random.Generator
    action: int
    left: int


class PlanningPlayer:
    """Plays one game with a planner: :meth:`begin`, then :meth:`act` and :meth:`see` in turns."""

    def __init__(
        self, planner: Planner, imagination: Imagination, actions: tuple[int, ...], rng: np.random.Generator
    ) -> None:
        """Sit down.

        Args:
            planner: that chooses.
            imagination: of this game alone.
            actions: of the dream that it chooses from.
            rng: the player's own generator.
        """
        self._planner, self._imagination, self._rng = planner, imagination, rng
        self._actions_A = np.array(actions, np.int64)
        self._action, self._left = 0, 0

    def begin(self, tokens_N: np.ndarray) -> None:
        """A game begins with these tokens."""
        self._imagination.begin(tokens_N)
        self._left = 0

    def see(self, action: int, tokens_N: np.ndarray) -> None:
        """The game played an action of the dream, whoever chose it, and these are its tokens [N] now."""
        self._imagination.see(action, tokens_N)

    def act(self) -> int:
        """Choose one of the actions, from 0; a new plan is made when the last one's action was held long enough."""
        if self._left == 0:
            self._action = self._planner.plan(self._imagine, len(self._actions_A), self._rng)
            self._left = self._planner.hold
        self._left -= 1
        return self._action

    def _imagine(self, choices_RT: np.ndarray) -> Imagined:
        return self._imagination.imagine(self._actions_A[choices_RT], self._rng)

    def snapshot(self) -> PlanState:
        """What decides how the player goes on, for :meth:`restore`."""
        return PlanState(self._imagination.snapshot(), copy.deepcopy(self._rng), self._action, self._left)

    def restore(self, state: PlanState) -> None:
        """Go back to a snapshot, which stays usable."""
        self._imagination.restore(state.place)
        self._rng, self._action, self._left = copy.deepcopy(state.rng), state.action, state.left


def choosable_actions(config: WorldConfig, action_type: ActionType) -> tuple[int, ...]:
    """Actions of a world's dreams that differ: of those with the same effect the first."""
    if config.action_map is None:
        return tuple(range(config.dynamics.num_actions))
    return make_policy_spec(config, "tokens", action_type).dream_actions


def find_planner(name: str, **settings: Any) -> CrossEntropy | TreeSearch:
    """The planner that ``planner:NAME`` means, with some of its settings.

    Raises:
        ValueError: if there is none of this name, or a setting is not as expected.
    """
    kind = PLANNERS.get(name.removeprefix(PREFIX))
    if kind is None:
        raise ValueError(f"planner: expected one of {[PREFIX + one for one in PLANNERS]}, got {name!r}")
    return kind(**settings)
