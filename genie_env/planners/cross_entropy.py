"""The cross-entropy method over sequences of actions.

Sequences are drawn from a distribution for each choice of the plan; the distributions move to the best of them, and
again (Rubinstein 1999; for planning in learned models: PlaNet, arXiv 1811.04551). Owns the method; knows no world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genie_env.config.bounds import require_number
from genie_env.planners.imagination import Imagine
from genie_env.planners.settings import PlannerSettings


@dataclass(frozen=True)
class CrossEntropy(PlannerSettings):
    """Settings of the cross-entropy method, which make a plan.

    Raises:
        ValueError: naming the setting, its value and what was expected.
    """

    elite_share: float = 0.2
    """Share of the sequences that the distributions move to, in (0, 1]."""
    kept: float = 0.2
    """How much of a distribution stays when it moves, in [0, 1]: a chance for what no elite did."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("elite_share", self.elite_share, 0.0, 1.0)
        require_number("kept", self.kept, 0.0, 1.0)

    def plan(self, imagine: Imagine, num_actions: int, rng: np.random.Generator) -> int:
        """The action to hold now.

        Args:
            imagine: dreams sequences from where the game stands.
            num_actions: that there are to choose from.
            rng: draws the sequences.
        """
        chances_CA = np.full((self.num_choices, num_actions), 1 / num_actions)
        elites = max(1, round(self.elite_share * self.rows))
        for _ in range(self.rounds):
            choices_RC = _draw(chances_CA, self.rows, rng)
            returns_R = imagine(choices_RC.repeat(self.hold, axis=1)[:, : self.horizon]).returns(self.discount)[:, 0]
            # Ties, which are many where rewards are few, are broken by chance.
            best_EC = choices_RC[np.lexsort((rng.random(self.rows), -returns_R))[:elites]]
            shares_CA = (best_EC[:, :, None] == np.arange(num_actions)).mean(0)
            chances_CA = self.kept * chances_CA + (1 - self.kept) * shares_CA
        return int(chances_CA[0].argmax())


def _draw(chances_CA: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Sequences int64 [R, C], each choice drawn by its own chances."""
    uniform_RC1 = rng.random((rows, len(chances_CA), 1))
    beyond_RCA = uniform_RC1 >= chances_CA.cumsum(-1)
    return beyond_RCA.sum(-1).clip(max=chances_CA.shape[1] - 1)
