"""The policy that comes with a world: found in its bundle, and put there. Knows nothing of how a policy plays."""

from __future__ import annotations

import shutil
from pathlib import Path

from genie_env.bundle import Bundle, find_own_world, open_bundle
from genie_env.files.atomic import whole_folder, write_json
from genie_env.files.reading import checksum, read_json
from genie_env.policies.config import PolicyConfig, PolicyScore
from genie_env.policies.shipping import FILES, copy_policy, read_shipped_config, read_shipped_policy
from genie_env.policies.token_policy import TokenPolicy


def policy_config_of(world: str | Path | Bundle) -> PolicyConfig | None:
    """What the policy of a world is; None if it brings none.

    Raises:
        ValueError: if there is no such world, or its policy is damaged or does not fit.
    """
    bundle = world if isinstance(world, Bundle) else open_bundle(world)
    return read_shipped_config(bundle.folder, bundle.config, bundle.checksums)


def policy_of(world: str | Path) -> TokenPolicy | None:
    """The policy of a world, ready to play; None if it brings none. Errors as :func:`policy_config_of`."""
    bundle = open_bundle(world)
    return read_shipped_policy(bundle.folder, bundle.config, bundle.checksums)


def policy_folder_of(world: str | Path) -> Path | None:
    """Where the policy of a world lies, checked; None if it brings none. Errors as :func:`policy_config_of`."""
    bundle = open_bundle(world)
    return None if policy_config_of(bundle) is None else bundle.folder


def put_policy(world: str | Path, policy: Path, score: PolicyScore | None = None) -> Path:
    """Put a policy into the bundle of a world, in place of one that is there, and return the bundle's folder.

    Every other file stays what it is, byte for byte.

    Raises:
        ValueError: if the world is not one's own, or the policy does not fit it; nothing is changed then.
    """
    bundle = open_bundle(find_own_world(world))
    manifest = read_json(bundle.folder / "config.json", "the JSON of a world bundle")
    with whole_folder(bundle.folder, replace=True) as partial:
        shutil.copytree(bundle.folder, partial, dirs_exist_ok=True)
        copy_policy(policy, partial, bundle.config, score)
        listed = {**manifest["sha256"], **{name: checksum(partial / name) for name in FILES}}
        write_json(partial / "config.json", {**manifest, "sha256": listed})
    return bundle.folder
