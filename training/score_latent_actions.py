"""Score anybody's latent actions against the actions of a recording: assignment accuracy, NMI, ΔPSNR.

``python -m training.score_latent_actions --data data/pong --codes codes.npz``. The file's arrays: ``codes``, an integer
for each transition of the split, episode by episode in the order of the manifest and by time within each (an episode of
L frames has L - 1); if drawings are to be scored also ``drawn_index``, the numbers of K transitions, ``drawn``, uint8
[K, H, H, 3], their next frames drawn with their own codes, and ``drawn_random``, drawn with random ones; H divides the
edge of a frame, and frames are averaged down to H.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genie_env.command import run
from genie_env.data.episodes import EpisodeStore
from genie_env.frames import to_uint8
from genie_env.tables import markdown_table
from training.data.dataset import FrameDataset
from training.engine.stage import load_network
from training.latent_action.ceiling import supervised_codes
from training.latent_action.observer import observer_codes
from training.latent_action.scoring import Codes, delta_psnr, read_codes, read_transitions, score, write_codes

DRAWN = 512
LATER = 8
"""Frames after the next one that a patient observer waits for."""


@dataclass(frozen=True)
class ScoreConfig:
    """Score codes on a recording."""

    data: Path
    """Recording whose actions are the truth."""
    codes: Path
    """Codes to score, an .npz file; written first if a model is given."""
    lam_path: Path | None = None
    """Latent action model of this project that makes the codes."""
    split: str = "test"
    """Episodes to score, ``test`` or ``train``."""
    ceiling_updates: int = 1500
    """Updates of a small encoder that learns from all labels of the training episodes; 0 leaves it out."""
    observer: bool = False
    """Replay the episodes in the real game, to find what a perfect observer of the pictures could name."""


def score_latent_actions(config: ScoreConfig) -> str:
    """Print the scores of a codes file as a table, and return it.

    Raises:
        ValueError: if the file does not fit the recording.
    """
    store = EpisodeStore(config.data)
    if config.lam_path is not None:
        if config.codes.exists():
            raise ValueError(f"{config.codes} exists already; remove it, or leave out --lam-path to score it")
        write_codes(config.codes, infer_codes(config.lam_path, store, config.split))
    codes = read_codes(config.codes, store, config.split)
    known = read_transitions(store, config.split)
    everything_M = np.ones(len(known.effects_M), dtype=bool)
    subsets = {"all": everything_M}
    if known.room_M is not None:
        subsets |= {"with room": known.room_M, "without room": ~known.room_M}
    named = {"these codes": codes.codes_M}
    if config.ceiling_updates:
        named["all labels (supervised)"] = supervised_codes(store, config.split, config.ceiling_updates)
    if config.observer:
        named["perfect observer, next frame"] = observer_codes(store, config.split)
        named[f"perfect observer, {LATER} frames more"] = observer_codes(store, config.split, LATER)
    rows = []
    for subset, picks_M in subsets.items():
        if not picks_M.any():
            continue
        for name, codes_M in named.items():
            s = score(codes_M, known, picks_M)
            rows.append((subset, name, s.assignment, s.after, s.nmi))
        rows.append((subset, "majority", s.majority, "–", "–"))
        rows.append((subset, "chance (these codes shuffled)", score(codes.codes_M, known, picks_M).chance, "–", "–"))
    header = ("transitions", "codes", "best assignment", "one for each action before", "NMI")
    table = markdown_table(header, rows)
    gain = delta_psnr(codes, store, config.split)
    if math.isfinite(gain.value):
        table += f"\nΔPSNR over moving pixels: {gain} dB ({gain.count} transitions)\n"
    print(table)
    return table


@torch.no_grad()
def infer_codes(lam_path: Path, store: EpisodeStore, split: str) -> Codes:
    """Codes of all transitions of a split by a model of this project, and drawings of some of them."""
    model, config = load_network(lam_path, "latent_action")
    data, codes = FrameDataset(store, split), []
    for entry in data.entries:
        frames_BTHWC = torch.from_numpy(np.array(store.array("frames", entry)))[None]
        codes.append(model.infer(frames_BTHWC)[0].numpy())
    codes_M, rng = np.concatenate(codes), np.random.default_rng(0)
    index_K = np.sort(rng.choice(len(codes_M), size=min(DRAWN, len(codes_M)), replace=False))
    past = model.see(data.at(index_K, config.context_frames).frames_BTHWC)[:, :-1]
    drawn = [
        to_uint8(model.predict(past, torch.from_numpy(chosen_K))).numpy()
        for chosen_K in (codes_M[index_K], rng.integers(config.num_actions, size=len(index_K)))
    ]
    return Codes(codes_M, drawn[0], drawn[1], index_K)


if __name__ == "__main__":
    raise SystemExit(run(score_latent_actions, ScoreConfig, description=__doc__))
