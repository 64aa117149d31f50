"""Every job's result comes once, also that of a job whose process was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

from genie_env.cluster.jobs import map_jobs
from genie_env.data.episodes import EpisodeStore
from genie_env.data.manifest import ARRAYS
from tests.helpers.tiny_game import ENV_ID
from training.record import RecordConfig, record

pytestmark = pytest.mark.usefixtures("cluster")


def killed_once(job: tuple[Path, int]) -> int:
    """The job's number; the process of number 2 dies the first time."""
    folder, number = job
    mark = folder / str(number)
    if number == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with (folder / "done").open("a") as file:
        file.write(f"{number}\n")
    return number


def refuse(job: int) -> int:
    raise ValueError(f"job {job} is none")


def test_a_killed_job_is_done_again_and_counts_once(tmp_path: Path) -> None:
    jobs = [(tmp_path, number) for number in range(5)]
    results = dict(map_jobs(killed_once, jobs, "local", 2))
    assert results == {job: job[1] for job in jobs}
    assert sorted((tmp_path / "done").read_text().split()) == list("01234")


def test_an_error_of_a_job_is_the_callers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="job 1 is none"):
        list(map_jobs(refuse, [1], "local", 2))


def test_a_recording_made_by_a_cluster_is_that_of_one_process(tmp_path: Path) -> None:
    def recorded(name: str, ray: str | None) -> EpisodeStore:
        config = RecordConfig(
            tmp_path / name, ENV_ID, steps=230, shard_steps=100, workers=1 + bool(ray), module="tests.helpers.tiny_game"
        )
        return record(RecordConfig(**{**vars(config), "ray": ray}))

    far, near = recorded("far", "local"), recorded("near", None)
    assert far.manifest == near.manifest
    for here, there in zip(far.manifest.episodes, near.manifest.episodes, strict=True):
        assert all(np.array_equal(far.array(name, here), near.array(name, there)) for name in ARRAYS if name != "truth")
