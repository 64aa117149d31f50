"""Rows on a cluster of two workers are those of one process, whatever dies; no step is lost and none counts twice."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

import genie_env
from genie_env.cluster import rows as cluster_rows
from genie_env.cluster.libraries import join_cluster, ray
from genie_env.cluster.make_rows import make_rows
from genie_env.cluster.vector_env import ClusterVectorEnv
from tests.helpers.results import same
from training.evaluation.free_play import play_dream

pytestmark = pytest.mark.usefixtures("cluster")
ROWS = 5


def pair(world: Path, **options: Any) -> tuple[Any, Any]:
    """The same rows on the cluster and here."""
    near = gym.make_vec("Genie/World-v0", ROWS, world=str(world), **options)
    return gym.make_vec("Genie/Cluster-v0", ROWS, world=str(world), workers=2, **options), near


def kill(envs: Any, worker: int) -> None:
    ray.kill(envs.unwrapped._workers[worker]._actor)


def test_rows_are_those_of_one_process_also_after_a_worker_was_killed(
    random_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_rows, "SNAPSHOT_EVERY", 10)
    options = {
        "autoreset_mode": "SameStep",
        "max_episode_steps": 7,
        "render_mode": "rgb_array",
        "action_diversity": 0.3,
    }
    far, near = pair(random_world, **options)
    assert isinstance(far, ClusterVectorEnv) and far.observation_space == near.observation_space
    assert same(far.reset(seed=3), near.reset(seed=3))
    rng = np.random.default_rng(0)
    for step in range(25):
        # Once before the first snapshot, and once between two of them.
        if step in (4, 16):
            kill(far, worker=int(step == 16))
        actions = rng.integers(0, 3, ROWS)
        assert same(far.step(actions), near.step(actions)), step
    assert far.replaced_workers == 2 and same(far.render(), near.render())
    far.temperature = near.temperature = 0.25
    kept = far.snapshot(), near.snapshot()
    for _ in range(2):
        actions = rng.integers(0, 3, ROWS)
        assert same(far.step(actions), near.step(actions))
        far.restore(kept[0])
        near.restore(kept[1])
    assert far.temperature == 0.25
    far.close()
    far.close()


def test_some_rows_restart_and_refused_calls_change_nothing(random_world: Path) -> None:
    far, near = pair(random_world, autoreset_mode="Disabled", max_episode_steps=6)
    with pytest.raises(gym.error.ResetNeeded, match="all rows"):
        far.reset(options={"reset_mask": np.array([True] * 3 + [False] * 2)})
    frames = np.random.default_rng(0).integers(0, 256, (ROWS, 2, 64, 64, 3), dtype=np.uint8)
    assert same(far.reset(seed=1, options={"frames": frames}), near.reset(seed=1, options={"frames": frames}))
    # Only the second worker's part is wrong: the first one must take its part back.
    bad = frames.astype(object)
    bad[-1] = None
    for call in (
        lambda envs: envs.reset(seed=[-1] * ROWS),
        lambda envs: envs.reset(options={"start": 99}),
        lambda envs: envs.reset(options={"frames": bad}),
        lambda envs: envs.reset(options={"frames": frames[:2]}),
        lambda envs: envs.step(np.full(ROWS, 9)),
    ):
        with pytest.raises(ValueError):
            call(far)
    for mask in ([True, False, True, True, False], [False, False, False, False, True]):
        assert same(far.step(np.ones(ROWS, int)), near.step(np.ones(ROWS, int)))
        options = {"reset_mask": np.array(mask), "frames": frames[: sum(mask)]}
        assert same(far.reset(options=options), near.reset(options=options))
    results = far.step(np.zeros(ROWS, int)), near.step(np.zeros(ROWS, int))
    assert same(*results)
    while not (results[0][2] | results[0][3]).any():
        results = far.step(np.zeros(ROWS, int)), near.step(np.zeros(ROWS, int))
        assert same(*results)
    for envs in (far, near):
        with pytest.raises(gym.error.ResetNeeded, match="rows"):
            envs.step(np.zeros(ROWS, int))
    far.close()


def test_a_call_that_kills_every_worker_fails_in_the_end(random_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_rows, "REPLACEMENTS", 1)
    envs: Any = make_rows(random_world, 1, ray="local", ray_workers=2)
    (worker,) = envs._workers
    begin = worker.begin

    def deadly(call: Any) -> Any:
        kill(envs, 0)
        return begin(call)

    envs.reset(seed=0)
    monkeypatch.setattr(worker, "begin", deadly)
    with pytest.raises(ray.exceptions.RayActorError):
        envs.step(np.zeros(1, int))
    envs.close()


def test_free_play_that_is_evaluated_is_the_same_on_a_cluster(random_world: Path) -> None:
    plays = [play_dream(str(random_world), 3, 12, 0, None, ray=ray) for ray in ("local", None)]
    assert same(*plays)


def test_another_world_of_the_same_name_on_a_workers_machine_is_refused(random_world: Path) -> None:
    envs: Any = make_rows(random_world, 1, ray="local")
    other = genie_env.load_world("pong", "cpu").config
    with pytest.raises(ValueError, match="another one on a worker's machine"):
        envs._workers[0].require_world(other)
    envs.close()


def test_more_workers_than_rows_and_unknown_options_are_refused(random_world: Path) -> None:
    with pytest.raises(ValueError, match="at most one for each of 2 rows"):
        ClusterVectorEnv(random_world, 2, workers=3)
    with pytest.raises(ValueError, match="temperature"):
        ClusterVectorEnv(random_world, 2, temperature=-1)


def test_an_address_without_a_cluster_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(**_: Any) -> None:
        raise ConnectionError("nothing\nthere")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ValueError, match=r"ray: no cluster at 'auto' \(nothing there\)"):
        join_cluster("auto", 2)
    # Ray itself would try for minutes at an address where nothing answers, so it is not asked.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ValueError, match=rf"ray: no cluster at '{address}' \(.*refused"):
            join_cluster(address, 2)
