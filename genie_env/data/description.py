"""What a recording says about its players: how good they are, and where in the picture anything moved.

A world cannot dream what its recording never showed, or what only bad players did. What moves by itself counts as
movement too, so the cells of a game with much traffic say little about where its player was.

Owns these figures and their table. Knows nothing about how a recording was made.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genie_env.data.episodes import EpisodeEntry, EpisodeStore
from genie_env.games.recorded_source import sticky_probability
from genie_env.statistics import Interval, mean, ratio
from genie_env.tables import markdown_table

GRID = 8
"""Cells of the picture along each edge."""
MOST_STEPS = 10_000
"""Steps of each player in which its cells are looked at, evenly spread; more change little and take long to read."""


class PlayerDescription(NamedTuple):
    """One player's part of a recording."""

    player: str
    steps: int
    returns: Interval
    """Sum of the rewards of an episode, and the number of episodes; a game that was cut counts as several."""
    returns_per_1000: Interval
    """Sum of the rewards of 1,000 steps: compares players whose episodes were cut at different lengths."""
    length: Interval
    """Steps of an episode."""
    moved: float
    """Share of the picture's cells in which anything moved."""


class Description(NamedTuple):
    """A whole recording."""

    players: tuple[PlayerDescription, ...]
    sticky: float
    """Probability with which the game repeats the last action at random."""

    def text(self) -> str:
        """A table with one row for each player, and a line about sticky actions; ends with a newline."""
        header = ("player", "episodes", "steps", "mean return", "per 1,000 steps", "mean length", "cells with movement")
        rows = [
            (p.player, p.returns.count, p.steps, p.returns, p.returns_per_1000, p.length, f"{100 * p.moved:.0f} %")
            for p in self.players
        ]
        sticky = "Sticky actions are off."
        if self.sticky > 0:
            sticky = f"Sticky actions are on: the game repeats the last action with probability {self.sticky:g}."
        return f"{markdown_table(header, rows)}\n{sticky}\n"


def describe(store: EpisodeStore) -> Description:
    """Describe the players of a recording, in the order of their names; both splits count."""
    by_player: dict[str, list[EpisodeEntry]] = {}
    for entry in store.manifest.episodes:
        if entry.length > 1:
            by_player.setdefault(entry.player, []).append(entry)
    players = []
    for player, entries in sorted(by_player.items()):
        returns_E = np.array([store.array("rewards", entry).sum(dtype=np.float64) for entry in entries])
        steps_E = np.array([entry.length - 1 for entry in entries])
        moved = float(cells_with_movement(store, entries).mean())
        per_1000 = ratio(1000 * returns_E, steps_E)
        players.append(PlayerDescription(player, int(steps_E.sum()), mean(returns_E), per_1000, mean(steps_E), moved))
    return Description(tuple(players), sticky_probability(store.manifest.source))


def cells_with_movement(store: EpisodeStore, entries: list[EpisodeEntry]) -> np.ndarray:
    """In which cells of the picture anything moved during these episodes, bool [GRID, GRID]."""
    lengths_E = np.array([entry.length - 1 for entry in entries])
    picks = np.linspace(0, lengths_E.sum() - 1, min(MOST_STEPS, lengths_E.sum())).round().astype(np.int64)
    moved_GG = np.zeros((GRID, GRID), dtype=bool)
    for entry, end, length in zip(entries, np.cumsum(lengths_E), lengths_E, strict=True):
        rows = picks[(picks >= end - length) & (picks < end)] - (end - length)
        frames_THWC = store.array("frames", entry)
        moved_HW = (frames_THWC[rows] != frames_THWC[rows + 1]).any((0, 3))
        for row, pixels in enumerate(np.array_split(moved_HW, GRID, axis=0)):
            for column, cell in enumerate(np.array_split(pixels, GRID, axis=1)):
                moved_GG[row, column] |= cell.any()
    return moved_GG
