from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from genie_env.files.atomic import whole_file
from genie_env.files.video import GIF_FRAMES, FilmWriter, Mp4Writer, write_gif, write_mp4, write_png
from genie_env.frames import upscale

PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)


def sprite_frames(num: int, height: int = 24, width: int = 16, colours: int = 256) -> np.ndarray:
    index = np.random.default_rng(1).integers(0, colours, (num, height, width))
    return PALETTE[index]


def smooth_frames(num: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Gradients: what a lossy video keeps nearly exactly, different in every frame."""
    y, x, t = np.meshgrid(np.arange(height), np.arange(width), np.arange(num), indexing="ij")
    grey = (60 + 2 * y + x + 10 * t).clip(0, 255).astype(np.uint8)
    return np.repeat(grey.transpose(2, 0, 1)[..., None], 3, axis=-1)


def read_gif(path: Path) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(path) as image:
        pairs = [(np.asarray(f.convert("RGB")), int(f.info["duration"])) for f in ImageSequence.Iterator(image)]
    return [frame for frame, _ in pairs], [duration for _, duration in pairs]


def read_mp4(path: Path) -> tuple[list[np.ndarray], float, float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.average_rate and stream.duration and stream.time_base
        return frames, float(stream.average_rate), float(stream.duration * stream.time_base)


@pytest.mark.parametrize("colours", [2, 255, 256])
def test_gif_of_sprites_decodes_to_the_same_pixels(tmp_path: Path, colours: int) -> None:
    frames_THWC = sprite_frames(7, colours=colours)
    write_gif(tmp_path / "a.gif", frames_THWC, fps=15, scale=3)
    decoded, _ = read_gif(tmp_path / "a.gif")
    assert np.array_equal(np.stack(decoded), upscale(frames_THWC, 3))


def test_gif_of_many_colours_has_every_frame_at_its_size(tmp_path: Path) -> None:
    frames_THWC = np.random.default_rng(2).integers(0, 256, (5, 40, 30, 3), dtype=np.uint8)
    write_gif(tmp_path / "a.gif", iter(frames_THWC), fps=10, scale=2)
    decoded, _ = read_gif(tmp_path / "a.gif")
    assert [frame.shape for frame in decoded] == [(80, 60, 3)] * 5


@pytest.mark.parametrize("fps", [7.0, 15.0, 30.0, 60.0])
def test_gif_lasts_as_long_as_its_frames_however_they_repeat(tmp_path: Path, fps: float) -> None:
    frames_THWC = sprite_frames(20)[np.arange(100) // 5]
    write_gif(tmp_path / "a.gif", frames_THWC, fps)
    decoded, durations = read_gif(tmp_path / "a.gif")
    assert len(decoded) == 20
    assert abs(sum(durations) - 100_000 / min(fps, 50)) <= 10


def test_gif_of_one_frame_is_a_gif(tmp_path: Path) -> None:
    write_gif(tmp_path / "a.gif", sprite_frames(1), 15)
    assert len(read_gif(tmp_path / "a.gif")[0]) == 1


def test_mp4_decodes_to_the_frames_that_went_in(tmp_path: Path) -> None:
    frames_THWC = smooth_frames(12)
    write_mp4(tmp_path / "a.mp4", frames_THWC, fps=15, scale=4)
    decoded, fps, seconds = read_mp4(tmp_path / "a.mp4")
    assert np.stack(decoded).shape == (12, 128, 192, 3)
    assert fps == 15 and seconds == pytest.approx(12 / 15)
    assert np.abs(np.stack(decoded).astype(int) - upscale(frames_THWC, 4)).mean() < 3


def test_mp4_of_odd_size_grows_by_one_pixel(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", smooth_frames(3, 33, 47), fps=7.5)
    decoded, fps, _ = read_mp4(tmp_path / "a.mp4")
    assert [frame.shape for frame in decoded] == [(34, 48, 3)] * 3 and fps == 7.5


@pytest.mark.parametrize("write", [write_gif, write_mp4])
def test_video_is_whole_or_absent(tmp_path: Path, write: type) -> None:
    def breaking() -> Iterator[np.ndarray]:
        yield from sprite_frames(3)
        raise RuntimeError("the game crashed")

    path = tmp_path / "a.video"
    path.write_bytes(b"of an earlier run")
    with pytest.raises(RuntimeError, match="crashed"):
        write(path, breaking(), 15)
    assert [p.name for p in tmp_path.iterdir()] == ["a.video"] and path.read_bytes() == b"of an earlier run"


@pytest.mark.parametrize("write", [write_gif, write_mp4])
@pytest.mark.parametrize(
    ("frames", "fps", "scale", "message"),
    [
        ([], 15, 1, "expected"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)], 15, 1, "uint8 frames"),
        ([np.zeros((4, 4, 3))], 15, 1, "uint8 frames"),
        ([np.zeros((4, 4, 1), np.uint8)], 15, 1, "uint8 frames"),
        ([np.zeros((4, 4, 3), np.uint8)], 0, 1, "fps"),
        ([np.zeros((4, 4, 3), np.uint8)], float("nan"), 1, "fps"),
        ([np.zeros((4, 4, 3), np.uint8)], 15, 0, "scale"),
    ],
)
def test_bad_video_input_is_named_and_leaves_nothing(
    tmp_path: Path, write: type, frames: list[np.ndarray], fps: float, scale: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "a.video", frames, fps, scale)
    assert list(tmp_path.iterdir()) == []


def test_missing_pyav_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"genie-env\[video\]"):
        Mp4Writer(tmp_path / "a.mp4", 15)
    recorder = FilmWriter(tmp_path / "film", 15, 1)
    recorder.add(sprite_frames(1)[0])
    assert recorder.close() == [tmp_path / "film.gif"]


def test_recorder_films_everything_and_animates_the_end(tmp_path: Path) -> None:
    frames_THWC = sprite_frames(GIF_FRAMES + 20, 8, 8)
    recorder = FilmWriter(tmp_path / "film", 15, 2)
    for frame_HWC in frames_THWC:
        recorder.add(frame_HWC)
    assert recorder.close() == [tmp_path / "film.mp4", tmp_path / "film.gif"]
    assert len(read_mp4(tmp_path / "film.mp4")[0]) == len(frames_THWC)
    decoded, _ = read_gif(tmp_path / "film.gif")
    assert np.array_equal(np.stack(decoded), upscale(frames_THWC[-GIF_FRAMES:], 2))
    assert FilmWriter(tmp_path / "empty", 15, 2).close() == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.gif", "film.mp4"]


def test_png_and_any_other_file_are_whole_or_absent(tmp_path: Path) -> None:
    write_png(tmp_path / "new" / "a.png", sprite_frames(1)[0])
    with Image.open(tmp_path / "new" / "a.png") as image:
        assert np.array_equal(np.asarray(image), sprite_frames(1)[0])
    with pytest.raises(RuntimeError), whole_file(tmp_path / "b") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["new"]
