"""Put a policy into the bundle of its world: ``python -m agents.ship_policy runs/ppo/policy --world pong``.

``genie-env play --watch`` and ``genie-env demo`` then show it, wherever the world goes. Its score in the real game is
taken from ``transfer.json``, which ``python -m agents.transfer`` wrote beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from genie_env.bundle import open_bundle
from genie_env.bundled_policy import put_policy
from genie_env.command import run
from genie_env.files.errors import FileError
from genie_env.files.reading import read_json
from genie_env.policies.config import PolicyScore, find_policy
from genie_env.policies.token_policy import load_token_policy

SCORES = "transfer.json"
TOKENIZER = "tokenizer.safetensors"


@dataclass(frozen=True)
class ShipPolicyConfig:
    """Put a policy into the bundle of its world."""

    policy: tyro.conf.Positional[Path]
    """Folder or hf:// address of a policy that reads tokens."""
    world: str = "pong"
    """Bundled name or folder of the world whose bundle takes the policy."""


def ship_policy(config: ShipPolicyConfig) -> Path:
    """Put the policy and its score into the bundle, and return the bundle's folder.

    Raises:
        ValueError: if the policy cannot be read, learned on the tokens of another world, or does not fit; nothing is
            changed then.
    """
    policy = find_policy(config.policy)
    about = load_token_policy(policy).config
    own, learned_in = open_bundle(config.world), open_bundle(about.world)
    if own.checksum(TOKENIZER) != learned_in.checksum(TOKENIZER):
        raise ValueError(
            f"{config.policy}: learned in the world {about.world!r}, whose tokens mean something else in "
            f"{config.world!r}; name its own with --world"
        )
    return put_policy(config.world, policy, read_score(policy / SCORES, about.sha256))


def read_score(path: Path, sha256: str) -> PolicyScore | None:
    """What ``agents.transfer`` measured with drawn actions; None if there is no file.

    Args:
        path: of ``transfer.json``.
        sha256: checksum of the tensors of the policy that must have been measured.

    Raises:
        FileError: if the file is damaged or of another policy.
    """
    if not path.exists():
        return None
    content: Any = read_json(path, "the scores of a policy")
    try:
        if content["policy"]["sha256"] != sha256:
            raise FileError(path, "holds the scores of another policy; run `python -m agents.transfer` again")
        rows = [row for row in content["players"] if row["where"] == "real game"]
        row = next(
            row for row in rows if row["player"].startswith("this policy") and row["player"].endswith("drawn actions")
        )
        return PolicyScore(row["mean"], row["low"], row["high"], row["games"], "drawn actions")
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise FileError(path, f"expected what `python -m agents.transfer` writes ({error!r})") from None


def main(config: ShipPolicyConfig) -> None:
    """Command line."""
    print(f"{ship_policy(config)}: has a policy now; watch it with `genie-env play --watch --world {config.world}`")


if __name__ == "__main__":
    raise SystemExit(run(main, ShipPolicyConfig, description=__doc__))
