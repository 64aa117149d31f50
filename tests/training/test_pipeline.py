"""The whole pipeline on the tiny game: what it learns, and that no kill at any moment changes what it makes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genie_env.bundle import load_world
from genie_env.command import Interrupted
from genie_env.config import DynamicsConfig, DynamicsShape
from genie_env.data.episodes import NO_ACTION, EpisodeStore, EpisodeWriter
from genie_env.games.registry import game_for
from genie_env.models.dynamics import parallel_log_probs
from genie_env.models.latent_action import LatentActionModel
from genie_env.models.outcome import predict_episode
from genie_env.world import World
from tests.helpers import tiny_game
from tests.helpers.paths import ROOT
from tests.helpers.worlds import TINY_RECIPE, TinyWorld
from training import record as record_module
from training.data.token_store import TokenStore
from training.data.tokenize_episodes import TokenizeConfig, tokenize
from training.dynamics.task import DynamicsTask, TrainDynamicsConfig
from training.dynamics.task import train as train_dynamics
from training.engine.loop import CHECKPOINT, LoopConfig
from training.engine.stage import save_network
from training.evaluation.held_out import read_held_out
from training.latent_action.agreement import hungarian_accuracy
from training.outcome.event_scores import event_counts, f1
from training.recipes import Recipe
from training.record import RecordConfig, record
from training.train import make_world


@pytest.fixture(scope="module")
def world(tiny_world: TinyWorld) -> World:
    return load_world(tiny_world.bundle, device="cpu")


def held_out(tiny: TinyWorld) -> list[dict[str, np.ndarray]]:
    return [rows for _, rows in EpisodeStore(tiny.data).episodes("test")]


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of last change of every file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def same_files(one: Path, other: Path) -> None:
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in other.iterdir())
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


# What the tiny world has learned.


def test_dynamics_beats_copying_by_far_on_held_out_episodes(tiny_world: TinyWorld, world: World) -> None:
    """One step ahead from real context, actions inferred; copying the last frame gets no changed token right."""
    hits = changed = 0
    with torch.inference_mode():
        for rows in held_out(tiny_world):
            frames = np.array(rows["frames"])[None]
            tokens, actions = world.encode(frames), world.infer_actions(frames)
            guesses = parallel_log_probs(world.dynamics, tokens[:, :-1], actions).argmax(-1)
            moved = tokens[:, 1:] != tokens[:, :-1]
            hits += int((guesses == tokens[:, 1:])[moved].sum())
            changed += int(moved.sum())
    assert changed > 1000
    assert hits / changed > 0.5


def test_actions_decide_what_the_dynamics_expects(tiny_world: TinyWorld, world: World) -> None:
    """With every action replaced by another the own paddle, at least, is predicted worse."""
    rates = []
    for shift in (0, 1):
        hits = changed = 0
        with torch.inference_mode():
            for rows in held_out(tiny_world):
                frames = np.array(rows["frames"])[None]
                tokens, actions = world.encode(frames), (world.infer_actions(frames) + shift) % 3
                guesses = parallel_log_probs(world.dynamics, tokens[:, :-1], actions).argmax(-1)
                moved = tokens[:, 1:] != tokens[:, :-1]
                hits += int((guesses == tokens[:, 1:])[moved].sum())
                changed += int(moved.sum())
        rates.append(hits / changed)
    assert rates[1] < rates[0] - 0.1


def test_tokenizer_is_nearly_lossless_on_held_out_episodes(tiny_world: TinyWorld, world: World) -> None:
    frames = np.concatenate([rows["frames"] for rows in held_out(tiny_world)])
    drawn = world.decode(world.encode(frames[None]))[0].numpy()
    error = np.mean((drawn.astype(float) - frames) ** 2)
    assert 10 * np.log10(255**2 / error) > 40
    assert (drawn == frames).all(-1).mean() > 0.999
    ball = (frames == tiny_game.BALL_COLOUR).all(-1)
    assert (drawn[ball] == frames[ball]).all(-1).mean() > 0.97


def test_latent_actions_agree_with_real_ones_beyond_the_majority(tiny_world: TinyWorld, world: World) -> None:
    codes, actions = [], []
    for rows in held_out(tiny_world):
        codes.append(world.infer_actions(np.array(rows["frames"])[None])[0].numpy())
        actions.append(rows["actions"][:-1])
    codes_M, actions_M = np.concatenate(codes), np.concatenate(actions)
    majority = np.bincount(actions_M).max() / len(actions_M)
    assert hungarian_accuracy(codes_M, actions_M) > majority + 0.2
    assert np.bincount(codes_M, minlength=3).min() > 0.1 * len(codes_M), "no code is dead"
    # The map found with 200 labels is the best one.
    mapped = world.config.action_map
    assert mapped is not None and sorted(mapped.real_to_latent) == [0, 1, 2]
    assert np.mean(np.array(mapped.real_to_latent)[actions_M] == codes_M) > majority + 0.2


def test_outcome_head_finds_the_points_of_held_out_episodes(tiny_world: TinyWorld, world: World) -> None:
    counts = []
    for rows in held_out(tiny_world):
        tokens = world.encode(np.array(rows["frames"])[None])[0]
        predicted, _ = predict_episode(world.outcome, tokens)
        for value in (-1.0, 1.0):
            counts.append(event_counts(predicted.numpy() == value, rows["rewards"][:-1] == value))
    assert f1(*np.sum(counts, axis=0)) > 0.5


def test_dreamed_paddle_obeys(tiny_world: TinyWorld) -> None:
    env = gym.make("Genie/World-v0", world=str(tiny_world.bundle), temperature=0.0)
    obeyed = steps = 0
    for start in range(4):
        for action, wanted in ((1, -1), (2, 1)):
            obs, _ = env.reset(seed=start, options={"start": start})
            for _ in range(8):
                before = _own_rows(obs)
                obs = env.step(action)[0]
                after = _own_rows(obs)
                if 4 < before < 59:
                    obeyed += int((after - before) * wanted > 0)
                    steps += 1
    assert steps > 30 and obeyed / steps > 0.7


def _own_rows(frame_HWC: np.ndarray) -> float:
    rows = np.flatnonzero((frame_HWC[:, tiny_game.OWN_LEFT] == tiny_game.OWN_COLOUR).all(-1))
    return float(rows.mean()) if len(rows) else -1.0


# What the stages leave behind.


def test_bundle_says_where_it_comes_from(world: World) -> None:
    source = world.config.source
    assert source.env_id == tiny_game.ENV_ID and source.action_meanings == ("NOOP", "UP", "DOWN")
    assert world.config.outcome.rewards == (-1.0, 0.0, 1.0)


def test_finished_stages_are_skipped(tiny_world: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny_world.bundle.parent
    before = contents(root)
    make_world(TINY_RECIPE, *tiny_world)
    assert contents(root) == before
    assert capsys.readouterr().out.count("done before, skipped") == 7


def test_stage_that_does_not_exist_is_refused(tiny_world: TinyWorld) -> None:
    with pytest.raises(ValueError, match="'dynamic'"):
        make_world(TINY_RECIPE, *tiny_world, last="dynamic")


def test_held_out_episodes_are_disjoint_from_training_ones(tiny_world: TinyWorld) -> None:
    store = EpisodeStore(tiny_world.data)
    rows = {
        split: {(e.shard, e.start + t) for e in store.split(split) for t in range(e.length)}
        for split in ("train", "test")
    }
    assert rows["train"] and rows["test"] and not rows["train"] & rows["test"]
    total = sum(entry.length for entry in store.manifest.episodes)
    assert len(rows["train"]) + len(rows["test"]) == total
    assert {entry.split for entry in store.manifest.episodes} == {"train", "test"}
    for split in ("train", "test"):
        tokenized = TokenStore(tiny_world.run / "tokens").episodes(split)
        assert [len(e.tokens_TN) for e in tokenized] == [e.length for e in store.split(split)]
        for entry, tokens in zip(store.split(split), tokenized, strict=True):
            assert np.array_equal(tokens.real_actions_T, store.array("actions", entry))
            assert np.array_equal(tokens.rewards_T, store.array("rewards", entry))


def test_tokens_on_disk_are_those_of_the_bundled_world(tiny_world: TinyWorld, world: World) -> None:
    store, tokenized = EpisodeStore(tiny_world.data), TokenStore(tiny_world.run / "tokens").episodes("test")
    for entry, tokens in zip(store.split("test"), tokenized, strict=True):
        frames = np.array(store.array("frames", entry))[None]
        assert np.array_equal(world.encode(frames)[0].numpy(), tokens.tokens_TN)
        # Weights were rounded to half precision since; a transition on the edge may fall to the other side.
        same = world.infer_actions(frames)[0].numpy() == tokens.actions_T[:-1]
        assert same.mean() > 0.97


def tokenizing(tiny: TinyWorld, out: Path, lam: Path | None = None) -> TokenizeConfig:
    folders = tiny.run / "tokenizer", lam or tiny.run / "latent_action"
    return TokenizeConfig(tiny.data, out, *folders, recorded_actions=True)


def test_recorded_actions_are_given_in_place_of_inferred_ones(
    tiny_world: TinyWorld, world: World, tmp_path: Path
) -> None:
    store, tokens = EpisodeStore(tiny_world.data), tokenize(tokenizing(tiny_world, tmp_path / "tokens"))
    assert tokens.recorded_actions and not TokenStore(tiny_world.run / "tokens").recorded_actions
    effects = np.array(store.manifest.source.effects)
    for episode in tokens.episodes("test"):
        assert np.array_equal(episode.actions_T[:-1], effects[episode.real_actions_T[:-1]])
        assert episode.actions_T[-1] == episode.real_actions_T[-1] == NO_ACTION
    # A world that learned from them is judged by them.
    told = replace(world.config, recorded_actions=True)
    taught = world.replace(config=told)
    mapped = world.config.action_map
    assert mapped is not None
    game = game_for(store.manifest.source.env_id)
    inferred, recorded = (read_held_out(one, store, game, 300).episodes for one in (world, taught))
    for plain, by_key in zip(inferred, recorded, strict=True):
        assert np.array_equal(plain.dynamics_actions_T, plain.codes_T)
        actions_T = store.array("actions", by_key.entry)[: len(by_key.dynamics_actions_T)]
        assert np.array_equal(by_key.dynamics_actions_T, np.array(mapped.real_to_latent)[actions_T])


def test_recorded_actions_need_a_code_each(tiny_world: TinyWorld, world: World, tmp_path: Path) -> None:
    few = LatentActionModel(replace(world.config.latent_action, num_actions=2, prototypes=()))
    save_network(tmp_path / "few", few, few.config, {})
    with pytest.raises(ValueError, match="expected at most 2 effects, one for each latent action, got 3"):
        tokenize(tokenizing(tiny_world, tmp_path / "new", tmp_path / "few"))
    assert [path.name for path in tmp_path.iterdir()] == ["few"]
    with pytest.raises(ValueError, match="label_fraction > 0"):
        Recipe(env="any", steps=1, recorded_actions=True)


# Killed and resumed.


def test_interrupted_dynamics_resumes_to_identical_weights(
    tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocab = TINY_RECIPE.tokenizer.vocab_size
    size = DynamicsConfig(vocab_size=vocab, width=32, num_layers=1, num_heads=2, token_dim=16, window=4)
    loop = LoopConfig(n_updates=6, batch_size=4, warmup=2, eval_every=6, checkpoint_every=100, precision="float32")

    def config(out: Path) -> TrainDynamicsConfig:
        return TrainDynamicsConfig(tiny_world.run / "tokens", out, size, loop, clip_length=6)

    train_dynamics(config(tmp_path / "whole"))
    original = DynamicsTask.loss

    def interrupted(self: DynamicsTask, step: int, *generators: Any) -> Any:
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, step, *generators)

    with monkeypatch.context() as patch:
        patch.setattr(DynamicsTask, "loss", interrupted)
        with pytest.raises(Interrupted, match="stopped at step 3"):
            train_dynamics(config(tmp_path / "killed"))
    assert not (tmp_path / "killed" / "model.safetensors").exists(), "an unfinished stage delivers nothing"
    train_dynamics(config(tmp_path / "killed"))
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert set(whole) == set(resumed)
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def recording(out: Path) -> RecordConfig:
    return RecordConfig(
        out,
        tiny_game.ENV_ID,
        steps=700,
        env_kwargs='{"points": 1}',
        shard_steps=200,
        workers=1,
        module=tiny_game.__name__,
    )


def test_interrupted_recording_resumes_to_the_identical_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(recording(tmp_path / "whole"))
    shards: list[int] = []
    write = EpisodeWriter.write_shard

    def dying(self: EpisodeWriter, index: int, episodes: Any) -> None:
        if len(shards) == 2:
            # Killed in the middle of a shard: some of its arrays are there, one of them half.
            (self.partial / f"{index:05d}.frames.npy").write_bytes(b"half a shard")
            raise KeyboardInterrupt
        shards.append(index)
        write(self, index, episodes)

    with monkeypatch.context() as patch:
        patch.setattr(EpisodeWriter, "write_shard", dying)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                record(recording(tmp_path / "killed"))
            assert not (tmp_path / "killed").exists()
            with pytest.raises(ValueError, match=r"manifest\.json"):
                EpisodeStore(tmp_path / "killed")
    finished = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed.partial").glob("0000[01].*.npy")}
    record(recording(tmp_path / "killed"))
    same_files(tmp_path / "killed", tmp_path / "whole")
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("0000[01].*.npy")}
    assert kept == finished and shards == [0, 1], "finished shards were reused"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


def test_recording_does_not_depend_on_the_order_of_its_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers finish in any order; a shard is a function of the seed and its number alone."""
    record(recording(tmp_path / "one"))
    monkeypatch.setattr(record_module, "each", lambda work, jobs, count: (work(job) for job in reversed(jobs)))
    record(recording(tmp_path / "other"))
    same_files(tmp_path / "one", tmp_path / "other")


# What a run is made of.


def test_stage_that_was_finished_by_another_recipe_is_not_skipped(tiny_world: TinyWorld) -> None:
    before = contents(tiny_world.bundle.parent)
    wider = replace(TINY_RECIPE, dynamics={**TINY_RECIPE.dynamics, "width": 32})
    with pytest.raises(ValueError, match=r"dynamics: was made with width 64, now 32; remove it or use another --run"):
        make_world(wider, *tiny_world)
    relabelled = replace(TINY_RECIPE, label_fraction=0.5)
    with pytest.raises(ValueError, match=r"latent_action: was made with label_fraction 0\.3, now 0\.5"):
        make_world(relabelled, *tiny_world)
    assert contents(tiny_world.bundle.parent) == before


def test_sizes_that_the_tokens_do_not_have_are_named(tiny_world: TinyWorld, tmp_path: Path) -> None:
    size = DynamicsConfig(vocab_size=512, side=8, num_actions=4)
    config = TrainDynamicsConfig(tiny_world.run / "tokens", tmp_path / "new", size)
    with pytest.raises(ValueError, match="vocab_size 512 for the model, 256 in the tokens; num_actions 4 for the"):
        train_dynamics(config)
    assert not list(tmp_path.iterdir())


def test_dynamics_takes_its_sizes_from_the_tokens_that_it_makes_itself(tiny_world: TinyWorld, tmp_path: Path) -> None:
    loop = LoopConfig(n_updates=1, batch_size=2, precision="float32")
    config = TrainDynamicsConfig(
        out=tmp_path / "dynamics",
        model=DynamicsShape(width=16, num_layers=1, num_heads=2),
        loop=loop,
        clip_length=4,
        data=tiny_world.data,
        video_tokenizer_path=tiny_world.run / "tokenizer",
        lam_path=tiny_world.run / "latent_action",
    )
    model = train_dynamics(config)
    assert (model.config.vocab_size, model.config.side, model.config.num_actions) == (256, 8, 3)
    made, known = (TokenStore(path / "tokens").manifest for path in (tmp_path / "dynamics", tiny_world.run))
    assert made.sha256 == known.sha256
    train_dynamics(config)
    with pytest.raises(ValueError, match="expected --tokens, or what makes them"):
        train_dynamics(replace(config, lam_path=None))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_command_that_is_stopped_says_so_by_its_status_and_keeps_a_checkpoint(
    tiny_world: TinyWorld, tmp_path: Path, signum: int
) -> None:
    flags = f"--data {tiny_world.data} --out {tmp_path / 'run'} --n-updates 100000 --batch-size 2 --channels 8"
    command = [sys.executable, "-m", "training.train_latent_action", *flags.split(), "--precision", "float32"]
    folder = tmp_path / "run" / "learned"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        while not (folder / "log.jsonl").exists() or not (folder / "log.jsonl").stat().st_size:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signum)
        assert process.stderr is not None
        last = process.stderr.read().splitlines()[-1]
    assert process.returncode == 128 + signum
    assert last.startswith("training.train_latent_action: latent action: stopped at step ")
    assert (folder / CHECKPOINT).exists()
