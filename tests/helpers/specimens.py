"""Sound folders of every kind, what uses them, and how a forger makes their checksums right again."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Specimen(NamedTuple):
    """One kind of folder that comes from elsewhere."""

    make: Callable[[Path], object]
    """Writes a sound one."""
    open: Callable[[Path], Any]
    """Opens it; everything that is wrong is to be refused here."""
    use: Callable[[Any], object]
    """Works with what was opened; nothing may go wrong here any more."""
    manifest: str
    """The file with the checksums."""


def _make_bundle(folder: Path) -> None:
    from genie_env.measurement import MEASUREMENTS, Measurement, Metric
    from tests.helpers.worlds import make_random_world

    rows = [Measurement(Metric.PSNR, 30.0, horizon=horizon).to_json() for horizon in (1, 10)]
    make_random_world(folder, metrics={MEASUREMENTS: rows, "nested": {"frames": 3}})


def _make_fsq_bundle(folder: Path) -> None:
    from genie_env.config import TokenizerConfig
    from tests.helpers.worlds import VOCAB, make_random_world

    make_random_world(folder, tokenizer=TokenizerConfig(kind="fsq", vocab_size=VOCAB, levels=(4, 4, 2), channels=8))


def _open_bundle(folder: Path) -> Any:
    import gymnasium as gym

    import genie_env  # noqa: F401 (registers the ids)

    env = gym.make("Genie/World-v0", world=str(folder), device="cpu", disable_env_checker=True)
    env.reset(seed=0)
    # Weights that stepping does without are read, and may be refused, when they are asked for.
    assert env.unwrapped.world is not None
    return env


def _use_bundle(env: Any) -> None:
    from genie_env.describe import describe

    for _ in range(3):
        obs, reward, _, _, _ = env.step(env.action_space.sample())
        assert obs.dtype == np.uint8 and np.isfinite(reward)
    world = env.unwrapped.world
    world.infer_actions(np.stack([obs, obs])[None])
    # Figures of a world are looked at when they are shown, and may be refused then.
    with contextlib.suppress(ValueError):
        list(describe(world))
    env.close()


def _make_recording(folder: Path) -> None:
    from genie_env.config import SourceConfig
    from genie_env.data.episodes import Episode, EpisodeWriter

    source = SourceConfig(
        "ALE/Pong-v5",
        env_kwargs={"repeat_action_probability": 0.0},
        crop=(0, 8, 0, 8),
        action_meanings=("A", "B", "C"),
        effects=(0, 1, 2),
        keys={"up": 1},
    )
    rng, writer = np.random.default_rng(0), EpisodeWriter(folder, source, ("x", "y"))
    for shard in range(2):
        episodes = [
            Episode(
                rng.integers(0, 256, (length + 1, 8, 8, 3), dtype=np.uint8),
                rng.integers(0, 3, length),
                rng.normal(size=length),
                True,
                rng.normal(size=(length + 1, 2)),
            )
            for length in (5, 3, 8)
        ]
        writer.write_shard(shard, episodes)
    writer.finish(2)


def _open_recording(folder: Path) -> Any:
    from genie_env.data.episodes import EpisodeStore

    return EpisodeStore(folder)


def _use_recording(store: Any) -> None:
    from genie_env.data.description import describe
    from training.data.dataset import FrameDataset, effect_labels

    for split in ("train", "test"):
        for _, rows in store.episodes(split):
            assert len({len(array) for array in rows.values()}) == 1
        if any(entry.length > 1 for entry in store.split(split)):
            batch = FrameDataset(store, split).transitions(np.random.default_rng(0), 4, context=3)
            assert batch.frames_BTHWC.shape[:2] == (4, 4)
            effect_labels(store, batch.actions_B)
    assert store.summary() and describe(store).text()


def _make_policy(folder: Path) -> None:
    from agents.sb3.policy_io import build_policy, save_policy
    from genie_env.policies.config import policy_config
    from genie_env.policies.spec import make_policy_spec
    from tests.helpers.worlds import random_config

    config = random_config()
    spec = make_policy_spec(config, "tokens", "real")
    about = policy_config(config, "pong", "ppo", "tokens", spec)
    save_policy(folder, build_policy(about), about)


def _open_policy(folder: Path) -> Any:
    from agents.sb3.policy_io import load_policy

    return load_policy(folder)


def _use_policy(opened: Any) -> None:
    policy, config = opened
    for _ in range(3):
        action, _ = policy.predict(policy.observation_space.sample()[None])
        assert 0 <= int(action[0]) < config.spec.num_actions


def _make_token_policy(folder: Path) -> None:
    from tests.helpers.policies import make_token_policy
    from tests.helpers.worlds import random_config

    make_token_policy(folder, random_config(), "pong")


def _open_token_policy(folder: Path) -> Any:
    from genie_env.policies.token_policy import load_token_policy

    return load_token_policy(folder)


def _use_token_policy(opened: Any) -> None:
    from genie_env.policies.player import PolicyPlayer

    player = PolicyPlayer(opened, np.random.default_rng(0))
    player.begin(np.zeros(opened.config.num_tokens, np.int64))
    for _ in range(3):
        assert 0 <= player.act() < opened.config.spec.num_actions
        player.see(0, np.full(opened.config.num_tokens, opened.config.vocab_size - 1))


def _make_tokens(folder: Path) -> None:
    from genie_env.config import TokenSpace
    from training.data.token_store import TokenEpisode, write_made_up

    rng = np.random.default_rng(0)

    def episode(length: int) -> TokenEpisode:
        actions = np.append(rng.integers(0, 3, length - 1), -1)
        return TokenEpisode(
            rng.integers(0, 32, (length, 16)), actions, actions, rng.normal(size=length), np.zeros(length, bool)
        )

    episodes = {"train": [episode(9), episode(4)], "test": [episode(7)]}
    write_made_up(folder, episodes, TokenSpace(32, 4), num_actions=3)


def _open_tokens(folder: Path) -> Any:
    from training.data.token_store import TokenStore

    return TokenStore(folder)


def _use_tokens(store: Any) -> None:
    from training.data.dataset import TokenDataset

    for split in ("train", "test"):
        episodes = store.episodes(split)
        if episodes:
            longest = max(len(episode.tokens_TN) for episode in episodes)
            batch = TokenDataset(store, split).clips(np.random.default_rng(0), 4, longest)
            assert batch.tokens_BTN.shape == (4, longest, store.manifest.tokens.num_tokens)


def _trained(network: Any, steps: int) -> Any:
    import torch

    from training.engine.checkpoint import TrainingState

    optimizer = torch.optim.AdamW(network.requires_grad_(True).parameters())
    state = TrainingState(network, [optimizer], {"seed": 0})
    for _ in range(steps):
        network(torch.zeros(2, network.config.context_frames, 4).long()).terminated_B.sum().backward()
        optimizer.step()
        state.step += 1
    return state


def _make_run(folder: Path) -> None:
    from genie_env.config import OutcomeConfig
    from genie_env.models.outcome import OutcomeHead
    from training.engine.stage import save_network

    network = OutcomeHead(OutcomeConfig(vocab_size=8, num_tokens=4))
    save_network(folder / "outcome", network, network.config, {})
    _trained(network, 1).save(folder / "outcome" / "checkpoint.safetensors")


def _open_run(folder: Path) -> Any:
    from training.engine.stage import load_network

    network, _ = load_network(folder / "outcome", "outcome")
    state = _trained(network, 0)
    state.load(folder / "outcome" / "checkpoint.safetensors")
    return state


def _use_run(state: Any) -> None:
    import torch

    network = state.model
    output = network(torch.zeros(2, network.config.context_frames, network.config.num_tokens).long())
    output.terminated_B.sum().backward()
    state.optimizers[0].step()


SPECIMENS = {
    "bundle": Specimen(_make_bundle, _open_bundle, _use_bundle, "config.json"),
    "fsq-bundle": Specimen(_make_fsq_bundle, _open_bundle, _use_bundle, "config.json"),
    "recording": Specimen(_make_recording, _open_recording, _use_recording, "manifest.json"),
    "policy": Specimen(_make_policy, _open_policy, _use_policy, "policy.json"),
    "token-policy": Specimen(_make_token_policy, _open_token_policy, _use_token_policy, "policy.json"),
    "run": Specimen(_make_run, _open_run, _use_run, "config.json"),
    "tokens": Specimen(_make_tokens, _open_tokens, _use_tokens, "manifest.json"),
}


def forge_checksums(folder: Path, manifest: str) -> None:
    """Write the checksums of the files as they are into the manifest, where it can still be read."""
    try:
        content = json.loads(_read(folder / manifest))
        recorded = content["sha256"]
        if isinstance(recorded, str):
            content["sha256"] = _digest(folder / "policy.safetensors")
        else:
            content["sha256"] = {name: _digest(folder / name) for name in recorded}
        (folder / manifest).write_text(json.dumps(content))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def _digest(path: Path) -> str:
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size > 2**24:
        raise OSError(f"{path}: not a file of this size")
    return path.read_bytes()
