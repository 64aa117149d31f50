"""Films made for tests: a small scene that moves all the time, encoded in many ways, whole and damaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = 96
TICKS = 6000
"""Ticks of a second; every rate used here divides them."""


def scene(count: int, seed: int = 0, size: int = SIZE) -> np.ndarray:
    """uint8 [count, size, size, 3]: three squares that move over stripes, every one at its own speed."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(60, 200, (size // 16, size // 16, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    frames = np.repeat(ground[None], count, 0)
    for _ in range(3):
        colour, step, row = rng.integers(120, 255, 3), int(rng.integers(1, 4)), int(rng.integers(0, size - 12))
        start = int(rng.integers(0, size))
        for t in range(count):
            left = (start + step * t) % (size - 12)
            frames[t, row : row + 12, left : left + 12] = colour
    return frames


def write_film(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    fps: float = 15,
    codec: str = "libx264",
    times: Sequence[float] | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    sound: bool = False,
) -> Path:
    """Encode uint8 pictures [H, W, 3].

    Args:
        times: seconds at which each picture is shown; the default is even.
        rotation: degrees by which a player must turn the pictures; they are stored turned the other way.
    """
    rate = Fraction(fps).limit_denominator(1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        voice = container.add_stream("aac", rate=16000) if sound else None
        # AVI has no times of its own: with fine ones it would be full of empty pictures.
        ticks = Fraction(1, TICKS) if path.suffix != ".avi" else 1 / rate
        stream.pix_fmt, stream.time_base = pix_fmt, ticks
        stream.codec_context.time_base = ticks
        for index, picture in enumerate(frames):
            stored = np.ascontiguousarray(np.rot90(picture, -rotation // 90))
            if not index:
                stream.height, stream.width = stored.shape[:2]
                if rotation:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            time_s = index / fps if times is None else times[index]
            frame.pts, frame.time_base = round(time_s / ticks), ticks
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            _hum(container, voice)
    return path


def write_sound(path: Path) -> Path:
    """A second of sound without pictures."""
    with av.open(str(path), "w") as container:
        _hum(container, container.add_stream("aac", rate=16000))
    return path


def write_gif(path: Path, frames: np.ndarray, fps: float) -> Path:
    """A GIF in 256 colours."""
    from PIL import Image

    images = [Image.fromarray(frame).quantize(64) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0)
    return path


def _hum(container: av.container.OutputContainer, stream: av.AudioStream) -> None:
    for index in range(16):
        wave = (np.sin(np.arange(1024) * 0.1) * 8000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16000, index * 1024
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def damaged(good: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """What is left of a film after an accident of some ``kind`` of :data:`DAMAGES`."""
    if kind == "cut":
        return good[: int(rng.integers(1, len(good) * 3 // 4))]
    if kind == "flipped":
        data = bytearray(good)
        for place in rng.integers(len(good) // 10, len(good), max(40, len(good) // 500)):
            data[place] ^= 1 << int(rng.integers(8))
        return bytes(data)
    if kind == "text":
        return b"this is no film\n" * int(rng.integers(1, 500))
    if kind == "noise":
        return rng.integers(0, 256, int(rng.integers(10, 20_000)), dtype=np.uint8).tobytes()
    return b""


DAMAGES = ("cut", "flipped", "text", "noise", "empty")
