"""Many damaged films among a few good ones: ``python -m tests.helpers.damaged_films --damaged 500 --good 20``.

Makes a folder, imports it, and prints every damaged film that was not named and every good one that was not used.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genie_env.command import run
from tests.helpers.films import DAMAGES, damaged, scene, write_film, write_sound
from training.sources.films import FilmReader
from training.sources.importing import write_recording
from training.sources.reader import Wanted

KINDS = (*DAMAGES, "sound", "one frame", "wrong ending")
ENDINGS = ("mp4", "mkv", "avi", "webm")
CODECS = {"mp4": "libx264", "mkv": "libx264", "avi": "mpeg4", "webm": "libvpx-vp9"}


@dataclass(frozen=True)
class DamagedConfig:
    """Import a folder of good and damaged films."""

    damaged: int = 500
    """Number of damaged films, of every kind in turn."""
    good: int = 20
    """Number of whole films."""
    seed: int = 0
    """Seed of the damage."""


@dataclass(frozen=True)
class Verdict:
    """What became of the films."""

    not_named: list[str]
    """Damaged films of which the report says nothing."""
    not_used: list[str]
    """Whole films that were not used from end to end."""
    seconds: float


def make_folder(folder: Path, config: DamagedConfig) -> tuple[list[str], list[str]]:
    """Write the films; returns the names of the whole and of the damaged ones."""
    rng = np.random.default_rng(config.seed)
    good, bad = [], []
    for index in range(config.good):
        ending = ENDINGS[index % len(ENDINGS)]
        # Some films have no ending that tells what they are.
        path = folder / f"good_{index:03d}.{ending if index % 5 else 'dat'}"
        made = write_film(folder / f"new.{ending}", scene(75, seed=index), codec=CODECS[ending], options={"g": "30"})
        made.rename(path)
        good.append(path.name)
    originals = {ending: (folder / name).read_bytes() for name in good for ending in ENDINGS if name.endswith(ending)}
    for index in range(config.damaged):
        kind, ending = KINDS[index % len(KINDS)], list(originals)[index // len(KINDS) % len(originals)]
        path = folder / f"bad_{index:03d}_{kind.replace(' ', '_')}.{ending}"
        if kind == "sound":
            write_sound(folder / "new.m4a").rename(path)
        elif kind == "one frame":
            write_film(folder / "new.mp4", scene(1, seed=index)).rename(path)
        elif kind == "wrong ending":
            path.write_bytes(b"%PDF-1.7\n" + rng.integers(0, 256, 4000, dtype=np.uint8).tobytes())
        else:
            path.write_bytes(damaged(originals[ending], kind, rng))
        bad.append(path.name)
    return good, bad


def check(config: DamagedConfig) -> Verdict:
    """Make the folder, import it and compare."""
    with tempfile.TemporaryDirectory() as folder:
        films = Path(folder) / "films"
        films.mkdir()
        good, bad = make_folder(films, config)
        began = time.monotonic()
        reader = FilmReader(films, Wanted())
        write_recording(reader, Path(folder) / "data", {})
        named = {one.name for one in reader.report.left_out}
        used = {one.name: one.facts for one in reader.report.used}
        not_used = [name for name in good if name in named or not used.get(name, "").startswith("5.0 of 5.0 s")]
        return Verdict([name for name in bad if name not in named], not_used, time.monotonic() - began)


def main(config: DamagedConfig) -> None:
    """Print the verdict."""
    verdict = check(config)
    print(f"{config.damaged} damaged and {config.good} good films, imported in {verdict.seconds:.0f} s")
    print(f"damaged and not named: {len(verdict.not_named)} {verdict.not_named[:20]}")
    print(f"good and not used as a whole: {len(verdict.not_used)} {verdict.not_used[:20]}")


if __name__ == "__main__":
    raise SystemExit(run(main, DamagedConfig, description=__doc__))
