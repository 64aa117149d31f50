"""What a first look at a game decides about who plays it, and for how many steps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from genie_env.config import SourceConfig
from training.planning import game_plan
from training.planning.game_plan import LEARNER_MINUTES, MOSTLY_LEARNER, PLAYERS, PLAYERS_AND_LEARNER, plan_game
from training.planning.probe import GameProbe

SOURCE = SourceConfig("Made-up-v0", action_meanings=("LEFT", "RIGHT"), effects=(0, 1), fps=30.0)
PROBE = GameProbe(SOURCE, np.zeros((2, 64, 64, 3), np.uint8), (0.0,), (300, 310), 600, 200.0, False)


def players(probe: GameProbe) -> str:
    return str(plan_game(probe, 60).recipe.record["players"])


def test_a_learner_plays_most_where_others_lose_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = dataclasses.replace(PROBE, episode_steps=(9, 11, 10))
    named = {name: str(shares["learner"]) for name, shares in (("some", PLAYERS_AND_LEARNER), ("most", MOSTLY_LEARNER))}
    assert f'"learner": {named["some"]}' in players(PROBE) and f'"learner": {named["most"]}' in players(at_once)
    monkeypatch.setattr(game_plan, "can_learn", lambda: False)
    assert "learner" not in players(at_once) and set(PLAYERS) == {"random", "sticky", "biased"}


def test_practice_is_planned_for() -> None:
    practising = dataclasses.replace(PROBE, tells_state=True)
    steps, fewer = (plan_game(probe, 60).recipe.steps for probe in (PROBE, practising))
    assert 0.5 * steps < fewer < steps
    assert plan_game(practising, 60).recipe.record["learner_minutes"] == pytest.approx(LEARNER_MINUTES * 7.2, abs=0.1)


def test_the_whole_picture_is_kept_where_the_plan_says_so_of_games_with_a_crop_of_their_own() -> None:
    source = dataclasses.replace(SOURCE, env_id="ALE/Pong-v5")
    pong = dataclasses.replace(PROBE, source=source, pictures_MHWC=np.zeros((2, 210, 160, 3), np.uint8))
    plan = plan_game(pong, 60)
    assert any("keep the whole picture" in reason for reason in plan.choices)
    assert plan.recipe.record["crop"] == (0, 210, 0, 160)
