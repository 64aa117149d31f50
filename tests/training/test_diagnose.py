"""Every theory has a test that finds its fault where it is planted, and finds none where there is none."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tyro
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from genie_env.bundle import save_world
from genie_env.data.episodes import EpisodeStore
from genie_env.games.sprites import find_sprites
from genie_env.statistics import Interval
from genie_env.world import World
from tests.helpers.held_out import COLOURS, TINY, WINDOW, TableDynamics, TableEngine, know_all
from training.diagnose import DiagnoseConfig, attention, diagnose, make_subject, seen_tokens
from training.engine.loop import CHECKPOINT
from training.evaluation import theories
from training.evaluation.attention_pictures import liveliest, moving_place, take_attention
from training.evaluation.diagnosis_inputs import Subject
from training.evaluation.findings import CAUSE, NO_CAUSE, NOT_APPLICABLE, Finding, table
from training.evaluation.held_out import Reading, take_clips

STEPS, TESTS = 10, 8


@pytest.fixture(scope="module")
def random_subject(world: World, store: EpisodeStore) -> Subject:
    """A world of random weights and everything it is tested on."""
    config = DiagnoseConfig("random", store.folder, num_tests=TESTS, steps=STEPS, max_frames=2000)
    return make_subject(world, store, TINY, config)


Plant = Callable[..., Subject]


@pytest.fixture
def plant(random_subject: Subject, readings: list[Reading]) -> Plant:
    """Makes a subject that knows all held-out play by heart, but for the given faults."""

    def make(
        dynamics: type[TableDynamics] = TableDynamics, engine: type[TableEngine] = TableEngine, **changes: Any
    ) -> Subject:
        world = copy.deepcopy(random_subject.world)
        know_all(world, dynamics(world.config.dynamics, readings).eval(), engine)
        return dataclasses.replace(random_subject, world=world, **changes)

    return make


def test_nothing_is_wrong_with_a_world_that_knows_all(plant: Plant) -> None:
    subject = plant()
    verdicts = {finding.number: finding.verdict for finding in (theory(subject) for theory in theories.THEORIES)}
    assert verdicts == {n: NOT_APPLICABLE if n == 8 else NO_CAUSE for n in range(1, 11)}


# 1: masking


class TrainedWithMasks(TableDynamics):
    """Knows masked frames only: a whole one tells it nothing."""

    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        if not (tokens_BTN == self.mask_token).any():
            return tokens_BTN[..., None].float()
        frames_FN = torch.stack(list(self.table.values()))
        agreed = (tokens_BTN.flatten(0, 1)[:, None] == frames_FN).sum(-1)
        return super().trunk(frames_FN[agreed.argmax(1)].view_as(tokens_BTN), actions_BT)


def test_model_that_needs_masks_is_found(plant: Plant) -> None:
    found = theories.masking(plant(TrainedWithMasks))
    assert found.verdict == CAUSE and found.effect.value > 0.5
    assert set(found.to_json()["measured"]) >= {"MSE with nothing masked", "masked"}


def test_masking_is_left_out_where_asked(plant: Plant) -> None:
    assert theories.masking(plant(TrainedWithMasks, test_masking=False)).verdict == NOT_APPLICABLE


# 2: teacher forcing


class AfraidOfItself(TableEngine):
    """Leaves a mark on every frame, and stands still on a frame that bears it."""

    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        drawn, present = super().draw(state, actions_B), state.recent_BCN[:, -1]
        marked = present[:, 4] == 7
        drawn[marked] = present[marked]
        drawn[:, 4] = 7
        return drawn


def test_errors_that_feed_themselves_are_found(plant: Plant) -> None:
    found = theories.teacher_forcing(plant(engine=AfraidOfItself))
    assert found.verdict == CAUSE and found.effect.value > 0.5
    # The seed's own figures, from real context and from the model's own.
    measured = {name: values.mean() for name, values in found.measured.items()}
    assert measured["MSE from its own frames"] > measured["MSE from real frames"]
    assert measured["PSNR in dB from its own frames"] < measured["PSNR in dB from real frames"]


def test_what_nobody_can_know_is_not_held_against_the_dream(plant: Plant) -> None:
    subject = plant(engine=AfraidOfItself)
    served = subject.clips._replace(served_CH=np.ones_like(subject.clips.served_CH))
    assert theories.teacher_forcing(dataclasses.replace(subject, clips=served)).verdict == NOT_APPLICABLE


# 3: context


class LostAfterLongContext(TableEngine):
    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        return state.recent_BCN[:, -1] if state.given > WINDOW else super().draw(state, actions_B)


class LostAfterShortContext(TableEngine):
    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        return state.recent_BCN[:, -1] if state.given < WINDOW else super().draw(state, actions_B)


@pytest.mark.parametrize("engine", [LostAfterLongContext, LostAfterShortContext])
def test_context_of_another_length_than_in_training_is_found(plant: Plant, engine: type[TableEngine]) -> None:
    found = theories.context_length(plant(engine=engine))
    assert found.verdict == CAUSE and found.effect.value == 1.0


def test_context_is_not_judged_without_long_episodes(plant: Plant) -> None:
    assert theories.context_length(plant(long=None)).verdict == NOT_APPLICABLE


# 4: drift


class Drifting(TableEngine):
    """Wears off: in step t about t hundredths of all tokens become others."""

    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        drawn = super().draw(state, actions_B)
        generator = torch.Generator().manual_seed(state.step_B)
        worn = torch.rand(drawn.shape, generator=generator) < state.step_B / 100
        return torch.where(worn, torch.randint(1000, drawn.shape, generator=generator), drawn)


def test_tokens_that_drift_away_are_found_and_more_of_them_later(plant: Plant) -> None:
    found = theories.drift(plant(engine=Drifting))
    assert found.verdict == CAUSE
    excess = np.array(found.curve["dreamed"]) - found.curve["real"]
    assert excess[-1] > excess[0] + 0.1
    assert theories.drift(plant()).effect.value == pytest.approx(0)


# 5: actions


class WildOffTheTable(TableEngine):
    """Actions that the recorded players did not take lead to noise."""

    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        drawn = super().draw(state, actions_B)
        stuck = (drawn == state.recent_BCN[:, -1]).all(-1)
        noise = torch.randint(1000, drawn.shape, generator=torch.Generator().manual_seed(state.step_B))
        return torch.where(stuck[:, None], noise, drawn)


def test_dreams_that_random_actions_tear_apart_are_found(plant: Plant) -> None:
    found = theories.random_actions(plant(engine=WildOffTheTable))
    assert found.verdict == CAUSE


def test_other_futures_alone_are_no_fault(plant: Plant) -> None:
    # Off the table the dream stands still: not what came, yet nothing that could not be.
    found = theories.random_actions(plant())
    assert found.verdict == NO_CAUSE and not np.isnan(found.effect.value)


# 6: quantisation


class Shifting(nn.Module):
    """Draws every picture one pixel too far to the right."""

    def __init__(self, tokenizer: nn.Module) -> None:
        super().__init__()
        self.encode, self._tokenizer = tokenizer.encode, tokenizer

    def decode(self, tokens_BN: torch.Tensor) -> torch.Tensor:
        return self._tokenizer.decode(tokens_BN).roll(1, dims=2)  # type: ignore[operator]


def test_tokenizer_whose_errors_pile_up_is_found(plant: Plant) -> None:
    subject = plant()
    assert theories.quantisation(subject).effect.value == 0.0
    subject.world.tokenizer = Shifting(subject.world.tokenizer)  # type: ignore[assignment]
    assert theories.quantisation(subject).verdict == CAUSE


# 7: modes


class LazyInUse(TableDynamics):
    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        return super().trunk(tokens_BTN, actions_BT) if self.training else tokens_BTN[..., None].float()


class LazyWithoutGradients(TableDynamics):
    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        return super().trunk(tokens_BTN, actions_BT) if torch.is_grad_enabled() else tokens_BTN[..., None].float()


@pytest.mark.parametrize("dynamics", [LazyInUse, LazyWithoutGradients])
def test_model_that_is_better_while_it_trains_is_found(plant: Plant, dynamics: type[TableDynamics]) -> None:
    assert theories.modes(plant(dynamics)).verdict == CAUSE


# 8: statistics


class Normalised(TableDynamics):
    """Knows nothing where a normalised input of mean 0 is far from it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.norm = nn.BatchNorm1d(1)

    def trunk(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
        known = bool(self.norm(torch.linspace(-1, 1, 8)[:, None]).mean().abs() < 0.5)
        return super().trunk(tokens_BTN, actions_BT) if known else tokens_BTN[..., None].float()


def test_stale_running_statistics_are_found(plant: Plant) -> None:
    subject = plant(Normalised)
    assert theories.statistics(subject).verdict == NO_CAUSE
    subject = plant(Normalised)
    subject.world.dynamics.norm.running_mean.fill_(50.0)  # type: ignore[union-attr, operator]
    assert theories.statistics(subject).verdict == CAUSE


@pytest.mark.parametrize(("raw", "average", "verdict"), [(1, 1, NO_CAUSE), (1, 0, CAUSE), (0, 1, NO_CAUSE)])
def test_averaged_weights_that_lag_behind_are_found(
    plant: Plant, tmp_path: Path, raw: int, average: int, verdict: str
) -> None:
    tensors = {
        f"{kind}.skill": torch.full((1,), float(skill)) for kind, skill in (("model", raw), ("average", average))
    }
    save_file(tensors, tmp_path / CHECKPOINT)
    assert theories.statistics(plant(checkpoint=tmp_path)).verdict == verdict


def test_checkpoint_of_another_network_is_refused_by_name(random_subject: Subject, tmp_path: Path) -> None:
    subject = dataclasses.replace(random_subject, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=rf"{CHECKPOINT}: expected a checkpoint"):
        theories.statistics(subject)
    save_file({"model.position": torch.zeros(1)}, tmp_path / CHECKPOINT)
    with pytest.raises(ValueError, match=rf"{CHECKPOINT}: is no checkpoint of this world"):
        theories.statistics(subject)


# 9: causal mask


def test_network_that_sees_the_future_is_found(random_subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    found = theories.causality(random_subject)
    assert found.verdict == NO_CAUSE and found.effect.high < 1e-4
    assert found.measured["of a future one"].min() > 0.01, "what was changed matters"
    everything = lambda steps, window, device=None: torch.ones(steps, steps, dtype=torch.bool)  # noqa: E731
    monkeypatch.setattr("genie_env.nn.attention.sliding_window_mask", everything)
    assert theories.causality(random_subject).verdict == CAUSE


# 10: objective


class Restless(TableEngine):
    """Changes two tokens more than it should."""

    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        drawn = super().draw(state, actions_B)
        drawn[:, [3, 4]] = (state.recent_BCN[:, -1, [3, 4]] + 1) % 1000
        return drawn


class Fading(TableEngine):
    def draw(self, state: Any, actions_B: torch.Tensor) -> torch.Tensor:
        return state.recent_BCN[:, -1].clone()


@pytest.mark.parametrize(("engine", "said"), [(Restless, "too many"), (Fading, "too few")])
def test_draws_that_change_too_much_or_too_little_are_found(plant: Plant, engine: type[TableEngine], said: str) -> None:
    found = theories.objective(plant(engine=engine))
    assert found.verdict == CAUSE and said in found.note


# What a finding says.


def finding(value: float, low: float = math.nan, high: float = math.nan) -> Finding:
    return Finding(2, "theory", {"one": np.array([1.0, 3.0, np.nan])}, Interval(value, low, high, 9), "points", 0.05)


@pytest.mark.parametrize(
    ("effect", "verdict", "unsettled"),
    [
        ((0.2, 0.1, 0.3), CAUSE, False),
        ((0.2, 0.04, 0.3), NO_CAUSE, True),
        ((0.02, 0.0, 0.04), NO_CAUSE, False),
        ((-0.2, -0.3, -0.1), NO_CAUSE, False),
        ((0.2,), CAUSE, False),
        ((0.01,), NO_CAUSE, False),
        ((math.nan,), NOT_APPLICABLE, False),
    ],
)
def test_verdict_asks_for_the_whole_interval(effect: tuple[float, ...], verdict: str, unsettled: bool) -> None:
    assert (finding(*effect).verdict, finding(*effect).unsettled) == (verdict, unsettled)


def test_table_shows_mean_and_spread_of_the_tests() -> None:
    text = table([finding(0.2, 0.04, 0.3), finding(math.nan)])
    assert "one 2 ± 1" in text
    assert "| 0.200 [0.040, 0.300] points | 0.05 | not a cause * |" in text
    assert "| – | 0.05 | not applicable |" in text


# The command.


@pytest.fixture(scope="module")
def config(world: World, store: EpisodeStore, tmp_path_factory: pytest.TempPathFactory) -> DiagnoseConfig:
    folder = tmp_path_factory.mktemp("command")
    save_world(world, folder / "world")
    return DiagnoseConfig(
        str(folder / "world"), store.folder, folder / "findings", module="tests.helpers.tiny_game", quick=True
    )


def test_command_writes_ten_findings_as_markdown_and_strict_json(config: DiagnoseConfig) -> None:
    findings = diagnose(config, TINY)
    assert [f.number for f in findings] == list(range(1, 11))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    stored = json.loads((config.out / "diagnosis.json").read_text(), parse_constant=refuse)
    assert stored["findings"] == json.loads(json.dumps([f.to_json() for f in findings]))
    text = (config.out / "diagnosis.md").read_text()
    assert all(f"| {f.number} | {f.theory} |" in text and f.verdict in text for f in findings)
    with Image.open(config.out / "drift.png") as plot:
        assert plot.size[0] > 300


def test_flags_are_those_of_the_analysis() -> None:
    asked = ["pong", "--data", "data/pong", "--num-tests", "20", "--test-masking", "--dynamics-path", "runs/d"]
    config = tyro.cli(DiagnoseConfig, args=asked)
    assert (config.num_tests, config.test_masking, config.dynamics_path) == (20, True, Path("runs/d"))
    assert not tyro.cli(DiagnoseConfig, args=["pong", "--data", "d", "--no-test-masking"]).test_masking
    with pytest.raises(ValueError, match="num_tests"):
        DiagnoseConfig("pong", Path("data"), num_tests=0)


def test_seen_tokens_are_those_of_training_play(world: World, store: EpisodeStore) -> None:
    seen_NV = seen_tokens(world, store, 10_000)
    episode = world.encode(np.array(store.array("frames", store.split("train")[3]))[None])[0]
    assert seen_NV[np.arange(64), episode.numpy()].all()
    assert seen_NV.sum() < seen_NV.size / 10


# Attention.


def test_attention_is_that_of_the_last_frame_and_sums_to_one(world: World, store: EpisodeStore) -> None:
    tokens = world.encode(np.array(store.array("frames", store.split("test")[0])[:WINDOW])[None])[0]
    actions = torch.zeros(WINDOW, dtype=torch.long)
    found = take_attention(world.dynamics, tokens, actions)
    config = world.config.dynamics
    assert len(found.space) == config.num_layers + config.head_layers and len(found.time) == config.num_layers
    for weights in found.space:
        assert weights.shape == (config.num_heads, config.num_groups, config.num_groups)
    for weights in found.time:
        assert weights.shape == (config.num_groups, config.num_heads, WINDOW)
    for weights in (*found.space, *found.time):
        assert weights.sum(-1) == pytest.approx(np.ones(weights.shape[:-1]), abs=1e-5)
    assert not any(block.norm_space._forward_hooks for block in world.dynamics.blocks), "hooks are taken off again"


def test_marked_position_is_the_one_that_changes() -> None:
    tokens = torch.zeros(3, 64, dtype=torch.long)
    after = tokens[0].clone()
    # Row 5 and column 2 of 8x8 tokens lie in row 2 and column 1 of 4x4 positions.
    after[5 * 8 + 2] = 1
    assert moving_place(tokens, after, side=4) == 2 * 4 + 1


def test_attention_is_drawn_over_frames(config: DiagnoseConfig) -> None:
    paths = attention(config, TINY)
    assert [path.name for path in paths] == ["attention_space.png", "attention_time.png"]
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert pixels.std() > 10


def test_drawn_clip_is_one_in_which_the_ball_flies(world: World, store: EpisodeStore, readings: list[Reading]) -> None:
    clips = take_clips(store, readings, 12, WINDOW, 1, 0, COLOURS)
    chosen = liveliest(clips, COLOURS)
    assert find_sprites(clips.frames_CTHWC[chosen, WINDOW - 1], COLOURS).present.all()
    jumpy = clips.tokens_CTN.clone()
    jumpy[5, WINDOW] = (jumpy[5, WINDOW] + 1) % 1000
    assert liveliest(clips._replace(tokens_CTN=jumpy), None) == 5
