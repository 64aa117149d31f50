"""Policies on disk: ``policy.json`` and ``policy.safetensors`` in a folder. Never a pickle.

Owns the settings of a policy, where its files lie, and which policies fit a world. Knows nothing of learning, and of
networks only their names and sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genie_env.config import WorldConfig
from genie_env.config.bounds import require_number, require_sizes, require_texts
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from genie_env.files.reading import JSON_BYTES, read_json
from genie_env.hub.address import is_hub_address, parse_address
from genie_env.hub.download import Contents, fetch
from genie_env.policies.spec import PolicySpec

FORMAT = "genie-env-policy-2"
JSON, TENSORS = "policy.json", "policy.safetensors"
MAX_BYTES = 2**30
"""Largest file of tensors of a policy that is read."""
ALGORITHM_NAMES = ("a2c", "dqn", "ppo")
SIZES = {"cnn": ("image_size", (36, 256)), "small_cnn": ("image_size", (20, 256)), "tokens": ("num_tokens", (1, 4096))}
"""What each network is built for, from its first layer to a last one that grows with it."""
NETWORKS = tuple(SIZES)
LARGEST_SCORE = 1e9
HOTTEST = 100.0


@dataclass(frozen=True)
class PolicyScore(JsonConfig):
    """What a policy scored in the real game: the mean over games and its 95 % interval."""

    mean: float
    low: float
    high: float
    games: int
    """Games that were played to the end."""
    actions: str
    """How it chose: ``drawn actions`` or ``likeliest actions``."""

    def __post_init__(self) -> None:
        require_sizes(self)
        for name in ("mean", "low", "high"):
            require_number(name, getattr(self, name), -LARGEST_SCORE, LARGEST_SCORE)
        require_texts("actions", [self.actions])

    def __str__(self) -> str:
        """``17.4 [16.2, 18.5] in 30 games, drawn actions``."""
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}] in {self.games} games, {self.actions}"


@dataclass(frozen=True)
class PolicyConfig(JsonConfig):
    """Everything about a policy except its weights."""

    world: str
    """Bundled name, folder or hf:// address of the world whose observations it takes."""
    algo: str
    """Algorithm of stable-baselines3 that trained it: ``ppo``, ``a2c`` or ``dqn``."""
    network: str
    """Network that turns observations into features: ``cnn``, ``small_cnn`` or ``tokens``."""
    spec: PolicySpec
    """Observations and actions of the policy."""
    image_size: int
    """Edge of a frame in pixels."""
    num_tokens: int
    """Tokens of a frame."""
    vocab_size: int
    """Tokens that there are."""
    trained: dict[str, Any] = field(default_factory=dict)
    """Where, how long and with which settings it learned."""
    temperature: float | None = None
    """Temperature of the dreams that it learned in, and is watched in; None: the world's own."""
    score: PolicyScore | None = None
    """Its score in the real game; None where that is not known."""
    sha256: str = ""
    format: str = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"policy format: expected {FORMAT!r}, got {self.format!r}")
        if self.algo not in ALGORITHM_NAMES:
            raise ValueError(f"algo: expected one of {list(ALGORITHM_NAMES)}, got {self.algo!r}")
        if (self.network == "tokens") != (self.spec.obs_type == "tokens"):
            raise ValueError(f"policy: {self.network!r} cannot read obs_type {self.spec.obs_type!r}")
        if self.network not in NETWORKS:
            raise ValueError(f"policy: expected one of {list(NETWORKS)}, got {self.network!r}")
        require_texts("world", [self.world], longest=4096)
        if self.temperature is not None:
            require_number("temperature", self.temperature, 0.0, HOTTEST)
        # A policy that sees pictures may come from a game of which there is no world.
        require_sizes(self, may_be_zero=("num_tokens", "vocab_size") if self.network != "tokens" else ())
        what, (low, high) = SIZES[self.network]
        if not low <= getattr(self, what) <= high:
            raise ValueError(f"{what}: expected {low} to {high} for {self.network!r}, got {getattr(self, what)}")

    def require_world(self, config: WorldConfig) -> None:
        """Do nothing if the policy can play in a world.

        Raises:
            ValueError: if it sees other frames or tokens, or chooses actions that the world does not have.
        """
        tokenizer, name = config.tokenizer, config.name
        sizes = {"image_size": tokenizer.image_size}
        if self.network == "tokens":
            sizes = {"num_tokens": tokenizer.num_tokens, "vocab_size": tokenizer.vocab_size}
        for what, size in sizes.items():
            if (own := getattr(self, what)) != size:
                raise ValueError(
                    f"policy: {what}: the world {name!r} has {size}, this policy of {self.world!r} takes {own}; "
                    "name its own world"
                )
        if self.spec.action_type == "real" and config.action_map is None:
            raise ValueError(f"policy: chooses real actions, and the world {name!r} has no action map")
        num_real = len(config.source.action_meanings)
        num_dream = num_real if self.spec.action_type == "real" else config.dynamics.num_actions
        for action, count in ((max(self.spec.dream_actions), num_dream), (max(self.spec.real_actions), num_real)):
            if action >= count:
                raise ValueError(f"policy: chooses action {action}, and the world {name!r} has {count} actions")


def policy_config(config: WorldConfig, world: str, algo: str, network: str, spec: PolicySpec) -> PolicyConfig:
    """Configuration of an untrained policy for a world."""
    tokenizer = config.tokenizer
    return PolicyConfig(world, algo, network, spec, tokenizer.image_size, tokenizer.num_tokens, tokenizer.vocab_size)


def find_policy(policy: Path | str) -> Path:
    """Folder of a policy: the one named, or the Hub's in its cache, as :func:`genie_env.hub.download.fetch`."""
    return fetch(parse_address(policy), CONTENTS).folder if is_hub_address(policy) else Path(policy)


def own_folder(policy: Path) -> Path:
    """Folder of a policy in which results may be written.

    Raises:
        ValueError: for a policy of the Hub.
    """
    if is_hub_address(policy):
        raise ValueError(f"out: expected a folder for the results, since {parse_address(policy)} is on the Hub")
    return policy


def read_policy_config(folder: Path) -> PolicyConfig:
    """Everything about a policy except its weights.

    Raises:
        FileError: if the file is missing, damaged or of another format.
    """
    content = read_json(folder / JSON, "the JSON of a policy")
    try:
        return PolicyConfig.from_json(content)
    except ValueError as error:
        raise FileError(folder / JSON, f"expected the JSON of a policy ({error})") from None


CONTENTS = Contents(
    "policy",
    JSON,
    {JSON: JSON_BYTES, TENSORS: MAX_BYTES},
    lambda folder: {TENSORS: read_policy_config(folder).sha256},
)
"""What a repository of a policy holds."""
