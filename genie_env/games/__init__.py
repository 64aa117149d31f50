"""Games: what is known of each, their sprites, their players, and the real game behind a world."""

from genie_env.games import breakout, pong
from genie_env.games.registry import register_game

register_game(pong.GAME)
register_game(breakout.GAME)
