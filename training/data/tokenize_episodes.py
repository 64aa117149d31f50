"""Turn a whole recording into tokens and actions, once.

Dynamics training then reads a few hundred bytes a frame from memory and is never bound by pictures.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from genie_env.data.episodes import NO_ACTION, EpisodeEntry, EpisodeStore
from genie_env.files.json_config import JsonConfig
from genie_env.files.reading import checksum, read_bytes
from genie_env.games.registry import merged_effects
from genie_env.models.latent_action import LatentActionModel
from genie_env.models.protocols import VideoTokenizer
from genie_env.models.tokenizer import encode_clips
from training.data.token_store import (
    MANIFEST,
    MANIFEST_BYTES,
    TokenEntry,
    TokenEpisode,
    TokenManifest,
    TokenStore,
    TokenWriter,
    partial_folder,
)
from training.engine.distributed import training_device
from training.engine.stage import WEIGHTS, Stage, alone_in, changed_settings, load_network, settings_of
from training.engine.stamp import describe


@dataclass(frozen=True)
class TokenizeConfig(JsonConfig):
    """Turn a recording into tokens and actions."""

    data: Path
    """Recording to read."""
    out: Path
    """Folder to make; it appears only when it is complete."""
    video_tokenizer_path: Path
    """Finished stage of the video tokenizer, which makes the tokens."""
    lam_path: Path | None = None
    """Finished stage of the latent action model, which infers the actions; not needed for recorded ones."""
    recorded_actions: bool = False
    """Take the effects of the recorded actions instead of inferred ones. They hold what no picture shows: a key held
    while the paddle is at a wall. A latent action model beside them must have learned with labels, so that it numbers
    its codes alike."""
    max_frames: int | None = None
    """Frames at most, where a learned tokenizer would take too long: all held-out episodes, and training episodes from
    everywhere in the recording until there are so many. None: all."""
    device: str = "auto"
    """Torch device; ``auto`` is the process's own GPU where there is one."""

    def __post_init__(self) -> None:
        if self.max_frames is not None and self.max_frames < 1:
            raise ValueError(f"max_frames: expected a whole number >= 1, got {self.max_frames}")


def tokenize(config: TokenizeConfig) -> TokenStore:
    """Write the token store, or go on with one that was begun, and open it.

    Raises:
        ValueError: if an input cannot be read, ``out`` exists or another process makes it, or there are more effects
            than latent actions.
    """
    store, device = EpisodeStore(config.data), training_device(config.device)
    tokenizer, _ = load_network(config.video_tokenizer_path, "tokenizer")
    tokenizer.to(device)
    if config.recorded_actions and not store.manifest.source.has_actions:
        raise ValueError(f"{config.data}: has no recorded actions; expected a latent action model to infer them with")
    if config.lam_path is None and not config.recorded_actions:
        raise ValueError("lam_path: expected a latent action model to infer actions with, or recorded_actions")
    lam = None
    if config.lam_path is not None:
        lam, _ = load_network(config.lam_path, "latent_action")
        lam.to(device)
    shards = by_shard(kept_episodes(store.manifest.episodes, config.max_frames))
    manifest = _manifest(config, store, shards, tokenizer, lam)
    with alone_in(partial_folder(config.out)):
        writer = TokenWriter(config.out, manifest, settings_of(config))
        missing = {shard: entries for shard, entries in enumerate(shards) if not writer.has_shard(shard)}
        count = sum(len(entries) for entries in missing.values())
        with tqdm(total=count, desc="tokenize", unit="episode") as bar:
            for shard, entries in missing.items():
                episodes = []
                for entry in entries:
                    frames_THWC = torch.from_numpy(np.array(store.array("frames", entry))).to(device)
                    inferring = None if config.recorded_actions else lam
                    encoded = _encoded(frames_THWC, tokenizer, inferring)
                    episodes.append(_tokenized(store, entry, *encoded))
                    bar.update()
                writer.write_shard(shard, episodes)
        return writer.finish()


def kept_episodes(episodes: Sequence[EpisodeEntry], max_frames: int | None) -> list[EpisodeEntry]:
    """The episodes that ``max_frames`` leaves, in their order: players follow each other in a recording, so training
    episodes are taken from everywhere in it, at least one of them.
    """
    if max_frames is None:
        return list(episodes)
    total = sum(e.length for e in episodes if e.split == "train")
    wanted = max_frames - sum(e.length for e in episodes if e.split != "train")
    share = min(1.0, max(0, wanted) / max(1, total))
    kept, seen, taken = [], 0, 0
    for entry in episodes:
        if entry.split == "train":
            seen += entry.length
            # Whenever less than the share of what was seen so far is taken, and once in any case.
            if taken + entry.length > share * seen and (taken or seen < total):
                continue
            taken += entry.length
        kept.append(entry)
    return kept


def by_shard(entries: Sequence[EpisodeEntry]) -> list[list[EpisodeEntry]]:
    """The episodes of each of the recording's shards that has any; the tokens' shards are numbered by them."""
    shards: dict[int, list[EpisodeEntry]] = defaultdict(list)
    for entry in entries:
        shards[entry.shard].append(entry)
    return list(shards.values())


def frames_per_second(config: TokenizeConfig, num_frames: int = 256) -> float:
    """How many frames are tokenized in a second, measured on some of the recording's first ones."""
    store, device = EpisodeStore(config.data), training_device(config.device)
    tokenizer, _ = load_network(config.video_tokenizer_path, "tokenizer")
    tokenizer.to(device)
    lam = None
    if config.lam_path is not None and not config.recorded_actions:
        lam, _ = load_network(config.lam_path, "latent_action")
        lam.to(device)
    frames = torch.from_numpy(np.array(store.array("frames", store.manifest.episodes[0])[:num_frames])).to(device)
    _encoded(frames[:16], tokenizer, lam)
    began = time.perf_counter()
    _encoded(frames, tokenizer, lam)
    return len(frames) / (time.perf_counter() - began)


def tokenize_once(config: TokenizeConfig) -> TokenStore:
    """Open the token store in ``config.out``, made now where there is none.

    Raises:
        ValueError: if it was made with other settings; names them.
    """
    if not STAGE.is_done(config.out):
        return tokenize(config)
    changed = changed_settings(config.out, config)
    if changed:
        raise ValueError(f"{config.out}: was made with {describe(changed)}; remove it or use another folder")
    return TokenStore(config.out)


def _manifest(
    config: TokenizeConfig,
    store: EpisodeStore,
    shards: Sequence[Sequence[EpisodeEntry]],
    tokenizer: VideoTokenizer,
    lam: LatentActionModel | None,
) -> TokenManifest:
    effects = merged_effects(store.manifest.source)
    num_actions = int(effects.max(initial=0)) + 1 if lam is None else lam.config.num_actions
    if config.recorded_actions and len(set(effects)) > num_actions:
        raise ValueError(
            f"recorded_actions: expected at most {num_actions} effects, one for each latent action, "
            f"got {len(set(effects))}"
        )
    lam_path = None if config.recorded_actions else config.lam_path
    lam_sha256 = "" if lam_path is None else checksum(lam_path / WEIGHTS)
    entries = [
        TokenEntry.from_json({"shard": shard, "length": e.length, "split": e.split})
        for shard, part in enumerate(shards)
        for e in part
    ]
    recorded = read_bytes(config.data / "manifest.json", MANIFEST_BYTES)
    return TokenManifest(
        vocab_size=tokenizer.config.vocab_size,
        side=tokenizer.config.side,
        actions="recorded" if config.recorded_actions else "inferred",
        num_actions=num_actions,
        tokenizer=tokenizer.config.to_json(),
        tokenizer_sha256=checksum(config.video_tokenizer_path / WEIGHTS),
        latent_action_sha256=lam_sha256,
        recording=str(config.data),
        recording_sha256=hashlib.sha256(recorded).hexdigest(),
        episodes=tuple(entries),
        settings=store.manifest.settings,
    )


def _tokenized(
    store: EpisodeStore, entry: EpisodeEntry, tokens: np.ndarray, actions: np.ndarray | None
) -> TokenEpisode:
    real = store.array("actions", entry)
    if actions is None:
        actions = merged_effects(store.manifest.source)[np.array(real[:-1])]
    rewards, terminated = store.array("rewards", entry), store.array("terminated", entry)
    return TokenEpisode(tokens, np.append(actions, NO_ACTION), real, rewards, terminated)


@torch.no_grad()
def _encoded(
    frames_THWC: torch.Tensor, tokenizer: VideoTokenizer, lam: LatentActionModel | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Tokens [T, N] of an episode's frames, and the latent actions [T-1] between them if a model infers them."""
    tokens_TN = encode_clips(tokenizer, frames_THWC[None])[0].cpu().numpy()
    if lam is None:
        return tokens_TN, None
    return tokens_TN, lam.infer(frames_THWC[None])[0].cpu().numpy() if len(frames_THWC) > 1 else np.zeros(0)


STAGE = Stage(
    "tokenize",
    TokenizeConfig,
    tokenize,
    {"data": "record", "video_tokenizer_path": "tokenizer", "lam_path": "latent_action"},
    proof=MANIFEST,
    folder_name="tokens",
)
