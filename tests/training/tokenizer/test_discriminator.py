"""The tokenizer's discriminator: what it is off, when it begins, and that a kill costs nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genie_env.config import SourceConfig, TokenizerConfig
from genie_env.data.episodes import Episode, EpisodeStore, EpisodeWriter
from training.engine.loop import CHECKPOINT, LoopConfig, fit
from training.tokenizer.discriminator import PatchDiscriminator
from training.tokenizer.task import FSQTask, TrainTokenizerConfig, train

LOOP = LoopConfig(n_updates=6, batch_size=4, warmup=2, eval_every=9, checkpoint_every=3, precision="float32")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainTokenizerConfig:
    """For a recording of a square that jumps about on noise that stays."""
    folder, rng, shard = tmp_path_factory.mktemp("square"), np.random.default_rng(0), []
    ground = rng.integers(80, size=(64, 64, 3), dtype=np.uint8)
    for _ in range(4):
        frames = np.stack([ground] * 20)
        for frame in frames:
            y, x = rng.integers(56, size=2)
            frame[y : y + 8, x : x + 8] = 255
        shard.append(Episode(frames, np.zeros(19, np.int16), np.zeros(19), False, np.zeros((20, 0), np.float32)))
    writer = EpisodeWriter(folder / "data", SourceConfig(env_id="square", action_meanings=("NOOP",), effects=(0,)))
    writer.write_shard(0, shard)
    writer.finish(1)
    model = TokenizerConfig(kind="fsq", vocab_size=64, levels=(8, 8), channels=8)
    return TrainTokenizerConfig(folder / "data", folder / "out", model, LOOP)


def checkpoint(config: TrainTokenizerConfig) -> dict[str, torch.Tensor]:
    return load_file(config.out / CHECKPOINT)


def trained(config: TrainTokenizerConfig, out: Path, **changes: Any) -> dict[str, torch.Tensor]:
    config = replace(config, out=out, **changes)
    train(config)
    return checkpoint(config)


def test_it_changes_nothing_before_it_begins_and_something_after(
    settings: TrainTokenizerConfig, tmp_path: Path
) -> None:
    plain = trained(settings, tmp_path / "plain")
    for start, same in ((1.0, True), (0.5, False)):
        found = trained(settings, tmp_path / str(start), adversarial_weight=1.0, adversarial_start=start)
        assert {name for name in found if not name.startswith("opponent.")} - {*plain} == (
            set() if same else {name for name in found if name.startswith("optimizer.1.")}
        )
        differ = [name for name, tensor in plain.items() if not torch.equal(found[name], tensor)]
        assert bool(differ) != same
        # Half of the six updates.
        assert same or found["optimizer.1.0.step"] == 3


def test_killed_run_resumes_to_the_same_weights(settings: TrainTokenizerConfig, tmp_path: Path) -> None:
    config = replace(settings, adversarial_weight=1.0, adversarial_start=0.0)
    expected = trained(config, tmp_path / "whole")

    class Dying(FSQTask):
        def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
            if step == 5:
                raise RuntimeError("power cut")
            return super().loss(step, rng, generator)

    killed = replace(config, out=tmp_path / "killed")
    with pytest.raises(RuntimeError, match="power cut"):
        fit(Dying(killed, EpisodeStore(killed.data)), killed.loop, killed.out, "tokenizer", killed)
    found = trained(config, killed.out)
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_it_learns_to_tell_blurred_pictures_from_sharp_ones() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(8)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(0)

    def scores() -> tuple[torch.Tensor, torch.Tensor]:
        sharp = torch.rand(8, 3, 32, 32, generator=generator).round() * 2 - 1
        return network(sharp), network(torch.nn.functional.avg_pool2d(sharp, 3, 1, 1))

    for _ in range(30):
        real, made = scores()
        optimizer.zero_grad()
        (torch.relu(1 - real).mean() + torch.relu(1 + made).mean()).backward()
        optimizer.step()
    real, made = scores()
    assert float((real > 0).float().mean()) > 0.95 and float((made < 0).float().mean()) > 0.95
