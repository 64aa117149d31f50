"""Players that recordings are made with: where the aiming one goes, and who plays at all."""

from __future__ import annotations

import numpy as np
import pytest

from genie_env.games.players import AimPlayer, Follow
from genie_env.games.registry import game_for
from tests.helpers.tiny_game import ENV_ID
from training.data.player_mixture import (
    MIXTURE,
    PLAYERS,
    SCRIPTED,
    UNSCRIPTED_MIXTURE,
    check_mixture,
    default_mixture,
    make_player,
)

FOLLOW = Follow(stay=0, back=1, forth=2)
WALLS, LINE = (4.0, 60.0), 56.0
NAN = float("nan")


def reflected(at: float) -> float:
    """Where between the walls a ball is that flew straight on to ``at``."""
    low, span = WALLS[0], WALLS[1] - WALLS[0]
    at = (at - low) % (2 * span)
    return low + min(at, 2 * span - at)


def distance_on_arrival(player: AimPlayer, start: float, slope: float, speed: float = 3.0) -> float:
    """Serve a ball from the left; how far from its centre the paddle stands when it arrives."""
    ball_x, travelled, own = 6.0, start, 30.0
    while ball_x < LINE:
        seen = {"ball_x": ball_x, "ball_y": reflected(travelled), "own_x": LINE, "own_y": own}
        own += {0: 0.0, 1: -speed, 2: speed}[player.act(seen)]
        ball_x, travelled = ball_x + 1.6, travelled + slope
    return own - reflected(travelled)


def knowing_the_walls(rng_seed: int = 0, **settings: float) -> AimPlayer:
    player = AimPlayer(FOLLOW, np.random.default_rng(rng_seed), lead=0.0, **settings)
    for _ in range(2):
        for wall in WALLS:
            player.act({"ball_x": 30.0, "ball_y": wall, "own_x": LINE, "own_y": 30.0})
    player.reset()
    return player


@pytest.mark.parametrize("slope", [-4.0, -2.5, -0.3, 0.0, 1.3, 2.6, 3.5])
def test_the_aiming_player_stands_where_the_ball_arrives_however_often_it_bounces(slope: float) -> None:
    assert abs(distance_on_arrival(knowing_the_walls(), 20.0, slope)) <= 3.0  # one move of the paddle


def test_it_hits_with_another_part_of_the_paddle_each_time_and_never_beyond_its_reach() -> None:
    player = knowing_the_walls(reach=4.0)
    away = {"ball_x": 20.0, "ball_y": 30.0, "own_x": LINE, "own_y": 30.0}
    distances = []
    for _ in range(40):
        distances.append(distance_on_arrival(player, 30.0, 1.3))
        player.act(away)  # The ball goes back to the left.
    assert max(np.abs(distances)) <= 4.0 + 3.0
    assert min(distances) < -2 and max(distances) > 2


def test_a_paddle_that_runs_on_swings_less_about_the_ball_when_it_is_let_go_in_time() -> None:
    def swing(lead: float) -> float:
        player = AimPlayer(FOLLOW, np.random.default_rng(0), lead=lead)
        own, moving, places = 30.0, 0.0, []
        for t in range(60):
            seen = {"ball_x": 6.0 + 0.5 * t, "ball_y": 50.0, "own_x": LINE, "own_y": own}
            moving = 0.8 * moving + {0: 0.0, 1: -1.5, 2: 1.5}[player.act(seen)]
            own += moving
            places.append(own)
        assert 40 < np.mean(places[-20:]) < 60
        return float(np.std(places[-20:]))

    assert swing(2.0) < swing(0.0) / 2


def test_the_aiming_player_serves_where_that_takes_an_action_and_stays_where_it_sees_no_paddle() -> None:
    unseen = {"ball_x": NAN, "ball_y": NAN, "own_x": LINE, "own_y": 30.0}
    assert AimPlayer(FOLLOW, np.random.default_rng(0)).act(unseen) == FOLLOW.stay
    assert AimPlayer(FOLLOW._replace(serve=3), np.random.default_rng(0)).act(unseen) == 3
    player = AimPlayer(FOLLOW, np.random.default_rng(0))
    for x in (10.0, 12.0, 14.0):
        assert player.act({"ball_x": x, "ball_y": 5.0, "own_x": NAN, "own_y": NAN}) == FOLLOW.stay


def test_a_known_game_is_recorded_by_all_players_and_an_unknown_one_by_those_that_need_not_see() -> None:
    rng = np.random.default_rng(0)
    for game, mixture in (("ALE/Pong-v5", MIXTURE), (ENV_ID, UNSCRIPTED_MIXTURE)):
        assert default_mixture(game_for(game)) == mixture and sum(mixture.values()) == pytest.approx(1)
    known = {make_player(game_for("ALE/Pong-v5"), 6, rng)[0] for _ in range(100)}
    unknown = {make_player(game_for(ENV_ID), 3, rng)[0] for _ in range(100)}
    assert known == set(MIXTURE) and unknown == set(UNSCRIPTED_MIXTURE) == set(PLAYERS) - set(SCRIPTED)


def test_a_mixture_draws_its_own_players_only_and_says_what_is_wrong_with_it() -> None:
    pong, unknown = game_for("ALE/Pong-v5"), game_for(ENV_ID)
    rng = np.random.default_rng(0)
    assert {make_player(pong, 6, rng, {"aim": 1, "sticky": 0})[0] for _ in range(30)} == {"aim"}
    assert {make_player(unknown, 6, rng, {"aim": 9, "sticky": 1})[0] for _ in range(30)} == {"sticky"}
    assert {make_player(pong, 6, rng, {"aim": 1, "biased": 1})[0] for _ in range(30)} == {"aim", "biased"}
    for mixture, message in [
        ({"clever": 1.0}, "got 'clever'"),
        ({"aim": -1.0}, "weight >= 0 for 'aim'"),
        ({"aim": "much"}, "weight >= 0 for 'aim'"),
        ({}, "can play ALE/Pong-v5"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_mixture(mixture, pong)
    with pytest.raises(ValueError, match="can play"):
        check_mixture({"aim": 1.0}, unknown)
