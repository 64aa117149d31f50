"""Latent actions learned without labels: shares of codes, and a world in miniature whose actions are found."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genie_env.config import LatentActionConfig, LatentActionShape, SourceConfig
from genie_env.data.episodes import Episode, EpisodeStore, EpisodeWriter
from genie_env.effect_names import effect_names, still_code
from genie_env.files.reading import read_json
from genie_env.frames import to_float
from genie_env.models.latent_action import LatentActionModel
from training.data.dataset import FrameDataset
from training.engine.loop import LoopConfig
from training.engine.stage import load_network
from training.latent_action import naming
from training.latent_action.code_assignment import assign
from training.latent_action.named_task import NamedTask, Names
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
    model = LatentActionShape(image_size=16, channels=8, context_frames=2, pooled=True)
    loop = LoopConfig(
        n_updates=n_updates,
        batch_size=32,
        learning_rate=4e-3,
        decay_share=0.3,
        eval_every=10**6,
        ema=0.98,
        precision="float32",
    )
    return TrainLatentActionConfig(recording, out, model, loop, foretelling=0.5, naming_updates=min(n_updates, 300))


def poisoned(recording: Path, out: Path) -> Path:
    """The same pictures with other actions."""
    shutil.copytree(recording, out)
    actions = np.load(out / "00000.actions.npy")
    np.save(out / "00000.actions.npy", np.where(actions >= 0, (actions * 7 + 1) % 3, actions).astype(np.int16))
    return out


def test_actions_are_found_without_labels_and_mean_the_same_everywhere(recording: Path, tmp_path: Path) -> None:
    config = _config(recording, tmp_path / "lam", 700)
    model = train(config)
    task = LatentActionTask(config)
    learned = load_network(tmp_path / "lam" / "learned", "latent_action")[0]
    before, after = (task.evaluate(m)[0] for m in (learned, model))
    # Chance is 0.39.
    assert after["hungarian_accuracy"] > max(0.75, before["hungarian_accuracy"])
    assert after["delta_psnr"] > 4
    finished = LatentActionConfig.from_json(read_json(tmp_path / "lam" / "config.json"))
    names = effect_names(finished.prototypes)
    assert {"up", "down"} < set(names)
    assert names[still_code(finished.prototypes)] not in ("up", "down")


def test_transitions_without_a_name_are_named_by_the_model_once_it_knows_the_names(recording: Path) -> None:
    data = FrameDataset(EpisodeStore(recording), "train")
    config = LatentActionConfig(num_actions=3, image_size=16, channels=8, context_frames=2, pooled=True)
    model = LatentActionModel(config)
    first, rest = np.arange(20), np.arange(20, len(data))
    names, loop = torch.eye(3)[torch.arange(20) % 3], LoopConfig(n_updates=10, batch_size=32, precision="float32")
    task = NamedTask(model, data, Names(1.0, first, names, torch.full((20, 2), 8.0), rest), None, loop)
    seen = []
    data.at = lambda indices, context: seen.append(indices) or FrameDataset.at(data, indices, context)  # type: ignore[method-assign]
    for step in (0, 5, 6, 9):
        loss, _ = task.loss(step, np.random.default_rng(step), torch.Generator())
        assert bool(loss.isfinite())
    alone, still_alone, joined, last = ((indices >= 20).mean() for indices in seen)
    assert alone == still_alone == 0.0 and joined == last == 0.5


@pytest.mark.parametrize("distinct", [True, False])
def test_names_of_a_few_transitions_teach_a_new_model_and_of_all_where_they_are_hardly_told_apart(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distinct: bool
) -> None:
    seen = []

    def task(learner: LatentActionModel, *given: Any) -> NamedTask:
        seen.append((learner.out.weight.detach().clone(), *given[:2]))
        return NamedTask(learner, *given)

    monkeypatch.setattr(naming, "BLURRED", 9.0)
    monkeypatch.setattr(naming, "DISTINCT", 9.0 if distinct else 0.0)
    monkeypatch.setattr(naming, "NamedTask", task)
    config = replace(_config(recording, tmp_path / "lam", 10), naming_updates=2)
    train(config)
    weight, data, names = seen[0]
    learned = load_network(tmp_path / "lam" / "learned", "latent_action")[0]
    assert len(names.indices_M) + len(names.unnamed_N) == len(data)
    assert len(names.indices_M) / len(data) == pytest.approx(0.65 if distinct else 1.0, abs=0.01)
    assert torch.equal(weight, learned.out.weight) == (not distinct)


def test_the_number_of_codes_is_found_from_more_of_them(recording: Path, tmp_path: Path) -> None:
    config = _config(recording, tmp_path / "lam", 700)
    config = replace(config, model=replace(config.model, num_actions="auto"), max_actions=5)
    model = train(config)
    assert model.config.num_actions == 3
    report = read_json(tmp_path / "lam" / "num_actions.json")
    assert report["begun_with"] == 5 and report["kept"] == 3
    worth = [report["worth_db"][str(number)] for number in range(1, 6)]
    assert worth[0] == 0 and worth[2] > worth[1] + 1 and worth[4] < worth[2] + 1
    assert LatentActionTask(config).evaluate(model)[0]["hungarian_accuracy"] > 0.75
    assert len(LatentActionConfig.from_json(read_json(tmp_path / "lam" / "config.json")).prototypes) == 3


def test_a_number_that_is_found_needs_names_and_no_labels(recording: Path, tmp_path: Path) -> None:
    config = _config(recording, tmp_path, 10)
    auto = replace(config, model=replace(config.model, num_actions="auto"))
    for change in ({"label_fraction": 0.5}, {"naming": False}):
        with pytest.raises(ValueError, match="num_actions: auto"):
            replace(auto, **change)
    with pytest.raises(ValueError, match="max_actions: expected 2 to 8, got 9"):
        replace(auto, max_actions=9)


def test_without_labels_no_recorded_action_is_read(recording: Path, tmp_path: Path) -> None:
    for data, out in ((recording, tmp_path / "a"), (poisoned(recording, tmp_path / "poisoned"), tmp_path / "b")):
        train(_config(data, out, 30))
        store, model = EpisodeStore(data), load_network(out, "latent_action")[0]
        frames = torch.from_numpy(np.array(store.array("frames", store.split("test")[0])))[None]
        np.save(out / "codes.npy", model.infer(frames).numpy())
    for name in ("model.safetensors", "config.json", "codes.npy"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_labels_of_another_recording_say_which_code_is_which_effect(recording: Path, tmp_path: Path) -> None:
    config = _config(poisoned(recording, tmp_path / "poisoned"), tmp_path / "lam", 200)
    model = train(replace(config, label_fraction=0.3, labels=recording))
    data = FrameDataset(EpisodeStore(recording), "test")
    batch = data.at(np.arange(len(data)), 2)
    codes = model.logits(to_float(batch.frames_BTHWC)).argmax(-1)
    assert (codes == batch.actions_B).float().mean() > 0.7, "codes are numbered as the effects are"


def test_labels_that_cannot_be_used_are_refused(recording: Path, tmp_path: Path) -> None:
    config = _config(recording, tmp_path / "lam", 10)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        replace(config, label_fraction=1.5)
    with pytest.raises(ValueError, match="label_fraction > 0"):
        replace(config, labels=recording)
    with pytest.raises(ValueError, match="expected naming"):
        replace(config, label_fraction=0.1, naming=False)
    two = replace(config, label_fraction=0.5, model=replace(config.model, num_actions=2))
    with pytest.raises(ValueError, match="3 effects"):
        train(two)
    assert not (tmp_path / "lam").exists(), "refused before anything is learned"


def test_encoder_learns_only_after_the_decoder_has_seen_what_the_past_foretells(
    recording: Path, tmp_path: Path
) -> None:
    task = LatentActionTask(_config(recording, tmp_path / "lam", 100))
    for step, learns in ((0, False), (49, False), (50, True), (99, True)):
        task.model.zero_grad()
        loss, _ = task.loss(step, np.random.default_rng(step), torch.Generator().manual_seed(step))
        loss.backward()
        moved = [p.grad is not None and bool(p.grad.any()) for p in task.model.encoder.parameters()]
        assert any(moved) == learns
        assert task.model.out.weight.grad is not None and bool(task.model.out.weight.grad.any())
