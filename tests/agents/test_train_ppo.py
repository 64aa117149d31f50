"""Learning in a dream from the command line: what is saved, what a resume goes on with, what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from stable_baselines3 import PPO

from agents.sb3.policy_io import load_policy
from agents.train_ppo import TrainAgentConfig, train
from genie_env.command import STOP_SIGNALS, Interrupted
from genie_env.files.atomic import hold_folder
from genie_env.files.tensors import weights_of


def test_a_run_leaves_policies_a_log_a_report_and_no_pickle(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {
        "checkpoint.safetensors",
        "log.jsonl",
        "run.json",
        "dream_vs_real.md",
        "dream_vs_real.json",
        "policy",
    } <= names
    assert {path.name for path in (run / "policies").iterdir()} == {"000000064", "000000128"}
    assert {path.suffix for path in (run / "policy").iterdir()} == {".json", ".safetensors"}
    assert list((run / "tensorboard").iterdir())
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["steps"] for line in lines] == [64, 128]
    assert all(math.isfinite(line[key]) for line in lines for key in ("learning", "dream", "real", "entropy"))


def test_a_finished_run_is_not_trained_further_and_an_unfinished_one_is(
    small: TrainAgentConfig, run: Path, random_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(small, world=str(random_world), out=tmp_path / "run", steps=64)
    train(config)
    before = load_policy(config.out / "policies" / "000000064")[0]
    learned: list[int] = []
    learn = PPO.learn

    def spy(self: PPO, total_timesteps: int, *args: object, **kwargs: object) -> PPO:
        assert all(
            torch.equal(a, b)
            for a, b in zip(weights_of(self.policy).values(), weights_of(before).values(), strict=True)
        )
        assert self.policy.optimizer.state_dict()["state"], "the optimizer's moments came back"
        learned.append(total_timesteps)
        return learn(self, total_timesteps, *args, **kwargs)

    monkeypatch.setattr(PPO, "learn", spy)
    train(config)
    assert learned == []
    train(dataclasses.replace(config, steps=128))
    assert learned == [64]
    assert {path.name for path in (config.out / "policies").iterdir()} == {"000000064", "000000128"}
    with pytest.raises(ValueError, match=r"gamma.*another --out"):
        train(dataclasses.replace(config, gamma=0.9))


@pytest.mark.parametrize("signum", STOP_SIGNALS)
def test_an_interrupted_run_keeps_what_it_learned(
    small: TrainAgentConfig, random_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int
) -> None:
    config = dataclasses.replace(small, world=str(random_world), out=tmp_path / "run", eval_every=10**6)
    update = PPO.train

    def interrupted(self: PPO) -> None:
        update(self)
        os.kill(os.getpid(), signum)

    handlers = [signal.getsignal(s) for s in STOP_SIGNALS]
    monkeypatch.setattr(PPO, "train", interrupted)
    with pytest.raises(Interrupted, match="run the same command to go on") as stopped:
        train(config)
    monkeypatch.undo()
    assert stopped.value.signum == signum and handlers == [signal.getsignal(s) for s in STOP_SIGNALS]
    assert (config.out / "checkpoint.safetensors").exists()
    train(config)
    assert {path.name for path in (config.out / "policies").iterdir()} == {"000000128"}


@pytest.mark.parametrize(
    "changes",
    [
        {"algo": "a2c", "policy": "small_cnn"},
        {"algo": "dqn", "policy": "cnn"},
        {"action_type": "latent", "policy": "tokens", "entropy_percentile": 50.0, "temperature": 0.5},
    ],
)
def test_every_algorithm_network_and_action_type_learns(
    small: TrainAgentConfig, random_world: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    config = dataclasses.replace(small, world=str(random_world), out=tmp_path / "run", steps=64, **changes)
    policy, about = load_policy(train(config))
    assert about.algo == config.algo and about.spec.action_type == config.action_type
    assert policy.action_space.n == 3


def test_the_same_learner_trains_in_the_real_game(small: TrainAgentConfig, random_world: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(small, env="TinyPong-v0", world=str(random_world), out=tmp_path / "run", steps=64)
    assert load_policy(train(config))[1].trained["env"] == "TinyPong-v0"


def test_the_same_seed_learns_the_same(small: TrainAgentConfig, random_world: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(small, world=str(random_world), steps=64)
    first, second = (
        weights_of(load_policy(train(dataclasses.replace(config, out=tmp_path / name)))[0]) for name in "ab"
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_environments_and_worlds_that_do_not_fit_are_refused(
    small: TrainAgentConfig, random_world: Path, tmp_path: Path
) -> None:
    for changes, message in (
        ({"env": "Genie/Pong-v0"}, "Genie/World-v0"),
        ({"env": "Genie/World-v0", "world": ""}, "expected --world"),
        ({"env": "ALE/Breakout-v5"}, "TinyPong-v0"),
    ):
        config = dataclasses.replace(small, **{"world": str(random_world), "out": tmp_path / "run", **changes})
        with pytest.raises(ValueError, match=message):
            train(config)
    for changes in ({"repeat_action_probability": 1.0}, {"repeat_action_probability": 0.25, "env": "ALE/Pong-v5"}):
        with pytest.raises(ValueError, match="repeat_action_probability: expected"):
            dataclasses.replace(small, **changes)


def test_sticky_dreams_teach_something_else_and_a_run_keeps_their_probability(
    small: TrainAgentConfig, random_world: Path, tmp_path: Path, run: Path
) -> None:
    config = dataclasses.replace(
        small, world=str(random_world), out=tmp_path / "run", steps=64, repeat_action_probability=0.5
    )
    train(config)
    found, plain = (load_policy(folder / "policies" / "000000064")[0] for folder in (config.out, run))
    assert any(
        not torch.equal(a, b) for a, b in zip(weights_of(found).values(), weights_of(plain).values(), strict=True)
    )
    with pytest.raises(ValueError, match=r"repeat_action_probability.*another --out"):
        train(dataclasses.replace(config, repeat_action_probability=0.25))
    # Runs begun before there was the setting go on.
    assert "repeat_action_probability" not in json.loads((run / "run.json").read_text())


def test_a_second_process_in_the_same_folder_is_refused(
    small: TrainAgentConfig, random_world: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(small, world=str(random_world), out=tmp_path / "run")
    with hold_folder(config.out), pytest.raises(ValueError, match="run"):
        train(config)
    assert not (config.out / "run.json").exists()
