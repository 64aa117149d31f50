"""A policy inside a world's bundle: copied there, and read from there. Knows the two files, not the bundle's others."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

from genie_env.config import WorldConfig
from genie_env.files.atomic import whole_file, write_json
from genie_env.files.errors import FileError
from genie_env.files.reading import JSON_BYTES, read_bytes
from genie_env.policies.config import JSON, TENSORS, PolicyConfig, PolicyScore, read_policy_config
from genie_env.policies.token_policy import TokenPolicy, load_token_policy

FILES = (JSON, TENSORS)
SHIPPED_BYTES = 3_000_000
"""Largest file of tensors of a policy that a bundle takes."""


def copy_policy(source: Path, target: Path, config: WorldConfig, score: PolicyScore | None = None) -> None:
    """Write a policy into the folder of a world; from now on it is a policy of that world.

    Args:
        source: folder of the policy.
        target: folder of the world.
        config: of the world.
        score: of the policy in the real game, where known; by default the one it has.

    Raises:
        ValueError: if the policy cannot be read, does not fit the world, or is too large; nothing is written then.
    """
    about = load_token_policy(source).config
    about.require_world(config)
    data = read_bytes(source / TENSORS, SHIPPED_BYTES)
    about = dataclasses.replace(about, world=config.name, score=score or about.score)
    with whole_file(target / TENSORS) as temporary:
        temporary.write_bytes(data)
    write_json(target / JSON, about.to_json())


def read_shipped_config(folder: Path, config: WorldConfig, checksums: Mapping[str, str]) -> PolicyConfig | None:
    """What the policy of a bundle is; None where the bundle lists none.

    Args:
        folder: of the bundle.
        config: of its world.
        checksums: SHA-256 that the bundle lists for its files.

    Raises:
        ValueError: if a file is missing, damaged, not the one that is listed, or the policy does not fit the world.
    """
    if not any(name in checksums for name in FILES):
        return None
    if hashlib.sha256(read_bytes(folder / JSON, JSON_BYTES)).hexdigest() != checksums.get(JSON):
        raise FileError(folder / JSON, "is truncated or was edited: its sha256 is not the recorded one")
    about = read_policy_config(folder)
    if about.sha256 != checksums.get(TENSORS):
        raise FileError(folder / JSON, f"expected the sha256 of {TENSORS} that the bundle lists")
    try:
        about.require_world(config)
    except ValueError as error:
        raise FileError(folder / JSON, str(error)) from None
    return about


def read_shipped_policy(folder: Path, config: WorldConfig, checksums: Mapping[str, str]) -> TokenPolicy | None:
    """The policy of a bundle, ready to play; arguments and errors as :func:`read_shipped_config`."""
    if read_shipped_config(folder, config, checksums) is None:
        return None
    return load_token_policy(folder)
