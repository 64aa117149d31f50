"""What a recording says about its players: figures that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genie_env.config import SourceConfig
from genie_env.data.description import GRID, describe
from genie_env.data.episodes import Episode, EpisodeStore, EpisodeWriter

SOURCE = SourceConfig("Made-up-v0")


def episode(player: str, rewards: list[float], moving: list[tuple[int, int]], size: int = 16) -> Episode:
    """An episode in whose n-th step the pixel ``moving[n]`` changes; without a pixel nothing does."""
    frames = [np.zeros((size, size, 3), dtype=np.uint8)]
    for step in range(len(rewards)):
        frames.append(frames[-1].copy())
        if step < len(moving):
            frames[-1][moving[step]] += 1
    truth = np.zeros((len(frames), 0))
    return Episode(np.stack(frames), np.zeros(len(rewards), int), np.array(rewards), True, truth, player)


def recording(folder: Path, episodes: list[Episode], source: SourceConfig = SOURCE) -> EpisodeStore:
    writer = EpisodeWriter(folder, source)
    writer.write_shard(0, episodes)
    return writer.finish(1)


def test_returns_lengths_and_cells_are_each_players_own(tmp_path: Path) -> None:
    store = recording(
        tmp_path / "data",
        [
            episode("good", [1, 0, 1], [(0, 0), (0, 1), (15, 15)]),
            episode("bad", [0, -1], [(3, 3)]),
            episode("good", [1, 1, 1, 1, 1], [(4, 4)]),
        ],
    )
    bad, good = describe(store).players
    assert (bad.player, good.player) == ("bad", "good")
    assert good.returns.count == 2 and good.returns.value == 3.5 and good.steps == 8 and good.length.value == 4
    assert good.returns_per_1000.value == pytest.approx(1000 * 7 / 8)
    # Two pixels of the first step lie in one cell of 2 by 2 pixels.
    assert good.moved == 3 / GRID**2 and bad.moved == 1 / GRID**2
    assert bad.returns.value == -1 and good.returns.low <= 3.5 <= good.returns.high


def test_frames_that_no_grid_fits_are_covered_to_the_edge(tmp_path: Path) -> None:
    moving = [(y, x) for y in range(18) for x in range(18)]
    store = recording(tmp_path / "data", [episode("all", [0.0] * len(moving), moving, size=18)])
    assert describe(store).players[0].moved == 1


def test_the_text_has_a_row_for_each_player_and_says_whether_actions_are_repeated(tmp_path: Path) -> None:
    episodes = [episode("random", [0.0, 1.0], []), episode("biased", [1.0], [])]
    text = describe(recording(tmp_path / "off", episodes)).text()
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:4]] == ["biased", "random"]
    assert text.endswith("Sticky actions are off.\n")
    sticky = SourceConfig("Made-up-v0", env_kwargs={"repeat_action_probability": 0.25})
    assert "with probability 0.25" in describe(recording(tmp_path / "on", episodes, sticky)).text()


def test_episodes_without_a_step_count_for_nothing(tmp_path: Path) -> None:
    store = recording(tmp_path / "data", [episode("a", [], []), episode("b", [1.0], [])])
    assert [player.player for player in describe(store).players] == ["b"]
