"""Put a policy on the Hugging Face Hub, where every command that takes a policy finds it: ``hf://user/repo``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from agents.sb3.policy_io import load_policy
from genie_env.command import run
from genie_env.hub.address import HubAddress
from genie_env.hub.client import library
from genie_env.hub.upload import CARD, PushSettings, upload
from genie_env.policies.config import CONTENTS, PolicyConfig, find_policy
from genie_env.tables import markdown_table


@dataclass(frozen=True)
class PushPolicyConfig:
    """Put a policy on the Hugging Face Hub, with a card."""

    policy: tyro.conf.Positional[Path]
    """Folder of the policy."""
    repo: tyro.conf.Positional[str]
    """Repository to write, user/repo; it is made if there is none."""
    settings: tyro.conf.OmitArgPrefixes[PushSettings] = PushSettings()
    """Repository and commit."""


def push_policy(config: PushPolicyConfig) -> HubAddress:
    """Upload a policy in one commit and return its address.

    Raises:
        ValueError: if the policy cannot be loaded, or the Hub refuses; nothing is changed there then.
        ImportError: without huggingface_hub.
    """
    folder = find_policy(config.policy)
    _, about = load_policy(folder)
    card = policy_card(about, config.settings.license)
    return upload(folder, config.repo, CONTENTS, config.settings, {CARD: card.encode()})


def policy_card(about: PolicyConfig, license: str | None = None) -> str:
    """The card as the Hub wants it: metadata in YAML, then Markdown."""
    metadata = library().ModelCardData(
        library_name="genie-env",
        license=license,
        tags=["genie-env", "reinforcement-learning", "deep-reinforcement-learning", "stable-baselines3"],
        pipeline_tag="reinforcement-learning",
    )
    spec = about.spec
    rows = [
        ("world", about.world),
        ("algorithm", about.algo),
        ("network", about.network),
        ("observations", f"{spec.obs_type}, {spec.frame_stack} frames"),
        ("actions", f"{spec.num_actions}, {spec.action_type}"),
        *((name, json.dumps(value)) for name, value in about.trained.items()),
    ]
    title = f"# Policy: {about.algo} for {about.world}\n"
    about_it = "A policy that learned in a Genie Env world: plain settings and tensors, no pickle.\n"
    return "\n".join([f"---\n{metadata.to_yaml()}\n---\n", title, about_it, markdown_table(("what", "value"), rows)])


def main(config: PushPolicyConfig) -> None:
    """Command line."""
    print(push_policy(config))


if __name__ == "__main__":
    raise SystemExit(run(main, PushPolicyConfig, description=__doc__))
