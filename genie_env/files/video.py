"""Pictures and videos on disk: PNG, GIF and MP4, each file whole or absent.

Owns file formats and their timing. Knows nothing about games, windows or where frames come from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from genie_env.files.atomic import publish_file, temporary_file, whole_file
from genie_env.frames import upscale

GIF_FRAMES = 300


def write_png(path: Path | str, picture_HWC: np.ndarray) -> None:
    """Write a uint8 picture [H, W, 3]."""
    with whole_file(path) as temporary:
        Image.fromarray(picture_HWC).save(temporary, format="PNG")


def write_gif(path: Path | str, frames: Iterable[np.ndarray], fps: float, scale: int = 1) -> None:
    """Write an endless GIF. Exact where all frames together have at most 256 colours, as sprite games do.

    Equal neighbours are stored once and shown longer. A GIF counts in hundredths of a second; frames
    differ by one in length where ``fps`` asks for it, so that the whole is never off by more than that.

    Args:
        path: where to write.
        frames: uint8 [H, W, 3] each, of one size.
        fps: frames per second; more than 50 are shown as 50, the most that viewers support.
        scale: whole number by which to enlarge.

    Raises:
        ValueError: if there are no frames, they are no pictures of one size, or fps or scale is invalid.
    """
    _check_fps(fps)
    frames_THWC = _stack(frames)
    images = _shared_palette(frames_THWC, scale) or [Image.fromarray(upscale(f, scale)) for f in frames_THWC]
    period = max(100 / fps, 2.0)
    ends = [round((i + 1) * period) for i in range(len(images))]
    durations = [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]
    with whole_file(path) as temporary:
        images[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=durations,
            loop=0,
            disposal=1,
        )


def write_mp4(path: Path | str, frames: Iterable[np.ndarray], fps: float, scale: int = 1) -> None:
    """Write an H.264 video. Frames are taken one at a time; an odd height or width grows by one pixel.

    Raises:
        ImportError: without PyAV.
        ValueError: as :func:`write_gif`.
    """
    with Mp4Writer(path, fps, scale) as writer:
        for frame in frames:
            writer.add(frame)


class Mp4Writer:
    """Writes a video while its frames are still being made; leaving the ``with`` block finishes the file."""

    def __init__(self, path: Path | str, fps: float, scale: int = 1) -> None:
        """Prepare; the arguments and errors are those of :func:`write_mp4`."""
        _check_fps(fps)
        self._av = import_av()
        self._path, self._rate, self._scale = Path(path), Fraction(fps).limit_denominator(1001), scale
        self._container: Any = None
        self._stream: Any = None
        self._shape: tuple[int, ...] = ()

    def add(self, frame_HWC: np.ndarray) -> None:
        """Append a uint8 frame [H, W, 3] of the size of the first one."""
        self._shape = self._shape or frame_HWC.shape
        if frame_HWC.dtype != np.uint8 or frame_HWC.shape != self._shape or frame_HWC.shape[2:] != (3,):
            raise ValueError(
                f"expected uint8 frames {list(self._shape[:2])} with 3 colours, got "
                f"{frame_HWC.dtype} {list(frame_HWC.shape)}"
            )
        picture = upscale(frame_HWC, self._scale)
        # H.264 halves the resolution of colour and so wants even sizes.
        picture = np.pad(picture, [(0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)], mode="edge")
        container = self._container or self._open(picture.shape[0], picture.shape[1])
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file.

        Raises:
            ValueError: if it got no frame; there is no file then.
        """
        if self._container is None:
            raise ValueError("expected at least one frame, got none")
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            publish_file(self._path)
        finally:
            temporary_file(self._path).unlink(missing_ok=True)

    def abort(self) -> None:
        """Leave no file."""
        if self._container is not None:
            self._container.close()
        temporary_file(self._path).unlink(missing_ok=True)

    def _open(self, height: int, width: int) -> Any:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._container = self._av.open(str(temporary_file(self._path)), "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=self._rate, options={"crf": "18"})
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
        return self._container

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the file, or remove it after an error."""
        if error is None:
            self.close()
        else:
            self.abort()


class FilmWriter:
    """A film in the making: an MP4 of everything (with PyAV) and a GIF of the last frames, under one name."""

    def __init__(self, path: Path, fps: float, scale: int) -> None:
        """Begin; ``path`` has no suffix."""
        self.path, self.fps, self.scale = path, fps, scale
        self._recent: deque[np.ndarray] = deque(maxlen=GIF_FRAMES)
        try:
            self._mp4 = Mp4Writer(path.with_suffix(".mp4"), fps, scale)
        except ImportError:
            self._mp4 = None

    def add(self, frame_HWC: np.ndarray) -> None:
        """Append a uint8 frame [H, W, 3].

        Raises:
            OSError: if it cannot be written; no file is left then.
        """
        self._recent.append(frame_HWC.copy())
        if self._mp4 is not None:
            try:
                self._mp4.add(frame_HWC)
            except OSError:
                self._mp4.abort()
                raise

    def close(self) -> list[Path]:
        """Finish the files and return those that were written: none if no frame was added."""
        if not self._recent:
            return []
        written = []
        if self._mp4 is not None:
            self._mp4.close()
            written.append(self.path.with_suffix(".mp4"))
        gif = self.path.with_suffix(".gif")
        write_gif(gif, self._recent, self.fps, self.scale)
        return [*written, gif]


def import_av() -> ModuleType:
    """PyAV.

    Raises:
        ImportError: if it is missing; the message says which extra brings it.
    """
    try:
        import av
    except ImportError as error:
        raise ImportError("films need PyAV: pip install 'genie-env[video]'") from error
    return av


def _check_fps(fps: float) -> None:
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps: expected a number > 0, got {fps!r}")


def _stack(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Frames of one size as one array [T, H, W, 3]."""
    listed = list(frames)
    shapes = {(frame.dtype.name, *frame.shape) for frame in listed}
    if len(shapes) != 1 or (shape := next(iter(shapes)))[0] != "uint8" or len(shape) != 4 or shape[3] != 3:
        raise ValueError(f"expected uint8 frames [H, W, 3] of one size, got {sorted(shapes) or 'none'}")
    return np.stack(listed)


def _shared_palette(frames_THWC: np.ndarray, scale: int) -> list[Image.Image] | None:
    """Paletted images of all frames in their own colours, or None if they have more than a GIF can hold."""
    packed_THW = frames_THWC.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, index = np.unique(packed_THW, return_inverse=True)
    if len(colours) > 256:
        return None
    palette = np.stack([colours >> 16 & 255, colours >> 8 & 255, colours & 255], axis=-1).astype(np.uint8)
    index_THW1 = index.reshape(*packed_THW.shape, 1).astype(np.uint8)
    images = []
    for index_HW1 in index_THW1:
        image = Image.fromarray(upscale(index_HW1, scale)[..., 0])
        image.putpalette(palette.tobytes())
        images.append(image)
    return images
