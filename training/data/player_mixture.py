"""The mixture of players that makes recordings varied.

A world can only dream what it has seen, so the mixture has long rallies, points won and lost, and every action in
every situation. An agent that learns to win in the dream leaves the weaker players behind: without a player that wins,
the world would have to guess what its best shots do.
"""

from __future__ import annotations

import numpy as np

from genie_env.games.players import AimPlayer, BiasedPlayer, FollowPlayer, Player, RandomPlayer, StickyRandomPlayer
from genie_env.games.registry import Game
from training.data.agent_players import require_agents, split_mixture

MIXTURE = {"random": 0.1, "sticky": 0.15, "follow": 0.25, "aim": 0.5}
"""Who plays games with a script."""
UNSCRIPTED_MIXTURE = {"random": 0.1, "sticky": 0.2, "biased": 0.7}
"""Who plays all others: most often the player that arrives where only long sequences of one action lead."""
SCRIPTED = ("follow", "aim")
UNSCRIPTED = {"random": RandomPlayer, "sticky": StickyRandomPlayer, "biased": BiasedPlayer}
PLAYERS = (*UNSCRIPTED, *SCRIPTED)


def default_mixture(game: Game) -> dict[str, float]:
    """Who plays ``game`` where the user does not say."""
    return dict(MIXTURE if game.follow is not None else UNSCRIPTED_MIXTURE)


def check_mixture(mixture: dict[str, float], game: Game) -> dict[str, float]:
    """The mixture with the players that can play ``game``: without ground truth, those that need not see.

    Raises:
        ValueError: if a player is not known, a weight is no weight, or no player is left.
    """
    _check_names_and_weights(mixture)
    able = {name: weight for name, weight in mixture.items() if name not in SCRIPTED or game.follow is not None}
    if not sum(able.values()):
        raise ValueError(f"players: expected one that can play {game.source.env_id} with a weight > 0, got {mixture}")
    return able


def check_players(mixture: dict[str, float]) -> None:
    """Refuse players that no game has, or that cannot play here, before anything is recorded.

    Raises:
        ImportError: if a learner or a policy is to play, and the extra 'agents' is missing.
        ValueError: if a player is not known, a weight is no weight, or no player is left.
    """
    own, by_agents = split_mixture(mixture)
    _check_names_and_weights(own)
    _check_weights(by_agents)
    if not sum(mixture.values()):
        raise ValueError(f"players: expected one with a weight > 0, got {mixture}")
    require_agents(by_agents)


def _check_names_and_weights(mixture: dict[str, float]) -> None:
    for name in mixture:
        if name not in PLAYERS:
            raise ValueError(f"players: expected names of {sorted(PLAYERS)}, learner or policy:FOLDER, got {name!r}")
    _check_weights(mixture)


def _check_weights(mixture: dict[str, float]) -> None:
    for name, weight in mixture.items():
        if not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise ValueError(f"players: expected a weight >= 0 for {name!r}, got {weight!r}")


def make_player(
    game: Game, num_actions: int, rng: np.random.Generator, mixture: dict[str, float] | None = None
) -> tuple[str, Player]:
    """Draw one player of the mixture (default: :func:`default_mixture`); see :func:`check_mixture`."""
    able = check_mixture(default_mixture(game) if mixture is None else mixture, game)
    weights = np.array(list(able.values()))
    name = str(rng.choice(list(able), p=weights / weights.sum()))
    if name in SCRIPTED:
        assert game.follow is not None
        mistakes = float(rng.choice([0.02, 0.1, 0.3]))
        if name == "follow":
            return name, FollowPlayer(game.follow, rng, mistakes, reach=float(rng.choice([2.5, 4.0, 6.0])))
        lead = float(rng.choice([0.5, 1.0, 1.5]))
        return name, AimPlayer(game.follow, rng, mistakes, reach=float(rng.choice([1.0, 2.5, 4.0])), lead=lead)
    return name, UNSCRIPTED[name](num_actions, rng)
