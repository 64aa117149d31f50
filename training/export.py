"""Put finished stages together into a world bundle.

``python -m training.export --data data/pong --run runs/pong --out worlds/pong``
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genie_env.bundle import CARD, save_world
from genie_env.command import run
from genie_env.config import (
    ActionMapConfig,
    SamplingConfig,
    WorldConfig,
)
from genie_env.data.episodes import EpisodeStore
from genie_env.data.fit_action_map import fit_action_map
from genie_env.files.json_config import JsonConfig
from genie_env.model_card import model_card
from genie_env.world import Prompts, World
from training.data.token_store import TokenEpisode, TokenStore
from training.engine.stage import Stage
from training.stages import STAGES

NETWORK_STAGES = tuple(stage for stage in STAGES if stage.network)


@dataclass(frozen=True)
class ExportConfig(JsonConfig):
    """Bundle the stages of a run."""

    data: Path
    """Recording the stages were trained on."""
    out: Path
    """Bundle to make."""
    run: Path | None = None
    """Folder with the folders of all stages."""
    video_tokenizer_path: Path | None = None
    """Finished tokenizer, where it is not the run's."""
    lam_path: Path | None = None
    """Finished latent action model, where it is not the run's; not needed where actions were recorded."""
    tokens: Path | None = None
    """Tokens that the dynamics learned from, where they are not the run's."""
    dynamics_path: Path | None = None
    """Finished dynamics, where it is not the run's."""
    outcome_path: Path | None = None
    """Finished outcome head, where it is not the run's; not needed where rewards and ends are not known."""
    name: str = ""
    """Name of the world; the default is the folder's."""
    sampling: SamplingConfig = SamplingConfig()
    """Sampling defaults of the world."""
    num_labels: int = 200
    """Labelled transitions for the map of inferred actions (0: no map, latent actions only); none without actions."""
    num_starts: int = 128
    """Number of start prompts."""
    start_frames: int = 8
    """Frames of a prompt."""
    replace: bool = False
    """Replace an existing bundle."""


def export(config: ExportConfig) -> Path:
    """Write the bundle.

    Raises:
        ValueError: if a stage is missing or damaged, or the bundle exists and ``replace`` is not set.
    """
    store, folders = EpisodeStore(config.data), _folders(config)
    tokens = TokenStore(folders["tokenize"])
    found = {
        stage.network: stage.load(folders[stage.name])
        for stage in NETWORK_STAGES
        if _is_needed(stage, store, tokens, folders[stage.name])
    }
    episodes = tokens.episodes("train")
    world_config = WorldConfig(
        name=config.name or config.out.name,
        **{"latent_action": None, "outcome": None, **{name: size for name, (_, size) in found.items()}},
        source=store.manifest.source,
        sampling=config.sampling,
        action_map=_action_map(config, store, tokens),
        recorded_actions=tokens.recorded_actions,
        metrics={"frames": sum(len(e.tokens_TN) for e in episodes), "players": store.manifest.settings},
    )
    world = World(world_config, starts(episodes, config.num_starts, config.start_frames))
    for name, (network, _) in found.items():
        getattr(world, name).load_state_dict(network.state_dict())
    return save_world(world, config.out, card=model_card(world), replace=config.replace)


def _is_needed(stage: Stage, store: EpisodeStore, tokens: TokenStore, folder: Path) -> bool:
    """Whether a world of this recording has a stage's network."""
    if stage.network == "outcome":
        return store.manifest.source.has_outcomes
    # A dynamics of recorded actions says itself which action a clip shows.
    return stage.network != "latent_action" or not tokens.recorded_actions or stage.is_done(folder)


def _folders(config: ExportConfig) -> dict[str, Path]:
    """Folder of each stage of a run, by its name."""
    folders = {}
    for stage in STAGES:
        name = next(name for name, source in STAGE.inputs.items() if source == stage.name)
        folder = getattr(config, name) or (config.run and stage.folder(config.run))
        if folder is None and stage.network not in ("latent_action", "outcome"):
            raise ValueError(f"{name}: expected a folder, or --run with those of all stages")
        folders[stage.name] = folder or Path(f"no {stage.name}")
    return folders


STAGE = Stage(
    "export",
    ExportConfig,
    export,
    {
        "data": "record",
        "video_tokenizer_path": "tokenizer",
        "lam_path": "latent_action",
        "tokens": "tokenize",
        "dynamics_path": "dynamics",
        "outcome_path": "outcome",
    },
)


def starts(episodes: list[TokenEpisode], count: int, length: int) -> Prompts:
    """Prompts from the beginnings of training episodes: the first points of a game, at various moments.

    Raises:
        ValueError: if no episode is long enough.
    """
    rng = np.random.default_rng(0)
    episodes = [e for e in episodes if len(e.tokens_TN) >= length + 1]
    if not episodes:
        raise ValueError(f"no training episode has {length + 1} frames to start from")
    picked_tokens, picked_actions = [], []
    for index in range(count):
        episode = episodes[index % len(episodes)]
        # Before the first point is scored; games without early points still give a spread of moments.
        events = np.flatnonzero(episode.rewards_T)
        latest = min(int(events[0]) if len(events) else 64, len(episode.tokens_TN) - length, 64)
        first = int(rng.integers(0, max(1, latest - length)))
        picked_tokens.append(episode.tokens_TN[first : first + length])
        picked_actions.append(episode.actions_T[first : first + length - 1])
    tokens_SPN, actions_SP = (np.stack(x).astype(np.int64) for x in (picked_tokens, picked_actions))
    return Prompts(torch.from_numpy(tokens_SPN), torch.from_numpy(actions_SP))


def _action_map(config: ExportConfig, store: EpisodeStore, tokens: TokenStore) -> ActionMapConfig | None:
    effects, num_actions = store.manifest.source.effects, tokens.manifest.num_actions
    if tokens.recorded_actions:
        return ActionMapConfig.from_effects(effects, num_actions)
    if config.num_labels == 0 or not store.manifest.source.has_actions:
        return None
    episodes = tokens.episodes("train")
    latent = np.concatenate([e.actions_T[:-1] for e in episodes])
    real = np.concatenate([e.real_actions_T[:-1] for e in episodes])
    before = np.concatenate([np.append(-1, e.real_actions_T[:-2]) for e in episodes])
    picks = np.random.default_rng(0).permutation(len(latent))[: config.num_labels]
    return fit_action_map(latent[picks], real[picks], effects, num_actions, before_M=before[picks])


def main(config: ExportConfig) -> None:
    """Command line."""
    folder = export(config)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{folder}: {size / 1e6:.1f} MB, {CARD} written")


if __name__ == "__main__":
    raise SystemExit(run(main, ExportConfig, description=__doc__))
