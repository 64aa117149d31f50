"""Independent jobs on the machines of a cluster: each result once, whatever dies meanwhile. Knows nothing of games."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from genie_env.cluster.libraries import RayTaskError, join_cluster

Job = TypeVar("Job")
Result = TypeVar("Result")

RETRIES = 5
"""Times that a job is begun again because its process was killed."""


def map_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], address: str, workers: int
) -> Iterator[tuple[Job, Result]]:
    """Do jobs on a cluster; yields each job with its result, in the order in which they finish.

    No more than ``workers`` jobs are begun and not yet taken, so that results do not pile up in memory. A job whose
    process or machine dies begins again elsewhere; its result comes once.

    Args:
        function: of one job, at the top of a module that every machine has.
        jobs: what it takes.
        address: of the Ray cluster: ``host:port``, ``auto``, or ``local`` for processes of this machine.
        workers: jobs at once.

    Raises:
        ValueError: if there is no cluster.
        Exception: what ``function`` raised.
    """
    ray = join_cluster(address, workers)
    task = ray.remote(num_cpus=1, max_retries=RETRIES, scheduling_strategy="SPREAD")(function)
    waiting, running = list(reversed(jobs)), {}
    while waiting or running:
        while waiting and len(running) < workers:
            job = waiting.pop()
            running[task.remote(job)] = job
        (done, *_), _ = ray.wait(list(running))
        try:
            result = ray.get(done)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
        yield running.pop(done), result
