"""The first of two plans: from a look at a game to what is recorded of it, with the reason for every choice.

Owns who plays, how much, and what of the picture is kept. Runs nothing; see :mod:`training.planning.plan` for the rest.
"""

from __future__ import annotations

import json

from genie_env.config import TokenizerConfig
from genie_env.games.recorded_source import json_object
from training.data.agent_players import LEARNER, can_learn, split_mixture
from training.data.player_mixture import check_players
from training.planning.budget import divide
from training.planning.choices import NONE, Choices
from training.planning.framing import choose_framing
from training.planning.plan import Plan
from training.planning.probe import GameProbe
from training.recipes import Recipe

LEAST_STEPS, MOST_STEPS = 6_000, 200_000
USED_OF_RECORDING = 0.6
"""Share of the recording's minutes that steps are planned for; the rest is starting up and writing."""
RECORDERS = 2
"""Processes that record players that need no learning."""
PLAYERS = {"random": 0.1, "sticky": 0.25, "biased": 0.65}
PLAYERS_AND_LEARNER = {"random": 0.05, "sticky": 0.15, "biased": 0.4, LEARNER: 0.4}
"""Where the extra ``agents`` is installed: players that know nothing see little of a game that has to be learned."""
MOSTLY_LEARNER = {"random": 0.05, "sticky": 0.1, "biased": 0.15, LEARNER: 0.7}
"""The same where players that know nothing lose at once, as in CartPole, and show the same few steps always."""
LOST_AT_ONCE = 40
"""Steps below which a typical episode of such players counts as that."""
LEARNING_SECONDS = 0.0025
"""Seconds that a learner takes for a step beside the game's own, on one core."""
PRACTISING_SECONDS = 0.0045
"""The same of a learner that sees the game's state, the steps that it plays undrawn included."""
LEARNER_MINUTES = 0.7
"""Share of the recording's minutes after which a learner stops, however far it is."""


def plan_game(
    probe: GameProbe, minutes: float, image_size: int | None = None, module: str = "", choices: Choices = NONE
) -> Plan:
    """Plan a world of a game that can be played.

    Args:
        probe: what a first look at the game showed.
        minutes: budget of everything, recording and evaluation included.
        image_size: edge of a frame in pixels; None chooses.
        module: module that registers the game.
        choices: what the user decided.

    Raises:
        ImportError, ValueError: if there are too few minutes, or a player cannot play here.
    """
    planned = divide(minutes, learned_tokenizer=False, latent_action=False)
    framing = choose_framing(probe.pictures_MHWC, image_size, choices)
    players = _default_players(probe) if choices.players is None else json_object("players", choices.players)
    check_players(players)
    learning = PRACTISING_SECONDS if probe.tells_state else LEARNING_SECONDS
    steps = choices.steps or steps_for(60 * planned["record"], players, probe.steps_per_second, learning)
    source, (height, width) = probe.source, probe.pictures_MHWC.shape[1:3]
    recipe = Recipe(
        env=source.env_id,
        steps=steps,
        env_kwargs=json.dumps(source.env_kwargs),
        module=module,
        tokenizer=TokenizerConfig(image_size=framing.image_size, patch_size=framing.patch_size),
        latent_action=None,
        recorded_actions=True,
        record={
            "players": json.dumps(players),
            "fps": source.fps,
            # The whole picture, too, is said: the package knows crops of some games.
            "crop": framing.crop or (0, height, 0, width),
            "pad": framing.pad,
            "learner_minutes": round(LEARNER_MINUTES * planned["record"], 2),
        },
    )
    chosen = [*_game_choices(probe, steps, players), framing.reason]
    return Plan(recipe, planned, tuple(_game_findings(probe)), tuple(chosen), True)


def _default_players(probe: GameProbe) -> dict[str, float]:
    if not can_learn():
        return dict(PLAYERS)
    return dict(MOSTLY_LEARNER if probe.typical_episode < LOST_AT_ONCE else PLAYERS_AND_LEARNER)


def steps_for(
    seconds: float, players: dict[str, float], steps_per_second: float, learning_seconds: float = LEARNING_SECONDS
) -> int:
    """Steps that these players make in the recording's seconds.

    Args:
        seconds: for the whole recording.
        players: shares by name.
        steps_per_second: of the game alone.
        learning_seconds: that a learner takes for a recorded step beside the game's own.
    """
    own, by_agents = split_mixture(players)
    total = sum(players.values())
    each = sum(own.values()) / total / (RECORDERS * steps_per_second)
    each += sum(by_agents.values()) / total * (1 / steps_per_second + learning_seconds)
    return max(LEAST_STEPS, min(MOST_STEPS, int(seconds * USED_OF_RECORDING / each)))


def _game_findings(probe: GameProbe) -> list[str]:
    names = list(probe.source.action_meanings)
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    height, width = probe.pictures_MHWC.shape[1:3]
    rewards = ", ".join(f"{value:g}" for value in probe.rewards[:6]) + (" …" if len(probe.rewards) > 6 else "")
    return [
        f"{len(names)} actions: {shown}",
        f"pictures of {height}x{width} pixels, {probe.source.fps:g} steps a second for a person, "
        f"{probe.steps_per_second:.0f} a second on this machine",
        f"episodes of about {probe.typical_episode} steps under random play; rewards {rewards}",
    ]


def _game_choices(probe: GameProbe, steps: int, players: dict[str, float]) -> list[str]:
    total = sum(players.values())
    shares = ", ".join(f"{share / total:.0%} {name}" for name, share in players.items())
    choices = [f"record {steps:,} steps by these players: {shares}"]
    if not any(split_mixture(players)[1].values()):
        choices.append(
            "no learner among them: " + ("as asked" if can_learn() else "the extra 'agents' is not installed")
        )
    if probe.was_sticky:
        choices.append("sticky actions off: the game repeats actions at random unless told otherwise")
    return choices
