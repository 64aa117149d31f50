"""Members are trained as if each were alone, heads each on clips of their own; a stop costs nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genie_env.command import Interrupted
from genie_env.config import DynamicsConfig, EnsembleConfig, EnsembleShape, TokenizerConfig
from genie_env.models.dynamics import Dynamics
from genie_env.models.ensemble import DynamicsEnsemble, trunks_and_heads
from tests.helpers.worlds import TINY_RECIPE
from training.data.dataset import TokenDataset
from training.data.token_store import TokenStore, sized
from training.dynamics.loss_draws import Draw
from training.dynamics.members import HeadsTask, member_folder, owners
from training.dynamics.scheduled_sampling import ScheduledSamplingConfig
from training.dynamics.task import STAGE, DynamicsTask, TrainDynamicsConfig, train
from training.engine.stage import changed_settings, load_network
from training.recipes import Recipe
from training.train import TrainConfig, stage_configs
from training.train import main as make
from training.train_dynamics import Flags

SIZE = {"width": 16, "num_layers": 1, "num_heads": 1, "token_dim": 8, "window": 4}
PICKS = np.stack(np.meshgrid(np.arange(20), np.arange(0, 4000, 100)), -1).reshape(-1, 2)


@pytest.fixture
def config(tokens: Path, tmp_path: Path) -> Flags:
    """A training of a few updates, some of whose contexts are dreamed, and some of whose clips are drawn by loss."""
    return Flags(
        tokens=tokens,
        out=tmp_path / "dynamics",
        model=replace(TrainDynamicsConfig().model, **SIZE),
        loop=replace(TINY_RECIPE.dynamics_loop, n_updates=6, batch_size=4, checkpoint_every=2, seed=3),
        clip_length=4,
        loss_share=0.4,
        loss_correction=True,
        scheduled_sampling=ScheduledSamplingConfig(begin=0.3, max_frames=2),
        device="cpu",
    )


def weights(folder: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / "model.safetensors").items()}


def ensemble_of(config: Flags, kind: Any = "networks") -> TrainDynamicsConfig:
    return replace(config, members=3, member_kind=kind).settings()


def test_flags_make_an_ensemble_and_one_member_is_none(config: Flags) -> None:
    settings = ensemble_of(config, "heads")
    assert type(settings) is TrainDynamicsConfig and type(settings.model) is EnsembleShape
    assert (settings.model.members, settings.model.member_kind, settings.model.width) == (3, "heads", 16)
    assert config.settings().model == config.model
    with pytest.raises(ValueError, match="members: expected an integer from 2 to 16, got 40"):
        replace(config, members=40).settings()


def test_networks_are_trained_alone_one_after_another(config: Flags) -> None:
    ensemble = train(ensemble_of(config))
    assert isinstance(ensemble, DynamicsEnsemble)
    alone = replace(config, out=config.out.parent / "alone").settings()
    train(alone)
    first, *others = (weights(member_folder(config.out, index)) for index in range(3))
    assert first == weights(alone.out), "the first member is the training without members"
    assert all(other["leave.weight"] != first["leave.weight"] for other in others) and others[0] != others[1]
    loaded, size = load_network(config.out, "dynamics")
    assert isinstance(size, EnsembleConfig) and size.members == 3
    for index, member in enumerate(loaded.members):
        kept = load_network(member_folder(config.out, index), "dynamics")[0]
        assert all(torch.equal(a, b) for a, b in zip(member.parameters(), kept.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["networks", "heads"])
def test_a_stop_anywhere_changes_no_weight(config: Flags, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = replace(ensemble_of(config, kind), out=config.out.parent / "straight")
    train(straight)
    task, seen = (HeadsTask if kind == "heads" else DynamicsTask), []
    frame_loss = task.frame_loss

    def stopped(self: Any, *args: Any) -> Any:
        seen.append(args)
        if len(seen) in (4, 9):  # in the first member and, of networks, in the second
            raise Interrupted("stopped", 15)
        return frame_loss(self, *args)

    monkeypatch.setattr(task, "frame_loss", stopped)
    stops = 0
    while True:
        try:
            train(ensemble_of(config, kind))
            break
        except Interrupted:
            stops += 1
            assert not STAGE.is_done(config.out)
    assert stops == {"networks": 2, "heads": 1}[kind]
    assert weights(config.out) == weights(straight.out)


def heads_task(settings: TrainDynamicsConfig) -> tuple[HeadsTask, list[Dynamics], TokenStore]:
    """A task, its heads and the tokens."""
    store = TokenStore(settings.tokens or "")
    task = HeadsTask(replace(settings, model=sized(settings.model, DynamicsConfig, store)))
    return task, trunks_and_heads(task.model)[1], store


def test_each_head_learns_from_its_own_clips_alone(config: Flags) -> None:
    settings = replace(ensemble_of(config, "heads"), scheduled_sampling=ScheduledSamplingConfig(method="none"))
    task, members, store = heads_task(settings)
    data = TokenDataset(store, "train")
    picks = data.picks(np.random.default_rng(0), 64, 5)
    owned_BK = owners(picks, 3)
    row = next(row for row in range(64) if owned_BK[row].sum() == 1)
    clip = data.take(picks[[row]], 5)
    undecided = torch.full_like(clip.tokens_BTN[:, 1:], task.model.mask_token)
    task.frame_loss(Draw(picks[[row]]), clip, clip.tokens_BTN[:, :-1], undecided).loss.backward()
    learned = [member.leave.weight.grad is not None for member in members]
    assert learned == owned_BK[row].tolist()
    assert members[0].enter.weight.grad is not None, "the trunk learns from every clip"


def test_loss_of_heads_is_that_of_each_weighted_by_its_changed_tokens(config: Flags) -> None:
    settings = ensemble_of(config, "heads")
    task, members, store = heads_task(settings)
    with torch.no_grad():  # Heads that are all alike: then it does not matter which of them a clip belongs to.
        for member in members:
            member.load_state_dict(members[0].state_dict())
    data = TokenDataset(store, "train")
    picks = data.picks(np.random.default_rng(0), 6, 5)
    clip = data.take(picks, 5)
    undecided = torch.full_like(clip.tokens_BTN[:, 1:], task.model.mask_token)
    got = task.frame_loss(Draw(picks), clip, clip.tokens_BTN[:, :-1], undecided)
    repeated = np.repeat(np.arange(6), owners(picks, 3).sum(1))
    clip = data.take(picks[repeated], 5)
    undecided = torch.full_like(clip.tokens_BTN[:, 1:], task.model.mask_token)
    one = replace(settings, model=members[0].config)
    alone = DynamicsTask(one)
    alone.model.load_state_dict(members[0].state_dict())
    expected = alone.frame_loss(Draw(picks[repeated]), clip, clip.tokens_BTN[:, :-1], undecided)
    torch.testing.assert_close(got.loss, expected.loss, rtol=1e-4, atol=1e-5)
    assert got.num_changed == expected.num_changed
    torch.testing.assert_close(got.nats[repeated], expected.nats, rtol=1e-4, atol=1e-5)


def test_every_clip_has_a_head_and_each_head_half_of_them() -> None:
    owned_BK = owners(PICKS, 3)
    assert owned_BK.any(1).all() and len(np.unique(owned_BK, axis=0)) == 7
    assert (np.abs(owned_BK.mean(0) - (0.5 + 1 / 24)) < 0.08).all(), "one half, and a third of the eighth without any"
    assert np.array_equal(owned_BK, owners(PICKS, 3)), "what a head never saw it never sees"
    near = owners(np.array([[2, 256], [2, 300], [2, 511]]), 3)
    assert (near == near[0]).all()


def test_members_may_begin_from_one_finished_dynamics(config: Flags) -> None:
    parent = replace(config, out=config.out.parent / "parent").settings()
    train(parent)
    for kind in ("networks", "heads"):
        tuned = replace(ensemble_of(config, kind), out=config.out / kind, start_from=parent.out)
        train(replace(tuned, loop=replace(tuned.loop, n_updates=1, learning_rate=1e-9, warmup=100)))
        loaded, _ = load_network(tuned.out, "dynamics")
        before = load_file(parent.out / "model.safetensors")
        for member in loaded.members:
            torch.testing.assert_close(dict(member.state_dict()), before, rtol=0, atol=1e-6)
    wrong = replace(ensemble_of(config), start_from=config.out / "heads")
    with pytest.raises(ValueError, match="start_from: expected a dynamics of the size"):
        train(wrong)


def test_a_recipe_with_members_knows_its_finished_stage(config: Flags, tmp_path: Path) -> None:
    assert (TrainConfig().members, TrainConfig().member_kind) == (1, "networks")
    dynamics = {**SIZE, "kind": "ensemble", "members": 2, "member_kind": "heads"}
    tokenizer = TokenizerConfig(vocab_size=32)
    recipe = replace(TINY_RECIPE, dynamics=dynamics, dynamics_loop=config.loop, tokenizer=tokenizer)
    found = stage_configs(recipe, tmp_path / "data", tmp_path / "run", tmp_path)
    stages = {stage.name: settings for stage, settings in found}
    settings = replace(stages["dynamics"], tokens=config.tokens, video_tokenizer_path=None)
    train(settings)
    assert changed_settings(settings.out, settings) == []
    fewer = replace(settings, model=replace(settings.model, members=3))
    assert [change.name for change in changed_settings(settings.out, fewer)] == ["members"]


def test_flags_of_the_whole_training_reach_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    recipes: list[Recipe] = []
    monkeypatch.setattr("training.train.make_world", lambda recipe, *rest: recipes.append(recipe))
    make(TrainConfig(recipe="pong"))
    make(TrainConfig(recipe="pong", members=4, member_kind="heads"))
    alone, together = (recipe.dynamics_config() for recipe in recipes)
    assert isinstance(together, EnsembleConfig) and together.member == alone
    assert (together.members, together.member_kind) == (4, "heads")
