"""Which agent plays at the window: the world's own policy, another one, or a planner. Knows no windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from genie_env.bundle import read_config
from genie_env.bundled_policy import policy_of
from genie_env.envs.options import OptionFlags
from genie_env.planners.imagination import open_imagination
from genie_env.planners.player import PREFIX, PlanningPlayer, choosable_actions, find_planner
from genie_env.policies.player import PolicyPlayer, TokenPlayer
from genie_env.policies.token_policy import TokenPolicy, load_token_policy


class Watchable(NamedTuple):
    """An agent before it sits down at a game."""

    action_type: str
    """Kind of the actions of the games that it plays."""
    actions: tuple[int, ...]
    """Of the dream, for each of the agent's."""
    make_player: Callable[[np.random.Generator], TokenPlayer]
    """A player of one game, with its random numbers."""
    temperature: float | None = None
    """Of the dreams that it knows; None: the world's own."""


def find_watchable(world: str, named: tuple[str, ...], options: OptionFlags) -> Watchable:
    """The agent that ``--watch`` means.

    Args:
        world: bundled name, folder or hf:// address of the world.
        named: a policy's folder or hf:// address, ``planner:NAME``, or nothing: the world's own policy.
        options: of the environment.

    Raises:
        ValueError: if there is no such agent, or it does not fit world or options.
    """
    if len(named) > 1:
        raise ValueError(f"watch: expected one policy or planner, or none, got {len(named)}")
    if named and named[0].startswith(PREFIX):
        return _planner(world, named[0], options)
    policy = load_token_policy(named[0]) if named else policy_of(world)
    if policy is None:
        raise ValueError(
            f"watch: the world {world!r} brings no policy; name one, or put it there with "
            f"`python -m agents.ship_policy`, or let a planner play: --watch {PREFIX}tree"
        )
    policy.config.require_world(read_config(world))
    asked, own = options.action_type, policy.config.spec.action_type
    if asked not in (None, own):
        raise ValueError(f"action_type: this policy chooses {own} actions, got {asked!r}")
    return watchable_policy(policy)


def watchable_policy(policy: TokenPolicy) -> Watchable:
    """A policy that draws its actions, as it did while it learned."""
    spec = policy.config.spec
    temperature = policy.config.temperature
    return Watchable(spec.action_type, spec.dream_actions, lambda rng: PolicyPlayer(policy, rng), temperature)


def _planner(world: str, name: str, options: OptionFlags) -> Watchable:
    planner, config = find_planner(name), read_config(world)
    action_type = options.resolved(config).action_type
    actions = choosable_actions(config, action_type)

    def sit_down(rng: np.random.Generator) -> PlanningPlayer:
        imagination = open_imagination(world, planner.rows, action_type, options.temperature)
        return PlanningPlayer(planner, imagination, actions, rng)

    return Watchable(action_type, actions, sit_down)
