"""Monte Carlo tree search over sequences of actions, many at once.

The tree is of actions, not of states (open-loop planning: Bubeck and Munos 2010): every simulation dreams its whole
sequence from where the game stands, so that what a node is worth is a mean over the world's own chances, and a batch of
simulations is one batch of rows. Selection is by upper confidence bounds (UCT, Kocsis and Szepesvári 2006), returns are
scaled to what the search has seen (MuZero, arXiv 1911.08265), and sequences of one batch keep apart because each counts
as a visit without a return until it has one. Owns the search; knows no world.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from genie_env.config.bounds import require_number
from genie_env.planners.imagination import Imagine
from genie_env.planners.settings import PlannerSettings


@dataclass(frozen=True)
class TreeSearch(PlannerSettings):
    """Settings of the tree search, which make a plan.

    Raises:
        ValueError: naming the setting, its value and what was expected.
    """

    exploration: float = 1.0
    """Weight of what was tried little against what paid."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("exploration", self.exploration, 0.0, 1e6)

    def plan(self, imagine: Imagine, num_actions: int, rng: np.random.Generator) -> int:
        """The action to hold now.

        Args:
            imagine: dreams sequences from where the game stands.
            num_actions: that there are to choose from.
            rng: draws the end of sequences and breaks ties.
        """
        root, scale = _Node.empty(num_actions), _Scale()
        for _ in range(self.rounds):
            choices_RC = rng.integers(num_actions, size=(self.rows, self.num_choices))
            paths = [self._descend(root, choices_C, scale, rng) for choices_C in choices_RC]
            returns_RT = imagine(choices_RC.repeat(self.hold, axis=1)[:, : self.horizon]).returns(self.discount)
            for path, choices_C, returns_T in zip(paths, choices_RC, returns_RT, strict=True):
                for depth, node in enumerate(path):
                    found = float(returns_T[depth * self.hold])
                    node.total_A[choices_C[depth]] += found
                    node.returned_A[choices_C[depth]] += 1
                    scale.see(found)
        # Most tried, then best, then by chance.
        return int(np.lexsort((rng.random(num_actions), root.mean_A, root.visits_A))[-1])

    def _descend(self, root: _Node, choices_C: np.ndarray, scale: _Scale, rng: np.random.Generator) -> list[_Node]:
        """Write the search's choices over the first of ``choices_C``; returns the nodes that it chose in."""
        node, path = root, []
        for depth in range(len(choices_C)):
            action = node.best(scale, self.exploration, rng)
            choices_C[depth] = action
            new = node.visits_A[action] == 0
            node.visits_A[action] += 1
            path.append(node)
            if new:
                break
            node = node.children.setdefault(action, _Node.empty(len(node.visits_A)))
        return path


@dataclass
class _Node:
    """What was tried after a sequence of actions."""

    visits_A: np.ndarray
    """Simulations that chose each action, those without a return yet included."""
    returned_A: np.ndarray
    total_A: np.ndarray
    """Sum of the returns."""
    children: dict[int, _Node] = field(default_factory=dict)

    @classmethod
    def empty(cls, num_actions: int) -> _Node:
        return cls(np.zeros(num_actions), np.zeros(num_actions), np.zeros(num_actions))

    @property
    def mean_A(self) -> np.ndarray:
        return self.total_A / np.maximum(self.returned_A, 1)

    def best(self, scale: _Scale, exploration: float, rng: np.random.Generator) -> int:
        """The action with the highest upper confidence bound, untried ones first."""
        # A simulation without a return counts as the worst one seen.
        worth_A = scale.unit(self.mean_A) * self.returned_A / np.maximum(self.visits_A, 1)
        spread_A = np.sqrt(np.log(max(1.0, self.visits_A.sum())) / np.maximum(self.visits_A, 1))
        bound_A = np.where(self.visits_A == 0, np.inf, worth_A + exploration * spread_A)
        return int(np.lexsort((rng.random(len(bound_A)), bound_A))[-1])


class _Scale:
    """Lowest and highest return that a search has seen."""

    def __init__(self) -> None:
        self._low, self._high = np.inf, -np.inf

    def see(self, value: float) -> None:
        self._low, self._high = min(self._low, value), max(self._high, value)

    def unit(self, values_A: np.ndarray) -> np.ndarray:
        """Returns between 0 and 1; one half where all were equal so far."""
        if not self._high > self._low:
            return np.full(len(values_A), 0.5)
        return (values_A - self._low) / (self._high - self._low)
