"""From answers to a world whose game has actions: the keys that were said. Knows nothing of clips and windows."""

from __future__ import annotations

import dataclasses

import numpy as np

from genie_env.config import WorldConfig
from genie_env.data.fit_action_map import fit_action_map, infer_effects
from genie_env.label.answers import NOTHING, UNKNOWN, Answer
from genie_env.window.keyboard import MEANING_KEYS

NOOP = "NOOP"


def with_map(config: WorldConfig, answers: tuple[Answer, ...]) -> WorldConfig:
    """The world with an action for each key that was said, and the map to its latent actions.

    Raises:
        ValueError: if nothing was said.
    """
    said = [answer for answer in answers if answer.key != UNKNOWN]
    if not said:
        raise ValueError(f"expected a clip of which a key was said, got {len(answers)} of which none was")
    # To press nothing comes first, as in most games: its name is empty.
    keys = sorted({answer.key for answer in said})
    latent_M = np.array([answer.code for answer in said])
    real_M = np.array([keys.index(answer.key) for answer in said])
    num_latent = config.dynamics.num_actions
    source = dataclasses.replace(
        config.source,
        has_actions=True,
        action_meanings=tuple(key.upper() or NOOP for key in keys),
        effects=infer_effects(latent_M, real_M, len(keys), num_latent),
        keys=_played_by(keys),
    )
    mapped = fit_action_map(latent_M, real_M, source.effects, num_latent)
    return dataclasses.replace(config, source=source, action_map=mapped)


def described(config: WorldConfig) -> str:
    """The map in lines, for people."""
    mapped = config.action_map
    assert mapped is not None
    lines = [
        f"{name}: latent action {code}, {mapped.purity[code]:.0%} of its answers agree"
        for name, code in zip(config.source.action_meanings, mapped.real_to_latent, strict=True)
    ]
    agreement = "" if mapped.agreement is None else f"; {mapped.agreement:.0%} of answers left out are named right"
    return "\n".join([*lines, f"{mapped.num_labels} answers{agreement}"])


def _played_by(keys: list[str]) -> dict[str, int]:
    """Each key with its action; letters beside the arrows, where nobody said them."""
    table = {key: action for action, key in enumerate(keys) if key != NOTHING}
    for alike in MEANING_KEYS.values():
        for key in set(alike) - set(table):
            for other in set(alike) & set(table):
                table = {**table, key: table[other]}
    return table
