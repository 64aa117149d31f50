"""What a small encoder reaches that learns from every label: the ceiling that codes without labels are measured by."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from genie_env.config import LatentActionConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.games.registry import merged_effects
from genie_env.models.latent_action import LatentActionModel
from training.data.dataset import FrameDataset, effect_labels
from training.engine.optimization import seeded

SIDE, CHANNELS, BATCH, RATE = 32, 16, 64, 2e-3
CHUNK = 256


def supervised_codes(store: EpisodeStore, split: str, updates: int, seed: int = 0) -> np.ndarray:
    """Effects [M] that the encoder of a latent action model names after learning all labels of the training episodes.

    Frames of 32² pixels, 16 channels, pooled; AdamW, one cycle of the learning rate with peak 0.002, 64 rows an update.
    """
    side = min(SIDE, store.manifest.source.image_size)
    count = max(2, int(merged_effects(store.manifest.source).max()) + 1)
    with seeded(seed):
        model = LatentActionModel(LatentActionConfig(count, image_size=side, channels=CHANNELS, pooled=True))
    parts = nn.ModuleList([model.encoder, model.quantizer])
    optimizer = torch.optim.AdamW(parts.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=updates)
    data, rng = FrameDataset(store, "train"), np.random.default_rng(seed)
    for _ in range(updates):
        batch = data.transitions(rng, BATCH, model.config.context_frames)
        loss = F.cross_entropy(model.logits(model.see(batch.frames_BTHWC)), effect_labels(store, batch.actions_B))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    scored, found = FrameDataset(store, split), []
    with torch.no_grad():
        for start in range(0, len(scored), CHUNK):
            batch = scored.at(np.arange(start, min(start + CHUNK, len(scored))), model.config.context_frames)
            found.append(model.logits(model.see(batch.frames_BTHWC)).argmax(-1))
    return torch.cat(found).numpy()
