"""How well anybody's codes name the actions of a recording: values with intervals. Knows no models.

Transitions of a split are numbered episode by episode, in the order of the manifest, and by time within each.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genie_env.data.episodes import EpisodeStore
from genie_env.files.atomic import whole_file
from genie_env.files.errors import FileError
from genie_env.files.reading import open_regular
from genie_env.games.registry import game_for, merged_effects
from genie_env.statistics import BLOCK, Interval, bootstrap
from training.latent_action.agreement import matched, table_nmi

MOST_CODES = 256
MARGIN = 4.0
"""Pixels of the frame that a sprite must keep from the ends of its way to have room."""
FEWEST_EPISODES = 5
"""With fewer, intervals resample blocks of transitions instead of episodes."""


class Codes(NamedTuple):
    """What a codes file holds."""

    codes_M: np.ndarray
    """Code of every transition of the split."""
    drawn_KHWC: np.ndarray | None
    """Next frames of K transitions, drawn with their own codes."""
    random_KHWC: np.ndarray | None
    """The same, drawn with random codes."""
    index_K: np.ndarray | None
    """Numbers of these transitions."""


class Transitions(NamedTuple):
    """What is known of the M transitions of a split."""

    effects_M: np.ndarray
    before_M: np.ndarray
    """Effect of the action before, -1 at the beginning of an episode."""
    group_M: np.ndarray
    """Number of the episode, or of the block, that the intervals resample."""
    room_M: np.ndarray | None
    """Whether what the player moves has room on both sides; None where no ground truth tells."""


class Scores(NamedTuple):
    """Scores of codes on some transitions."""

    assignment: Interval
    """Accuracy under the best one-to-one assignment of codes to effects."""
    after: Interval
    """The same with an assignment for each action before."""
    nmi: Interval
    majority: Interval
    """Share of the most frequent effect."""
    chance: Interval
    """Best assignment of the same codes in random order."""


def read_transitions(store: EpisodeStore, split: str) -> Transitions:
    """Effects, room and grouping of all transitions of a split.

    Raises:
        ValueError: if the split has none.
    """
    entries = [entry for entry in store.split(split) if entry.length > 1]
    if not entries:
        raise ValueError(f"{store.folder}: expected an episode with at least two frames in split {split!r}")
    effect_of = merged_effects(store.manifest.source)
    effects, before, group = [], [], []
    for number, entry in enumerate(entries):
        effects_T = effect_of[store.array("actions", entry)[:-1]]
        effects.append(effects_T)
        before.append(np.append(-1, effects_T[:-1]))
        group.append(np.full(len(effects_T), number))
    group_M = np.concatenate(group)
    if len(entries) < FEWEST_EPISODES:
        group_M = np.arange(len(group_M)) // BLOCK
    return Transitions(np.concatenate(effects), np.concatenate(before), group_M, _room(store, split))


def score(codes_M: np.ndarray, known: Transitions, picks_M: np.ndarray) -> Scores:
    """Scores on the transitions where ``picks_M`` is true."""
    codes_M, effects_M, before_M, group_M = (
        column[picks_M] for column in (codes_M, known.effects_M, known.before_M, known.group_M)
    )
    shuffled_M = np.random.default_rng(0).permutation(codes_M)
    shape = (int(before_M.max()) + 2, int(codes_M.max()) + 1, int(effects_M.max()) + 1)
    _, group_M = np.unique(group_M, return_inverse=True)

    def interval(codes_M: np.ndarray, statistic: Callable[[np.ndarray], float]) -> Interval:
        tables_GBAE = np.zeros((int(group_M.max()) + 1, *shape))
        np.add.at(tables_GBAE, (group_M, before_M + 1, codes_M, effects_M), 1)
        return bootstrap(lambda rows: statistic(tables_GBAE[rows].sum(0)), len(tables_GBAE))

    return Scores(
        interval(codes_M, lambda table_BAE: matched(table_BAE.sum(0)) / table_BAE.sum()),
        interval(codes_M, lambda table_BAE: sum(map(matched, table_BAE)) / table_BAE.sum()),
        interval(codes_M, lambda table_BAE: table_nmi(table_BAE.sum(0))),
        interval(codes_M, lambda table_BAE: float(table_BAE.sum((0, 1)).max() / table_BAE.sum())),
        interval(shuffled_M, lambda table_BAE: matched(table_BAE.sum(0)) / table_BAE.sum()),
    )


def delta_psnr(codes: Codes, store: EpisodeStore, split: str) -> Interval:
    """By how many dB drawings with the right code are nearer to the next frame than those with a random code.

    Over pixels that change from one frame to the next, after frames are averaged down to the drawings' size.
    """
    drawn, random, index_K = codes.drawn_KHWC, codes.random_KHWC, codes.index_K
    if drawn is None or random is None or index_K is None:
        return Interval(float("nan"))
    entries = [entry for entry in store.split(split) if entry.length > 1]
    ends = np.cumsum([entry.length - 1 for entry in entries])
    error_K2, side = np.zeros((len(index_K), 2)), drawn.shape[1]
    for row, index in enumerate(index_K):
        number = int(np.searchsorted(ends, index, side="right"))
        time = int(index - (ends[number - 1] if number else 0))
        full = store.array("frames", entries[number])[time : time + 2].astype(np.float64)
        factor = full.shape[1] // side
        frames = full.reshape(2, side, factor, side, factor, 3).mean((2, 4))
        moving = np.abs(frames[1] - frames[0]).max(-1) > 0
        for column, picture in enumerate((drawn[row], random[row])):
            error_K2[row, column] = np.square(picture - frames[1])[moving].sum()
    return bootstrap(lambda rows: float(10 * np.log10(error_K2[rows, 1].sum() / error_K2[rows, 0].sum())), len(index_K))


def read_codes(path: Path, store: EpisodeStore, split: str) -> Codes:
    """Read a ``codes.npz``; sizes are compared with the recording before anything is allocated.

    Raises:
        FileError: if the file is no such archive, or does not fit the recording.
    """
    total = sum(max(0, entry.length - 1) for entry in store.split(split))
    side = store.manifest.source.image_size
    limits = {"codes": 8 * total, "drawn_index": 8 * total}
    limits |= dict.fromkeys(("drawn", "drawn_random"), total * side * side * 3)
    with open_regular(path) as (file, _):
        try:
            with zipfile.ZipFile(file) as archive:
                arrays = {name: _member(archive, name, most) for name, most in limits.items()}
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
            raise FileError(path, f"expected an archive of arrays ({error})") from None
    codes_M, index_K = arrays["codes"], arrays["drawn_index"]
    if codes_M is None or codes_M.shape != (total,) or codes_M.dtype.kind not in "iu":
        found = "none" if codes_M is None else f"{codes_M.dtype} {list(codes_M.shape)}"
        raise FileError(path, f"expected 'codes', one whole number for each of {total} transitions, got {found}")
    if not 0 <= codes_M.min() <= codes_M.max() < MOST_CODES:
        raise FileError(path, f"expected codes from 0 to {MOST_CODES - 1}, got {codes_M.min()} to {codes_M.max()}")
    if index_K is None:
        return Codes(codes_M.astype(np.int64), None, None, None)
    if index_K.ndim != 1 or index_K.dtype.kind not in "iu" or not len(index_K):
        raise FileError(path, f"expected 'drawn_index' of whole numbers [K], got {index_K.dtype} {list(index_K.shape)}")
    if not 0 <= index_K.min() <= index_K.max() < total:
        raise FileError(
            path, f"drawn_index: expected numbers from 0 to {total - 1}, got {index_K.min()} to {index_K.max()}"
        )
    drawn, random = arrays["drawn"], arrays["drawn_random"]
    _check_drawings(drawn, random, len(index_K), side, path)
    return Codes(codes_M.astype(np.int64), drawn, random, index_K.astype(np.int64))


def write_codes(path: Path, codes: Codes) -> None:
    """Write a ``codes.npz``, whole or not at all."""
    arrays = {"codes": codes.codes_M}
    if codes.drawn_KHWC is not None and codes.random_KHWC is not None and codes.index_K is not None:
        arrays |= {"drawn": codes.drawn_KHWC, "drawn_random": codes.random_KHWC, "drawn_index": codes.index_K}
    with (
        whole_file(path) as temporary,
        temporary.open("wb") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def _check_drawings(drawn: np.ndarray | None, random: np.ndarray | None, count: int, side: int, path: Path) -> None:
    for name, pictures in (("drawn", drawn), ("drawn_random", random)):
        if pictures is None or pictures.dtype != np.uint8 or pictures.ndim != 4 or 0 in pictures.shape:
            found = "none" if pictures is None else f"{pictures.dtype} {list(pictures.shape)}"
            raise FileError(path, f"expected {name!r} of uint8 [{count}, H, H, 3], got {found}")
        edge = pictures.shape[1]
        if pictures.shape != (count, edge, edge, 3) or side % edge or (drawn is not None and drawn.shape[1] != edge):
            wanted = f"[{count}, H, H, 3], both of one H that divides {side}"
            raise FileError(path, f"expected {name!r} of uint8 {wanted}, got {list(pictures.shape)}")


def _member(archive: zipfile.ZipFile, name: str, most_bytes: int) -> np.ndarray | None:
    if f"{name}.npy" not in archive.namelist():
        return None
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > most_bytes + 4096:
        raise ValueError(f"{name}: expected at most {most_bytes} bytes, got {info.file_size}")
    return np.lib.format.read_array(io.BytesIO(archive.read(info)), allow_pickle=False)


def _room(store: EpisodeStore, split: str) -> np.ndarray | None:
    directions = game_for(store.manifest.source.env_id).action_directions
    names = list(dict.fromkeys(name for _, name, _ in directions if name in store.manifest.truth_names))
    if not names:
        return None
    truth = [store.array("truth", entry)[:-1] for entry in store.split(split) if entry.length > 1]
    places_MK = np.concatenate(truth)[:, [store.truth_column(name) for name in names]]
    low_K, high_K = np.nanmin(places_MK, axis=0) + MARGIN, np.nanmax(places_MK, axis=0) - MARGIN
    return ((places_MK >= low_K) & (places_MK <= high_K)).all(1)
