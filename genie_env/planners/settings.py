"""How far and how much a planner thinks ahead, checked."""

from __future__ import annotations

from dataclasses import dataclass

from genie_env.config.bounds import require_number, require_sizes
from genie_env.files.json_config import JsonConfig


@dataclass(frozen=True)
class PlannerSettings(JsonConfig):
    """What the planners share.

    Raises:
        ValueError: naming the setting, its value and what was expected.
    """

    horizon: int = 32
    """Steps that a plan looks ahead."""
    hold: int = 4
    """Steps that each action of a plan is held, and after which a new plan is made."""
    rows: int = 32
    """Sequences that are dreamed at once."""
    rounds: int = 3
    """Batches of so many sequences in each plan."""
    discount: float = 0.98
    """Worth of a reward one step later, in (0, 1]."""

    def __post_init__(self) -> None:
        require_sizes(self)
        require_number("discount", self.discount, 0.0, 1.0)
        if self.discount == 0:
            raise ValueError("discount: expected a number > 0, got 0")
        if self.hold > self.horizon:
            raise ValueError(f"hold: expected at most the horizon of {self.horizon} steps, got {self.hold}")

    @property
    def num_choices(self) -> int:
        """Actions of a plan; the last one is cut where the horizon ends."""
        return -(-self.horizon // self.hold)

    @property
    def dreamed_steps(self) -> int:
        """Steps dreamed for each plan, all rows together."""
        return self.horizon * self.rows * self.rounds
