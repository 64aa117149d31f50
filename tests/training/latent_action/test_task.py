"""Latent actions learned without labels: shares of codes, and a world in miniature whose actions are found."""

from pathlib import Path

import numpy as np
import pytest
import torch

from genie_env.config import LatentActionConfig, SourceConfig
from genie_env.data.episodes import Episode, EpisodeWriter
from training.engine.loop import LoopConfig
from training.latent_action.code_assignment import assign
from training.latent_action.task import LatentActionTask, TrainLatentActionConfig, train

UNDECIDED = torch.zeros(30, 3)


def test_shares_are_distributions_and_even_over_the_batch() -> None:
    errors = torch.rand(30, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0, 9.0])
    shares = assign(errors, UNDECIDED)
    torch.testing.assert_close(shares.sum(1), torch.ones(30))
    torch.testing.assert_close(shares.sum(0), torch.full((3,), 10.0), atol=0.3, rtol=0)
    free = assign(errors, UNDECIDED, even=False)
    torch.testing.assert_close(free.sum(1), torch.ones(30))
    assert torch.equal(free.argmax(1), errors.argmin(1))
    assert free.sum(0).argmax() == 0 and free.sum(0)[0] > 20, "only evenness keeps the worse codes alive"


def test_shares_do_not_depend_on_the_unit_of_errors_nor_on_what_all_codes_get_wrong() -> None:
    errors = torch.rand(30, 3, generator=torch.Generator().manual_seed(1))
    for even in (True, False):
        shares = assign(errors, UNDECIDED, even=even)
        torch.testing.assert_close(assign(1000 * errors + 7, UNDECIDED, even=even), shares, atol=1e-3, rtol=0)
    assert torch.equal(assign(torch.ones(30, 3), UNDECIDED), torch.full((30, 3), 1 / 3)), "nothing to choose"


def test_encoder_decides_where_the_decoder_draws_the_same() -> None:
    logits = torch.randn(30, 3, generator=torch.Generator().manual_seed(2))
    assert torch.equal(assign(torch.ones(30, 3), logits, even=False).argmax(1), logits.argmax(1))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A block that a random player moves by -2, 0 or +2 pixels, and another that falls by itself."""
    rng, shard = np.random.default_rng(0), []
    for _ in range(4):
        actions = rng.integers(3, size=200)
        frames = np.zeros((201, 16, 16, 3), np.uint8)
        own, falling = 6, 0
        for t in range(201):
            frames[t, own : own + 3, 12:14, 1] = 200
            frames[t, falling : falling + 2, 3:5, 0] = 200
            if t < 200:
                own = int(np.clip(own + 2 * (actions[t] - 1), 0, 13))
                falling = (falling + 2) % 14
        shard.append(Episode(frames, actions, np.zeros(200), False, np.zeros((201, 0)), "random"))
    source = SourceConfig("Blocks-v0", image_size=16, action_meanings=("UP", "STAY", "DOWN"), effects=(0, 1, 2))
    writer = EpisodeWriter(tmp_path_factory.mktemp("blocks") / "data", source, (), {})
    writer.write_shard(0, shard)
    return writer.finish(1).folder


def _config(recording: Path, out: Path, n_updates: int) -> TrainLatentActionConfig:
    model = LatentActionConfig(image_size=16, channels=8, context_frames=2, pooled=True)
    loop = LoopConfig(
        n_updates=n_updates,
        batch_size=16,
        learning_rate=4e-3,
        decay_share=0.3,
        eval_every=10**6,
        ema=0.98,
        precision="float32",
    )
    return TrainLatentActionConfig(recording, out, model, loop, foretelling=0.3, even=1.0)


def test_actions_are_found_without_labels(recording: Path, tmp_path: Path) -> None:
    config = _config(recording, tmp_path / "lam", 300)
    model = train(config)
    figures, _ = LatentActionTask(config).evaluate(model)
    # Chance is 0.39. Longer training finds more; this is long enough to tell that codes are learned and heeded.
    assert figures["hungarian_accuracy"] > 0.5
    assert figures["accuracy_after"] >= figures["hungarian_accuracy"]
    assert figures["delta_psnr"] > 4


def test_encoder_learns_only_after_the_decoder_has_seen_what_the_past_foretells(
    recording: Path, tmp_path: Path
) -> None:
    task = LatentActionTask(_config(recording, tmp_path / "lam", 100))
    for step, learns in ((0, False), (29, False), (30, True), (99, True)):
        task.model.zero_grad()
        loss, _ = task.loss(step, np.random.default_rng(step), torch.Generator().manual_seed(step))
        loss.backward()
        moved = [p.grad is not None and bool(p.grad.any()) for p in task.model.encoder.parameters()]
        assert any(moved) == learns
        assert task.model.out.weight.grad is not None and bool(task.model.out.weight.grad.any())
