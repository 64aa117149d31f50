"""Learning in a dream from the command line: what is saved, what a resume goes on with, what is reported."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from agents import dream_vs_real as exploit
from agents.dream_vs_real import choose
from agents.sb3.evaluate_policy import chooser, play
from agents.sb3.make_envs import make_dreams, recorded_starts, usual_entropy
from agents.sb3.networks import TokenNet
from agents.sb3.policy_io import JSON, TENSORS, load_policy
from agents.sb3.policy_spec import make_senses
from agents.sb3.run_folder import LearningRun
from agents.select_checkpoint import JudgeConfig, judge_again
from agents.train_ppo import TrainConfig, make_learner, train
from genie_env.bundle import load_world, read_config
from genie_env.command import STOP_SIGNALS, Interrupted
from genie_env.files.tensors import fill_weights, weights_of

TINY = TrainConfig(
    env="Genie/World-v0",
    policy="tokens",
    steps=128,
    n_envs=4,
    n_steps=16,
    batch_size=32,
    n_epochs=1,
    horizon=10,
    eval_every=64,
    eval_steps=4,
    real_games=0,
    device="cpu",
)


@pytest.fixture(scope="module")
def run(random_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 128 steps."""
    out = tmp_path_factory.mktemp("runs") / "ppo"
    train(dataclasses.replace(TINY, world=str(random_world), out=out, real_games=1))
    return out


def test_a_run_leaves_policies_a_log_a_report_and_no_pickle(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"checkpoint.safetensors", "log.jsonl", "run.json", "exploit.md", "exploit.json", "policy"} <= names
    assert {path.name for path in (run / "policies").iterdir()} == {"000000064", "000000128"}
    assert {path.suffix for path in (run / "policy").iterdir()} == {".json", ".safetensors"}
    assert list((run / "tensorboard").iterdir())
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["steps"] for line in lines] == [64, 128]
    assert all(math.isfinite(line[key]) for line in lines for key in ("learning", "judge", "real", "entropy"))


def test_a_run_judged_again_keeps_its_log_and_is_chosen_from_anew(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "again"
    shutil.copytree(run, copy)
    before = LearningRun(copy, json.loads((copy / "run.json").read_text())).logged()
    # A policy in the chosen folder's place would be noticed.
    shutil.rmtree(copy / "policy")
    folder = judge_again(JudgeConfig(copy, steps=9, device="cpu"))
    after = LearningRun(copy, json.loads((copy / "run.json").read_text())).logged()
    assert [line["steps"] for line in after] == [line["steps"] for line in before]
    for old, new in zip(before, after, strict=True):
        changed = {key for key in old if old[key] != new[key]}
        assert changed <= {"judge", "entropy"} and math.isfinite(new["judge"])
    chosen = copy / "policies" / f"{choose(after)['steps']:09d}"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: p.read_bytes() for p in chosen.iterdir()}
    assert judge_again(JudgeConfig(copy, steps=9, device="cpu")) == folder
    assert LearningRun(copy, json.loads((copy / "run.json").read_text())).logged() == after, "the same dreams each time"


def test_only_runs_are_judged(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a run of agents\.train_ppo"):
        judge_again(JudgeConfig(tmp_path))
    with pytest.raises(ValueError, match="steps: expected"):
        judge_again(JudgeConfig(tmp_path, steps=0))


def test_a_policy_that_was_saved_and_loaded_chooses_the_same(run: Path, random_world: Path) -> None:
    policy, config = load_policy(run / "policies" / "000000128")
    assert config.trained == {"env": "Genie/World-v0", "steps": 128, "seed": 0}
    dreams = make_dreams(random_world, config.senses, 4, device="cpu")
    learner = make_learner(dataclasses.replace(TINY, seed=9), dreams, load_world(random_world, "cpu"))
    fill_weights(learner.policy, weights_of(policy), "policy")
    observations = dreams.reset()
    assert np.array_equal(
        policy.predict(observations, deterministic=True)[0], learner.predict(observations, deterministic=True)[0]
    )


def test_a_finished_run_is_not_trained_further_and_an_unfinished_one_is(
    run: Path, random_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(TINY, world=str(random_world), out=tmp_path / "run", steps=64)
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
        return learn(self, total_timesteps, *args, **kwargs)  # type: ignore[arg-type]

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
    random_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int
) -> None:
    config = dataclasses.replace(TINY, world=str(random_world), out=tmp_path / "run", eval_every=10**6)
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
    random_world: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    config = dataclasses.replace(TINY, world=str(random_world), out=tmp_path / "run", steps=64, **changes)  # type: ignore[arg-type]
    policy, kept = load_policy(train(config))
    assert kept.algo == config.algo and kept.senses.action_type == config.action_type
    assert policy.action_space.n == 3  # type: ignore[attr-defined]


def test_the_same_learner_trains_in_the_real_game(random_world: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, env="TinyPong-v0", world=str(random_world), out=tmp_path / "run", steps=64)
    assert load_policy(train(config))[1].trained["env"] == "TinyPong-v0"


def test_the_same_seed_learns_the_same(random_world: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, world=str(random_world), steps=64)
    first, second = (
        weights_of(load_policy(train(dataclasses.replace(config, out=tmp_path / name)))[0]) for name in "ab"
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_environments_and_worlds_that_do_not_fit_are_refused(random_world: Path, tmp_path: Path) -> None:
    for changes, message in (
        ({"env": "Genie/Pong-v0"}, "Genie/World-v0"),
        ({"env": "Genie/World-v0", "world": ""}, "expected --world"),
        ({"env": "ALE/Breakout-v5"}, "TinyPong-v0"),
    ):
        config = dataclasses.replace(TINY, **{"world": str(random_world), "out": tmp_path / "run", **changes})
        with pytest.raises(ValueError, match=message):
            train(config)


def test_a_damaged_policy_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"policy\.json"):
        load_policy(tmp_path)
    for name, text in ((TENSORS, b"x"), (JSON, b'{"format": "x"}')):
        folder = tmp_path / name
        folder.mkdir()
        for path in (run / "policy").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / name).write_bytes(text)
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            load_policy(folder)


def test_weights_of_another_shape_or_not_finite_are_refused(run: Path) -> None:
    policy, _ = load_policy(run / "policy")
    weights = weights_of(policy)
    name = next(iter(weights))
    for broken in (
        {k: v for k, v in weights.items() if k != name},
        {**weights, name: weights[name][:1]},
        {**weights, name: torch.full_like(weights[name], torch.nan)},
    ):
        with pytest.raises(ValueError, match=r"policy: .*(missing|unknown|expected|not finite)"):
            fill_weights(policy, broken, "policy")


def test_the_checkpoint_is_chosen_by_the_judge_and_not_by_the_real_game() -> None:
    lines = [
        {"steps": 1, "judge": 3.0, "real": -9.0},
        {"steps": 2, "judge": 5.0, "real": -5.0},
        {"steps": 3, "judge": 5.0, "real": -7.0},
        {"steps": 4, "judge": None, "real": 21.0},
    ]
    assert choose(lines)["steps"] == 3
    with pytest.raises(ValueError, match="eval-every"):
        choose(lines[3:])


def test_one_lucky_judgement_is_not_enough_to_be_chosen() -> None:
    judged = (0.0, 6.0, 1.0, 4.0, 5.0, 4.5)
    assert choose([{"steps": s, "judge": j} for s, j in enumerate(judged)])["steps"] == 5
    assert choose([{"steps": s, "judge": j} for s, j in reversed([*enumerate(judged)])])["steps"] == 5


def test_the_exploit_report_says_what_the_choice_costs(tmp_path: Path) -> None:
    lines = [
        {"steps": s, "learning": j, "judge": j, "entropy": 0.1, "real": r, "real_score": r}
        for s, j, r in ((100, 1.0, 1.0), (200, 2.0, 4.0), (300, 3.0, -2.0))
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = exploit.report(tmp_path)
    assert found["chosen"]["steps"] == 300 and found["best_in_real"]["steps"] == 200 and found["regret"] == 6.0
    assert found["correlation"] == pytest.approx(np.corrcoef([1, 2, 3], [1, 4, -2])[0, 1])
    assert "6.00 more" in (tmp_path / "exploit.md").read_text()
    with pytest.raises(ValueError, match="log"):
        exploit.report(tmp_path / "nothing")


def test_dreams_begin_in_recorded_moments(tiny_world, tmp_path: Path) -> None:
    world = load_world(tiny_world.bundle, "cpu")
    starts = recorded_starts(world, tiny_world.data, 12, length=4)
    assert starts.tokens_SPN.shape == (12, 4, 64) and starts.actions_SP.shape == (12, 3)
    low, high = (usual_entropy(world, starts, percentile) for percentile in (1, 99))
    assert 0 <= low < high
    senses = make_senses(world.config, "tokens", "real")
    dreams = make_dreams(tiny_world.bundle, senses, 12, starts=starts, horizon=5, device="cpu")
    frames = dreams.reset()[:, -64:]  # type: ignore[index]
    assert {row.tobytes() for row in frames} <= {row.numpy().tobytes() for row in starts.tokens_SPN[:, -1]}
    with pytest.raises(ValueError, match="no episode has 1000001 frames"):
        recorded_starts(world, tiny_world.data, 1, length=10**6)


def test_scores_count_the_same_number_of_games_in_every_row(random_world: Path) -> None:
    config = read_config(random_world)
    dreams = make_dreams(random_world, make_senses(config, "tokens", "real"), 3, horizon=7, device="cpu")

    def choose_zero(observations: np.ndarray, began: np.ndarray) -> np.ndarray:
        return np.zeros(len(observations), dtype=int)

    dreams.seed(0)
    scores = play(choose_zero, dreams, games=4)
    assert len(scores.games) == 6 and scores.steps <= 6 * 7
    assert scores.per_1000 == pytest.approx(1000 * (scores.won - scores.lost) / scores.steps)
    dreams.seed(0)
    some = play(choose_zero, dreams, steps=20)
    assert some.steps == 60 and math.isfinite(some.entropy)
    with pytest.raises(ValueError, match="either games or steps"):
        play(choose_zero, dreams)


def test_tokens_that_look_alike_begin_alike(random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    world.tokenizer.patches_VK[1] = world.tokenizer.patches_VK[0]
    dreams = make_dreams(random_world, make_senses(world.config, "tokens", "real"), 4, device="cpu")
    learner = make_learner(TINY, dreams, world)
    net = next(m for m in learner.policy.modules() if isinstance(m, TokenNet))
    distances = (net.embed.weight - net.embed.weight[0]).norm(dim=1)
    assert distances[1] < 1e-3 and (distances[2:] > 0.1).all()
    assert chooser(learner)(dreams.reset(), np.ones(4, dtype=bool)).shape == (4,)
