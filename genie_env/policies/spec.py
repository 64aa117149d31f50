"""What a policy observes and does: the same in a dream and in the real game, and stored with every policy.

Owns observation type, number of stacked frames, and what each of a policy's actions means in a dream and in the game.
Knows nothing about learning.
"""

from __future__ import annotations

from dataclasses import dataclass

from genie_env.config import WorldConfig
from genie_env.config.bounds import LARGEST_SIZE, LONGEST_LIST, require_number, require_sizes
from genie_env.files.json_config import JsonConfig

OBS_TYPES = ("grayscale", "rgb", "tokens")
ACTION_TYPES = ("real", "latent")


@dataclass(frozen=True)
class PolicySpec(JsonConfig):
    """Observations and actions of a policy."""

    obs_type: str
    """``grayscale``, ``rgb`` or ``tokens``."""
    action_type: str
    """``real`` or ``latent``: the action space of the dream it plays in."""
    dream_actions: tuple[int, ...]
    """The dream's action for each of the policy's actions."""
    real_actions: tuple[int, ...]
    """The real game's action for each of the policy's actions."""
    frame_stack: int = 4
    """Frames that make an observation, the present one included."""

    def __post_init__(self) -> None:
        if self.obs_type not in OBS_TYPES:
            raise ValueError(f"obs_type: expected one of {list(OBS_TYPES)}, got {self.obs_type!r}")
        if self.action_type not in ACTION_TYPES:
            raise ValueError(f"action_type: expected one of {list(ACTION_TYPES)}, got {self.action_type!r}")
        require_sizes(self)
        if not self.dream_actions or len(self.dream_actions) != len(self.real_actions):
            raise ValueError("expected as many dream actions as real ones, at least one")
        if len(self.dream_actions) > LONGEST_LIST:
            raise ValueError(f"dream_actions: expected at most {LONGEST_LIST}, got {len(self.dream_actions)}")
        for action in (*self.dream_actions, *self.real_actions):
            require_number("actions", action, 0, LARGEST_SIZE)

    @property
    def num_actions(self) -> int:
        """Actions the policy chooses from."""
        return len(self.dream_actions)


def make_policy_spec(config: WorldConfig, obs_type: str, action_type: str, frame_stack: int = 4) -> PolicySpec:
    """Specification of a policy for a world.

    With ``real`` actions, those with the same effect are one action of the policy (Pong: 3 of 6): which of them is
    pressed makes no difference, and twice the choices only slow learning down. With ``latent`` ones the policy
    chooses codes; in the real game each becomes the action that the world's map assigns to it.

    Raises:
        ValueError: if the world has no action map (``real`` actions need it, and so does the real game).
    """
    mapped = config.action_map
    if mapped is None:
        raise ValueError(f"{config.name}: has no action map; fit one with `python -m agents.fit_action_map`")
    if action_type == "latent":
        codes = tuple(range(config.dynamics.num_actions))
        return PolicySpec(obs_type, "latent", codes, mapped.latent_to_real, frame_stack)
    if action_type != "real":
        raise ValueError(f"action_type: expected 'real' or 'latent', got {action_type!r}")
    effects = config.source.effects or tuple(range(len(config.source.action_meanings)))
    actions = tuple(effects.index(effect) for effect in sorted(set(effects)))
    return PolicySpec(obs_type, "real", actions, actions, frame_stack)


def game_spec(config: WorldConfig) -> PolicySpec:
    """One colour frame and all of the game's own actions: what players that learn nothing take."""
    actions = tuple(range(len(config.source.action_meanings)))
    return PolicySpec("rgb", "real", actions, actions, frame_stack=1)
