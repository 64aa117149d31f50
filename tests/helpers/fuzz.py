"""Open thousands of damaged folders: ``python -m tests.helpers.fuzz --what bundle --mutations 10000 --seed 0``.

Each is opened, and used if it opens, in another process that has little memory and little time. What is not refused in
one line that names it, and does not work either, is a fault of the program.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import tyro

from tests.helpers.mutations import mutate
from tests.helpers.specimens import SPECIMENS, forge_checksums

CPU_SECONDS = 2.0
"""Processor time after which an answer counts as slow; not time on the clock, which others' work prolongs."""
WALL_SECONDS = 60.0
"""Time on the clock after which there is no answer."""
MEMORY = 2**30
"""Bytes beyond those of opening a sound folder."""


@dataclass(frozen=True)
class FuzzConfig:
    """Open damaged folders and count what happens."""

    what: Literal["bundle", "fsq-bundle", "recording", "tokens", "policy", "run"] = "bundle"
    """Kind of folder to damage; ``fsq-bundle`` is one with the other kind of tokenizer."""
    mutations: int = 1000
    """Number of damaged folders."""
    seed: int = 0
    """Seed of the damages; the same seed makes the same ones."""
    first: int = 0
    """Number of the first damage, to repeat one that was reported."""
    keep: Path | None = None
    """Folder that keeps those which are faults of the program."""


class Result(NamedTuple):
    """What happened to one damaged folder."""

    verdict: str
    """``refused``, ``used``, ``untyped``, ``slow`` or ``memory``."""
    detail: str
    """Message or traceback."""


BAD = ("untyped", "slow", "memory")


def fuzz(config: FuzzConfig) -> Iterator[tuple[int, str, Result]]:
    """Yield number, damage and result of each."""
    specimen = SPECIMENS[config.what]
    with tempfile.TemporaryDirectory() as name:
        sound, damaged = Path(name) / "sound", Path(name) / "damaged"
        specimen.make(sound)
        worker = _Worker(config.what, sound)
        try:
            for index in range(config.first, config.first + config.mutations):
                rng = np.random.default_rng([config.seed, index])
                shutil.copytree(sound, damaged)
                what = mutate(damaged, rng)
                if rng.random() < 0.6:
                    forge_checksums(damaged, specimen.manifest)
                    what += "; checksums forged"
                result = worker.open(damaged)
                if result.verdict in BAD and config.keep is not None:
                    shutil.copytree(damaged, config.keep / f"{config.what}-{config.seed}-{index}", symlinks=True)
                yield index, what, result
                shutil.rmtree(damaged)
        finally:
            worker.stop()


class _Worker:
    """A process that opens folders; a new one takes its place when it dies or does not answer."""

    def __init__(self, what: str, sound: Path) -> None:
        self._what, self._sound = what, sound
        self._start()

    def open(self, folder: Path) -> Result:
        self._pipe.send(folder)
        try:
            if self._pipe.poll(WALL_SECONDS):
                return Result(*self._pipe.recv())
            result = Result("slow", f"no answer in {WALL_SECONDS:g} s")
        except EOFError:
            self._process.join()
            result = Result("untyped", f"the process died with {self._process.exitcode}")
        self.stop()
        self._start()
        return result

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._what, self._sound), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.recv() == "ready"


def _serve(pipe: Any, what: str, sound: Path) -> None:
    import resource

    import torch

    torch.set_num_threads(1)
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    specimen = SPECIMENS[what]
    specimen.use(specimen.open(sound))
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.RLIM_INFINITY))
    pipe.send("ready")
    while True:
        folder = pipe.recv()
        start = time.process_time()
        result = _try(specimen.open, specimen.use, folder)
        seconds = time.process_time() - start
        if seconds > CPU_SECONDS and result.verdict not in BAD:
            result = Result("slow", f"{seconds:.1f} s of processor time; {result.detail}")
        pipe.send(tuple(result))


def _try(open_it: Any, use_it: Any, folder: Path) -> Result:
    opened = None
    try:
        opened = open_it(folder)
        use_it(opened)
        return Result("used", "")
    except Exception as error:
        text = str(error)
        if isinstance(error, MemoryError) or "allocate" in text or "memory" in text.lower():
            return Result("memory", traceback.format_exc())
        if isinstance(error, ValueError) and opened is None and str(folder) in text and "\n" not in text:
            return Result("refused", text)
        return Result("untyped", traceback.format_exc())


def main(config: FuzzConfig) -> int:
    """Command line."""
    counts: Counter[str] = Counter()
    start = time.perf_counter()
    for index, what, result in fuzz(config):
        counts[result.verdict] += 1
        if result.verdict in BAD:
            print(f"{config.what} {index}: {result.verdict}: {what}\n{result.detail}", flush=True)
    seconds = time.perf_counter() - start
    print(json.dumps({"what": config.what, "seed": config.seed, "seconds": round(seconds), **counts}))
    return int(any(counts[verdict] for verdict in BAD))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(FuzzConfig, description=__doc__)))
