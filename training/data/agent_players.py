"""Players that learn, or that have learned: ``learner`` and ``policy:FOLDER`` in a recording's mixture.

They live in the package ``agents``, which this one does not know; a process of its own records what they play, by
``python -m agents.record_learner``. Owns which players these are, that process, and how it is stopped.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

from genie_env.command import Interrupted, on_stop_signal
from training.data import children

LEARNER = "learner"
POLICY = "policy:"
"""Beginning of the name of a player that a policy's folder follows."""


def split_mixture(mixture: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """The players that need no ``agents``, and those that do, each with its share."""
    theirs = {name: share for name, share in mixture.items() if name == LEARNER or name.startswith(POLICY)}
    return {name: share for name, share in mixture.items() if name not in theirs}, theirs


def can_learn() -> bool:
    """Whether a learner can play here: the extra ``agents`` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("agents", "stable_baselines3"))


def require_agents(players: Mapping[str, float]) -> None:
    """Refuse players that cannot play here.

    Raises:
        ImportError: if the extra is missing.
        ValueError: if a policy's folder does not exist.
    """
    if players and not can_learn():
        raise ImportError(f"players: {sorted(players)} need the extra 'agents': pip install 'genie-env[agents]'")
    for name in players:
        folder = Path(name.removeprefix(POLICY))
        if name != LEARNER and not folder.is_dir():
            raise ValueError(f"players: expected the folder of a policy after {POLICY!r}, got {str(folder)!r}")


def record_by_agents(player: str, flags: Sequence[str]) -> None:
    """Record what a learner or a policy plays.

    Args:
        player: ``learner`` or ``policy:FOLDER``.
        flags: of ``agents.record_learner``.

    Raises:
        ValueError: if it ended with an error; what it printed says which.
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP, after it kept what was recorded; the same call goes on.
    """
    of_player = [] if player == LEARNER else ["--policy", player.removeprefix(POLICY)]
    stopped: list[int] = []
    # In a group of its own, so that Ctrl-C in a terminal reaches it once, from here.
    with children.command("agents.record_learner", [*flags, *of_player]) as process:

        def stop(signum: int) -> None:
            stopped.append(signum)
            process.send_signal(signum)

        with on_stop_signal(stop):
            status = process.wait()
    if stopped and status:
        raise Interrupted("stopped; run the same command to go on", stopped[0])
    if status:
        raise ValueError(f"players: recording {player!r} ended with status {status}")
