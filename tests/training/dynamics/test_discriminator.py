"""The discriminator of dreams: where its gradient goes, when it begins, and that a kill costs nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genie_env.config import DynamicsConfig
from genie_env.models.dynamics import Dynamics
from training.data.token_store import TokenEpisode, TokenStore, write_made_up
from training.dynamics.discriminator import ClipDiscriminator, judge_dreams
from training.dynamics.scheduled_sampling import Dreamed, ScheduledSamplingConfig
from training.dynamics.task import DynamicsTask, TrainDynamicsConfig, train_transformer
from training.engine.loop import CHECKPOINT, LoopConfig, fit

SIZE = DynamicsConfig(vocab_size=24, side=4, width=16, num_layers=1, num_heads=2, head_layers=1, token_dim=8, window=3)
LOOP = LoopConfig(
    n_updates=8, batch_size=4, learning_rate=3e-3, muon_rate=0.02, warmup=2, eval_every=9, checkpoint_every=3,
    precision="float32",
)  # fmt: skip
DREAMS = ScheduledSamplingConfig(begin=0.0, end_ratio=0.2, tolerance=0)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainDynamicsConfig:
    """For episodes of tokens that move one place with each frame."""
    rng, nothing, episodes = np.random.default_rng(0), np.zeros(20, np.int16), []
    for _ in range(6):
        row = rng.integers(24, size=16)
        frames = np.stack([np.roll(row, t) for t in range(20)])
        episodes.append(TokenEpisode(frames, rng.integers(3, size=20), nothing, nothing, nothing))
    folder = tmp_path_factory.mktemp("rolling") / "tokens"
    write_made_up(folder, {"train": episodes, "test": episodes}, SIZE.tokens, SIZE.num_actions)
    return TrainDynamicsConfig(folder, folder, SIZE, LOOP, clip_length=6, scheduled_sampling=DREAMS)


def judged(rows: list[int], frames: int) -> tuple[Dynamics, ClipDiscriminator, Any]:
    torch.manual_seed(0)
    model, discriminator = Dynamics(SIZE), ClipDiscriminator(SIZE, 8)
    with torch.no_grad():
        model.stay_bias.zero_()
    real, actions = torch.randint(24, (3, 6, 16)), torch.randint(3, (3, 6))
    dreamed = real[rows].clone()
    dreamed[:, -frames:] = torch.randint(24, (len(rows), frames, 16))
    return (
        model,
        discriminator,
        judge_dreams(model, discriminator, real, actions, Dreamed(dreamed, torch.tensor(rows), frames)),
    )


def test_each_score_has_its_gradient_in_one_network() -> None:
    model, discriminator, scores = judged([0, 2], 3)
    assert scores.judged.shape[:2] == (2, 3) and scores.real.shape[:2] == (3, 3)
    # Straight through: what was drawn is what is judged.
    torch.testing.assert_close(scores.judged, scores.made)
    (scores.real.sum() + scores.made.sum()).backward(retain_graph=True)
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in discriminator.parameters())
    discriminator.zero_grad(set_to_none=True)
    scores.judged.sum().backward()
    assert all(p.grad is None for p in discriminator.parameters())
    for parameter in (model.leave.weight, model.enter.weight, model.stay_bias, model.embed_action.weight):
        assert parameter.grad is not None and float(parameter.grad.abs().sum()) > 0


def test_a_step_along_the_gradient_makes_what_the_discriminator_likes_more_likely() -> None:
    """Its scores are made to depend on one token alone, which the dynamics must then draw more often."""
    model, _, _ = judged([0], 1)

    class Likes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.liked = torch.nn.Parameter(torch.nn.functional.one_hot(torch.tensor(5), 24).float())

        def forward(self, tokens: torch.Tensor, actions: torch.Tensor, probabilities: Any = None) -> torch.Tensor:
            likes = self.liked[tokens]
            if probabilities is None:
                return likes
            through = (probabilities - probabilities.detach()) @ self.liked
            return torch.cat([likes[:, : -through.shape[1]], likes[:, -through.shape[1] :] + through], 1)

    real, actions = torch.randint(24, (2, 6, 16)), torch.randint(3, (2, 6))
    dreamed = Dreamed(real.clone(), torch.arange(2), 2)

    @torch.no_grad()
    def probability() -> float:
        features = model.trunk(real[:, :-1], actions[:, :-1])[:, -2:].flatten(0, 1)
        current = real[:, -3:-1].flatten(0, 1)
        out = model.decode(features, torch.full_like(current, model.mask_token))
        return float(model.log_probs(out, current).exp()[..., 5].mean())

    before = probability()
    scores = judge_dreams(model, Likes(), real, actions, dreamed).judged
    assert scores is not None
    (-scores.mean()).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 10 * parameter.grad
    assert probability() > before * 1.05


def run(config: TrainDynamicsConfig, out: Path, **changes: Any) -> dict[str, torch.Tensor]:
    config = replace(config, out=out, **changes)
    assert config.tokens is not None
    train_transformer(config, TokenStore(config.tokens))
    return load_file(out / CHECKPOINT)


def test_it_changes_nothing_before_it_teaches_and_something_after(
    settings: TrainDynamicsConfig, tmp_path: Path
) -> None:
    plain = run(settings, tmp_path / "plain")
    for start, same in ((1.0, True), (0.5, False)):
        found = run(settings, tmp_path / str(start), adversarial_weight=1.0, adversarial_start=start)
        differ = [name for name, tensor in plain.items() if not torch.equal(found[name], tensor)]
        assert bool(differ) != same
        # The last tenth of eight updates begins after the last of them.
        assert any(name.startswith("optimizer.2.") for name in found) != same


def test_killed_run_resumes_to_the_same_weights(settings: TrainDynamicsConfig, tmp_path: Path) -> None:
    config = replace(settings, adversarial_weight=0.5, adversarial_start=0.25)
    expected = run(config, tmp_path / "whole")

    class Dying(DynamicsTask):
        def loss(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
            if step == 5:
                raise RuntimeError("power cut")
            return super().loss(step, rng, generator)

    killed = replace(config, out=tmp_path / "killed")
    with pytest.raises(RuntimeError, match="power cut"):
        fit(Dying(killed), killed.loop, killed.out, "dynamics", killed)
    found = run(config, killed.out)
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduled_sampling": ScheduledSamplingConfig(method="two_pass")}, "scheduled_sampling.method self_rollout"),
        ({"scheduled_sampling": ScheduledSamplingConfig(method="none")}, "scheduled_sampling.method self_rollout"),
        ({"compile": True}, "compile off"),
    ],
)
def test_what_cannot_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"adversarial_weight: expected {message}"):
        TrainDynamicsConfig(adversarial_weight=0.5, **changes)
    TrainDynamicsConfig(**changes)
