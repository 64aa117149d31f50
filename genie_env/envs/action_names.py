"""What the actions of a world are called, which keys play them, and what the latent ones do to the picture.

One place for environments, windows and web pages. Knows nothing of dreams.
"""

from __future__ import annotations

from genie_env.config import WorldConfig
from genie_env.effect_names import ActionEffect, effect_arrow, effect_names, effect_vectors, still_code

MEANT_BY = {
    "up": ("up", "w"),
    "down": ("down", "s"),
    "left": ("left", "a"),
    "right": ("right", "d"),
}
"""Keys for each direction in the name of an effect."""
NO_KEY = "no key"

Keys = dict[tuple[str, ...], int]
"""Keys held together, by name, to the action that they play."""


def action_meanings(config: WorldConfig, action_type: str) -> list[str]:
    """Names of the actions; a latent one has its effect's name, else that of the real one it stands for, if known."""
    if action_type == "real":
        return list(config.source.action_meanings)
    if config.prototypes:
        return [f"LATENT_{i}({name})" for i, name in enumerate(effect_names(config.prototypes))]
    if config.action_map is None:
        return [f"LATENT_{i}" for i in range(config.dynamics.num_actions)]
    return [
        f"LATENT_{i}({config.source.action_meanings[real]})" for i, real in enumerate(config.action_map.latent_to_real)
    ]


def action_keys(config: WorldConfig, action_type: str) -> Keys:
    """Keys of the game, through the action map if actions are latent; without a map digits, and arrows by effects."""
    own, mapped = config.source.keys, config.action_map
    if action_type == "real":
        return {(key,): action for key, action in own.items()}
    if mapped is not None:
        return {(key,): mapped.real_to_latent[action] for key, action in own.items()}
    found: Keys = {(str(code + 1),): code for code in range(config.dynamics.num_actions)}
    for code, name in enumerate(effect_names(config.prototypes)):
        parts = name.split(" ")[0].split("-")
        if all(part in MEANT_BY for part in parts):
            for keys in zip(*(MEANT_BY[part] for part in parts), strict=True):
                # Of two codes that move things the same way the first has the arrow.
                found.setdefault(keys, code)
    return found


def noop_action(config: WorldConfig, action_type: str) -> int | None:
    """The action that does nothing, or the latent action it maps to; None where every action does something."""
    if config.action_map is None:
        return still_code(config.prototypes)
    noop = config.source.noop
    if noop is None or action_type == "real":
        return noop
    return config.action_map.real_to_latent[noop]


def action_effects(config: WorldConfig, action_type: str) -> tuple[ActionEffect, ...]:
    """What each action does; empty for real ones, and where it was not measured."""
    if action_type == "real" or not config.prototypes:
        return ()
    keys, noop = action_keys(config, action_type), noop_action(config, action_type)
    found = []
    names, vectors = effect_names(config.prototypes), effect_vectors(config.prototypes)
    for code, (name, (right, down)) in enumerate(zip(names, vectors, strict=True)):
        played = sorted(("+".join(held) for held, action in keys.items() if action == code), key=_first_arrows)
        # Two single keys have room in the bar, or one chord.
        few = played[: 1 if played and "+" in played[0] else 2]
        shown = " ".join([*few, *([NO_KEY] if code == noop else [])])
        found.append(ActionEffect(shown, name, effect_arrow(name), right, down))
    return tuple(found)


def _first_arrows(held: str) -> tuple[bool, int]:
    return held.isdigit(), -len(held)
