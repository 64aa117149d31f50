"""A film is opened safely, turned and measured; what does not decode is left out and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genie_env.files.errors import FileError
from tests.helpers.films import DAMAGES, damaged, scene, write_film, write_gif, write_sound
from training.sources.film import Damage, look, moments, turned


def read(path: Path) -> tuple[list[np.ndarray], list[float], Damage, int]:
    """Pictures as shown, their times, what was damaged, and how often the film broke off."""
    damage, pictures, times, breaks = Damage(), [], [], 0
    for moment in moments(path, damage):
        if moment is None:
            breaks += 1
        else:
            pictures.append(turned(moment.frame.to_ndarray(format="rgb24"), moment.frame.rotation))
            times.append(moment.time_s)
    return pictures, times, damage, breaks


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_a_turned_film_is_shown_upright(tmp_path: Path, rotation: int) -> None:
    frames = scene(40)[:, :64]
    path = write_film(tmp_path / "a.mp4", frames, rotation=rotation)
    film, (pictures, _, _, _) = look(path), read(path)
    assert (film.height, film.width) == (64, 96)
    assert np.abs(pictures[0].astype(int) - frames[0]).mean() < 6


@pytest.mark.parametrize(
    ("ending", "codec"), [("mkv", "mpeg4"), ("webm", "libvpx-vp9"), ("avi", "mpeg4"), ("mp4", "libx264")]
)
def test_length_and_rate_are_those_of_the_film(tmp_path: Path, ending: str, codec: str) -> None:
    film = look(write_film(tmp_path / f"a.{ending}", scene(90), fps=30, codec=codec))
    assert film.seconds == pytest.approx(3, abs=0.1) and film.fps == pytest.approx(30, abs=0.1)


def test_a_gif_is_a_film(tmp_path: Path) -> None:
    film = look(write_gif(tmp_path / "a.gif", scene(30), 10))
    assert film.seconds == pytest.approx(3, abs=0.2) and film.fps == pytest.approx(10, abs=0.1)


def test_black_bars_are_measured_and_dark_scenes_are_not_cut(tmp_path: Path) -> None:
    frames = np.zeros((60, 128, 96, 3), np.uint8)
    frames[:, 16:112, 8:] = scene(60)[:, :, :88]
    film = look(write_film(tmp_path / "a.mp4", frames))
    assert np.abs(np.subtract(film.bars, (16, 112, 8, 96))).max() <= 2
    night = look(write_film(tmp_path / "b.mp4", np.zeros_like(frames)))
    assert night.bars == (0, 128, 0, 96)


def test_damage_is_left_out_and_the_film_goes_on_at_the_next_whole_picture(tmp_path: Path) -> None:
    frames = scene(120)
    data = bytearray(write_film(tmp_path / "a.mkv", frames, options={"g": "20"}).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 60] = bytes(60)
    (tmp_path / "b.mkv").write_bytes(data)
    pictures, times, damage, breaks = read(tmp_path / "b.mkv")
    assert breaks >= 1 and damage.packets + damage.gaps >= 1
    assert 60 < len(pictures) < 120 and times[-1] > 7.5
    for picture, time_s in zip(pictures, times, strict=True):
        assert np.abs(picture.astype(int) - frames[round(time_s * 15)]).mean() < 8


@pytest.mark.parametrize("kind", DAMAGES)
def test_reading_a_damaged_film_ends_in_an_error_that_names_it_or_in_pictures(tmp_path: Path, kind: str) -> None:
    good = write_film(tmp_path / "a.mkv", scene(60)).read_bytes()
    rng = np.random.default_rng(1)
    for index in range(8):
        path = tmp_path / f"{index}.mkv"
        path.write_bytes(damaged(good, kind, rng))
        try:
            assert look(path).height and len(read(path)[0]) <= 60
        except FileError as error:
            assert path.name in str(error)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "zero bytes"),
        (lambda path: path.write_text("a text"), "no film"),
        (lambda path: write_sound(path), "only sound"),
        (lambda path: write_film(path, scene(1)), "one still picture"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: None, "missing"),
        (lambda path: path.write_text("#EXTM3U\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n"), "no film"),
        (lambda path: path.write_text("ffconcat version 1.0\nfile /etc/passwd\n"), "no film"),
    ],
)
def test_what_is_no_film_is_refused_in_one_line(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "a.mp4"
    make(path)
    with pytest.raises(FileError, match=message):
        look(path)
