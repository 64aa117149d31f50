"""A film as pictures in time: opening it safely, decoding it, leaving out what does not decode.

Owns PyAV. Knows nothing of episodes. Only container formats that hold films themselves are opened, never a playlist
or script that names other files, and through a file that is open already.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genie_env.files.errors import FileError
from genie_env.files.reading import open_regular
from genie_env.files.video import import_av
from training.sources.reader import MOST_PIXELS

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,asf,h264,hevc,av1,obu,ivf,"
    "nut,m4v,mjpeg,yuv4mpegpipe,apng,webp,wtv,rm,swf,dv,mxf,avif,h263,vc1,nsv"
)
"""Names of the containers that are opened."""
LONGEST_GAP_S = 1.0
"""Seconds without a picture from which what follows is another scene."""
SAMPLES = 24
"""Pictures that are looked at before a film is read."""
BYTES_PER_PACKET = 4
"""A file holds at most one packet for so many bytes; a damaged one must not be read for ever."""


class Moment(NamedTuple):
    """A decoded picture and its time."""

    time_s: float
    frame: Any
    """A ``VideoFrame`` of PyAV, not yet converted."""


@dataclass
class Damage:
    """What did not decode, counted while a film is read."""

    packets: int = 0
    """Parts that did not decode."""
    gaps: int = 0
    """Times at which more than a second was missing."""
    pictures: int = 0
    """Pictures that decoded."""
    last_s: float = 0.0
    """Time of the last of them."""


class Film(NamedTuple):
    """What a first look at a film showed."""

    path: Path
    seconds: float
    """As the container says, or counted where it does not."""
    pictures: int
    """As the container says; 0 if it does not."""
    fps: float
    height: int
    width: int
    """Of the picture as it is shown, turned if the film says so."""
    bars: tuple[int, int, int, int]
    """What is no black bar: rows top, bottom and columns left, right."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a film; yields its container and video stream.

    Raises:
        FileError: if it is missing, no film, or has no pictures.
    """
    av = import_av()
    with open_regular(path) as (file, size):
        if not size:
            raise FileError(path, "is empty: it has zero bytes")
        try:
            container = av.open(file, options={"format_whitelist": FORMATS}, metadata_errors="replace")
        except (av.FFmpegError, ValueError, OSError) as error:
            raise FileError(path, f"is no film that can be opened ({_short(error)})") from None
        with container:
            streams = [s for s in container.streams.video if not (s.disposition & av.stream.Disposition.attached_pic)]
            if not streams:
                raise FileError(path, "has no pictures, only sound" if container.streams.audio else "has no pictures")
            stream = streams[0]
            if stream.codec_context is None:
                raise FileError(path, "holds pictures of a kind that cannot be decoded here")
            stream.thread_type = "AUTO"
            # Errors are reported instead of covered by what the picture was before.
            stream.codec_context.options = {"err_detect": "+explode", "max_pixels": str(MOST_PIXELS)}
            yield container, stream


def moments(path: Path, damage: Damage, start_s: float = 0.0) -> Iterator[Moment | None]:
    """Pictures of a film in their order; None stands where some are missing.

    Args:
        path: of the film.
        damage: counts what does not decode.
        start_s: time at which to begin, or a little before.

    Raises:
        FileError: as :func:`opened`.
    """
    av = import_av()
    with opened(path) as (container, stream):
        if start_s > 0:
            container.seek(int(start_s / stream.time_base), stream=stream)
        clock = _Clock(stream)
        for packets in _decoded(container, stream, path.stat().st_size, damage, av):
            if packets is None:
                yield None
                continue
            for frame in packets:
                moment = clock.moment(frame)
                if moment is None:
                    continue
                if clock.jumped:
                    damage.gaps += 1
                    yield None
                damage.pictures, damage.last_s = damage.pictures + 1, moment.time_s
                yield moment


class _Clock:
    """Times of pictures that only grow; a jump starts another scene."""

    def __init__(self, stream: Any) -> None:
        self._period = 1 / _rate(stream)
        self._last: float | None = None
        self._size: tuple[int, int] | None = None
        self.jumped = False

    def moment(self, frame: Any) -> Moment | None:
        time_s = frame.time if frame.time is not None else (self._last or 0.0) + self._period
        size = (frame.width, frame.height)
        self._size = self._size or size
        if size != self._size or frame.is_corrupt:
            return None
        gap = 0.0 if self._last is None else time_s - self._last
        if self._last is not None and -LONGEST_GAP_S < gap <= 0:
            return None
        self.jumped = abs(gap) > max(LONGEST_GAP_S, 3 * self._period)
        self._last = time_s
        return Moment(time_s, frame)


def _decoded(container: Any, stream: Any, size: int, damage: Damage, av: Any) -> Iterator[list[Any] | None]:
    """Pictures packet by packet; None after an error, from which the next whole picture goes on."""
    waiting, count = False, 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, ValueError, OSError):
            damage.packets += 1
            return
        count += 1
        if count > size // BYTES_PER_PACKET + 1000:
            damage.packets += 1
            return
        if waiting and not (packet.is_keyframe or packet.dts is None):
            continue
        waiting = False
        try:
            frames = packet.decode()
        except EOFError:
            return
        except (av.FFmpegError, ValueError, MemoryError):
            damage.packets += 1
            waiting = True
            stream.codec_context.flush_buffers()
            yield None
            continue
        yield frames


def look(path: Path) -> Film:
    """Look at some pictures of a film, spread over its length.

    Raises:
        FileError: if it is no film, nothing in it decodes, it is one still picture, or its numbers are no film's.
    """
    av = import_av()
    with opened(path) as (container, stream):
        seconds = _seconds(container, stream)
        fps, claimed = _rate(stream), max(0, stream.frames or 0)
        bars = _Bars()
        times = [seconds * (index + 0.5) / SAMPLES for index in range(SAMPLES)] if seconds > 2 else []
        for time_s in [0.0, *times]:
            with contextlib.suppress(av.FFmpegError, ValueError, OSError):
                if time_s:
                    container.seek(int(time_s / stream.time_base), stream=stream)
                bars.add(_first(container, stream))
        if bars.size is None:
            raise FileError(path, "holds no picture that can be decoded")
        height, width = bars.size
    if seconds <= 0 or seconds * fps < 32:
        counted = _count(path)
        if counted.pictures < 2:
            raise FileError(path, "is one still picture, not a film")
        seconds = counted.seconds
        fps = counted.pictures / seconds if 0 < seconds * fps < 0.5 * counted.pictures else fps
    return Film(path, seconds, claimed, fps, height, width, bars.kept())


class _Counted(NamedTuple):
    pictures: int
    seconds: float


def _count(path: Path) -> _Counted:
    """Pictures and seconds of a film whose container says neither, or little."""
    pictures, first, last = 0, None, 0.0
    for moment in moments(path, Damage()):
        if moment is not None:
            pictures += 1
            first, last = (moment.time_s if first is None else first), moment.time_s
    span = last - (first or 0.0)
    return _Counted(pictures, span * pictures / max(1, pictures - 1))


def _first(container: Any, stream: Any) -> np.ndarray:
    """The next picture that decodes, uint8 [H, W, 3]."""
    for packet in container.demux(stream):
        for frame in packet.decode():
            return turned(frame.to_ndarray(format="rgb24"), frame.rotation)
    raise ValueError("no picture")


def turned(picture_HWC: np.ndarray, degrees: int) -> np.ndarray:
    """A picture turned as its film asks for: by whole quarters, against the clock."""
    quarters = round(degrees / 90) % 4
    return np.ascontiguousarray(np.rot90(picture_HWC, quarters)) if quarters else picture_HWC


class _Bars:
    """Black bars at the edges of a film: rows and columns that are dark in every picture."""

    DARK_MEAN, DARK_MAX = 12, 40
    """Brightness of a row up to which it may belong to a bar: its mean and its brightest pixel."""
    LEAST = 0.02
    """Share of the edge from which a dark margin is a bar."""

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self._lit: list[np.ndarray] = []

    def add(self, picture_HWC: np.ndarray) -> None:
        if self.size is None:
            self.size = picture_HWC.shape[:2]
            self._lit = [np.zeros(length, bool) for length in self.size]
        if picture_HWC.shape[:2] != self.size:
            return
        bright_HW = picture_HWC.max(-1)
        for axis, lit in enumerate(self._lit):
            lit |= (bright_HW.mean(1 - axis) > self.DARK_MEAN) | (bright_HW.max(1 - axis) > self.DARK_MAX)

    def kept(self) -> tuple[int, int, int, int]:
        """Rows and columns between the bars; everything where nothing is lit."""
        assert self.size is not None
        edges: list[int] = []
        for length, lit in zip(self.size, self._lit, strict=True):
            where = np.flatnonzero(lit)
            first, last = (int(where[0]), int(where[-1]) + 1) if len(where) else (0, length)
            least = max(2, round(self.LEAST * length))
            edges += [first if first >= least else 0, last if length - last >= least else length]
        return edges[0], edges[1], edges[2], edges[3]


def _seconds(container: Any, stream: Any) -> float:
    """What the container says, if that is a number that a film may have; else 0."""
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (container.duration or 0) / 1e6
    return seconds if 0 < seconds < 1e7 else 0.0


def _rate(stream: Any) -> float:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate is not None and 0.01 <= float(rate) <= 1000:
            return float(rate)
    return 25.0


def _short(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0][:200] if text else type(error).__name__
