"""Reader of films: one file or a folder of them, of which nothing is known but the pictures.

Owns what is used and what is left out, each with its reason. Knows nothing of decoding or of cuts.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from genie_env.config import SourceConfig
from genie_env.data.episodes import Episode
from genie_env.files.errors import FileError
from training.sources.film import Damage, Film, look, moments
from training.sources.rate import at_rate, small_picture
from training.sources.reader import (
    EXAMPLES,
    LEAST_EPISODE,
    Crop,
    LeftOut,
    Report,
    Used,
    Wanted,
    episode_length,
    odd_shapes,
    require_frames,
    unlabelled,
)
from training.sources.scenes import Scenes

USUAL_FPS = 15.0
"""Frames a second that are enough to play by; faster films are thinned out."""
MOST_FILES = 100_000
MISSING, MISSING_S = 0.01, 0.5
"""Share of a film, and seconds, that may be missing at its end before it counts as cut off."""


class Chosen(NamedTuple):
    """A film that will be read, and what is kept of its picture."""

    film: Film
    crop: Crop


class FilmReader:
    """Films that were looked at."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        """Look at every film.

        Raises:
            ValueError: if there is no film that can be used, they are too short, or of several shapes.
        """
        self.report = Report("film")
        self._size, self._root = wanted.image_size, path
        films = self._look(_files(path))
        self._chosen = self._of_one_shape([Chosen(film, self._crop(film, wanted)) for film in films], wanted)
        films = [chosen.film for chosen in self._chosen]
        rate = float(np.median([film.fps for film in films]))
        fps = wanted.fps or min(USUAL_FPS, round(rate, 3))
        self.expected_frames = round(sum(film.seconds for film in films) * fps)
        require_frames(self.expected_frames, fps, path)
        crops = {crop if crop != (0, f.height, 0, f.width) else None for f, crop in self._chosen}
        self.source = SourceConfig(
            crop=crops.pop() if len(crops) == 1 else None,
            image_size=self._size,
            fps=fps,
            has_actions=False,
            has_outcomes=False,
        )

    def episodes(self) -> Iterator[Episode]:
        """Read the films one after another; a cut, a gap or damage ends an episode."""
        for chosen in self._chosen:
            yield from self._read(chosen)

    def _read(self, chosen: Chosen) -> Iterator[Episode]:
        film, fps = chosen.film, self.source.fps
        scenes, damage = Scenes(fps, episode_length(self.expected_frames)), Damage()
        frames = 0
        try:
            for frame in at_rate(moments(film.path, damage), fps):
                ended = scenes.close() if frame is None else scenes.add(small_picture(frame, chosen.crop, self._size))
                frames += sum(map(len, ended))
                yield from map(unlabelled, ended)
        except FileError as error:
            self.report.left_out.append(LeftOut(self._name(film.path), error.problem))
            return
        ended = scenes.close()
        frames += sum(map(len, ended))
        yield from map(unlabelled, ended)
        self._conclude(chosen, frames, scenes, damage)

    def _conclude(self, chosen: Chosen, frames: int, scenes: Scenes, damage: Damage) -> None:
        film, fps = chosen.film, self.source.fps
        name = self._name(film.path)
        self.report.left_out += [LeftOut(name, reason) for reason in _missing(film, damage)]
        if not frames:
            reason = f"no {LEAST_EPISODE} frames in a row without a cut, damage or standstill"
            self.report.left_out.append(LeftOut(name, reason))
            return
        top, bottom, left, right = chosen.crop
        facts = [f"{frames / fps:.1f} of {film.seconds:.1f} s", f"{film.height}x{film.width} at {film.fps:.4g}/s"]
        if chosen.crop != (0, film.height, 0, film.width):
            facts.append(f"rows {top} to {bottom}, columns {left} to {right}")
        facts += [f"{scenes.cuts} cuts"] if scenes.cuts else []
        facts += [f"{scenes.still_frames / fps:.0f} s still left out"] if scenes.still_frames else []
        facts += [f"{scenes.short_frames / fps:.0f} s too short left out"] if scenes.short_frames else []
        self.report.used.append(Used(name, ", ".join(facts)))

    def _look(self, paths: list[Path]) -> list[Film]:
        films = []
        for path in tqdm(paths, desc="look", unit="file", disable=len(paths) < 2):
            try:
                films.append(look(path))
            except FileError as error:
                self.report.left_out.append(LeftOut(self._name(path), error.problem))
        if not films:
            raise ValueError(_nothing(self._root, self.report.left_out))
        return films

    def _of_one_shape(self, chosen: list[Chosen], wanted: Wanted) -> list[Chosen]:
        shapes = [(self._name(film.path), (crop[1] - crop[0], crop[3] - crop[2])) for film, crop in chosen]
        odd = odd_shapes(shapes, wanted)
        self.report.left_out += [LeftOut(name, reason) for name, reason in odd.items()]
        return [one for one in chosen if self._name(one.film.path) not in odd]

    def _crop(self, film: Film, wanted: Wanted) -> Crop:
        if wanted.crop is None:
            return (0, film.height, 0, film.width) if wanted.keep_bars else film.bars
        top, bottom, left, right = wanted.crop
        if not (0 <= top < bottom <= film.height and 0 <= left < right <= film.width):
            raise ValueError(
                f"crop: expected rows and columns of a picture of {film.height}x{film.width} pixels, got "
                f"{list(wanted.crop)} for {film.path}"
            )
        return wanted.crop

    def _name(self, path: Path) -> str:
        shown = path.name if path == self._root else str(path.relative_to(self._root))
        return "".join(letter if letter.isprintable() else "?" for letter in shown)


def _missing(film: Film, damage: Damage) -> list[str]:
    """What of a film could not be read."""
    found = []
    if damage.packets:
        found.append(f"{damage.packets} damaged parts, each up to the next whole picture")
    if damage.gaps:
        found.append(f"{damage.gaps} gaps of more than a second")
    if film.seconds - damage.last_s > max(MISSING_S, MISSING * film.seconds):
        found.append(f"cut off: ends at {damage.last_s:.1f} of {film.seconds:.1f} seconds")
    elif not found and damage.pictures < (1 - MISSING) * film.pictures - 2:
        found.append(f"{film.pictures - damage.pictures} of {film.pictures} pictures are missing")
    return found


def _files(path: Path) -> list[Path]:
    """The film, or everything in the folder that may be one: no file is judged by its ending."""
    if not path.is_dir():
        return [path]
    found = []
    for folder, inner, names in os.walk(path):
        inner.sort()
        found += [Path(folder) / name for name in sorted(names) if not name.startswith(".")]
        if len(found) > MOST_FILES:
            raise ValueError(f"{path}: expected at most {MOST_FILES} files, got more; choose a folder of films alone")
    if not found:
        raise ValueError(f"{path}: expected films, got an empty folder")
    return found


def _nothing(path: Path, left_out: list[LeftOut]) -> str:
    if len(left_out) == 1:
        return f"{path}: {left_out[0].reason}; expected a film with moving pictures"
    reasons = Counter(one.reason for one in left_out).most_common(EXAMPLES)
    listed = "; ".join(f"{count} × {reason}" for reason, count in reasons)
    return f"{path}: expected films, got {len(left_out)} files of which none can be used: {listed}"
