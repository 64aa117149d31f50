"""Turn a whole recording into tokens and latent actions, once.

Dynamics training then reads a few hundred bytes a frame from memory and is never bound by pictures.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from genie_env.data.episodes import NO_ACTION, EpisodeStore
from genie_env.files.atomic import whole_file
from genie_env.games.registry import merged_effects
from genie_env.models.latent_action import LatentActionModel
from genie_env.models.tokenizer import Tokenizer

SPLITS = ("train", "test")


def is_done(folder: Path) -> bool:
    """Whether every split has been tokenized."""
    return all((folder / f"{split}.npz").exists() for split in SPLITS)


def tokenize_episodes(
    store: EpisodeStore, tokenizer: Tokenizer, lam: LatentActionModel, folder: Path, recorded_actions: bool = False
) -> None:
    """Write ``train.npz`` and ``test.npz``, each whole or absent.

    Args:
        store: the recording.
        tokenizer: makes the tokens.
        lam: infers the latent actions.
        folder: to write to.
        recorded_actions: take the effects of the recorded actions for latent ones instead, which a model that learned
            with labels numbers alike. They tell what no picture shows: a key held while the paddle is at a wall.

    Raises:
        ValueError: if the recorded actions have more effects than there are latent actions.
    """
    effects = merged_effects(store.manifest.source)
    if recorded_actions and len(set(effects)) > lam.config.num_actions:
        raise ValueError(
            f"recorded_actions: expected at most {lam.config.num_actions} effects, one for each latent action, "
            f"got {len(set(effects))}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        if (folder / f"{split}.npz").exists():
            continue
        columns: dict[str, list[np.ndarray]] = {
            "tokens_TN": [],
            "latent_actions_T": [],
            "actions_T": [],
            "rewards_T": [],
            "terminated_T": [],
        }
        entries = store.episodes(split)
        for _, arrays in tqdm(entries, total=len(store.split(split)), desc=f"tokenize {split}", unit="episode"):
            frames = torch.from_numpy(np.array(arrays["frames"]))
            tokens = torch.cat([tokenizer.encode(part) for part in frames.split(1024)])
            if recorded_actions:
                latent = effects[np.array(arrays["actions"][:-1])]
            else:
                latent = lam.infer(frames[None])[0].numpy() if len(frames) > 1 else np.zeros(0)
            columns["tokens_TN"].append(tokens.numpy().astype(np.int32))
            columns["latent_actions_T"].append(np.append(latent, NO_ACTION).astype(np.int16))
            columns["actions_T"].append(np.array(arrays["actions"]))
            columns["rewards_T"].append(np.array(arrays["rewards"]))
            columns["terminated_T"].append(np.array(arrays["terminated"]))
        starts = np.cumsum([0] + [len(x) for x in columns["tokens_TN"]])[:-1]
        with whole_file(folder / f"{split}.npz") as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                starts=starts,
                recorded_actions=recorded_actions,
                **{k: np.concatenate(v) for k, v in columns.items()},
            )
