"""The command reports what it used and left out, and refuses what cannot become a recording in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genie_env.data.episodes import EpisodeStore
from tests.helpers.films import scene, write_film
from tests.helpers.paths import ROOT
from training.import_frames import ImportConfig, import_frames
from training.sources import reader


def test_the_report_names_what_was_used_and_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LEAST_FRAMES", 100)
    films = tmp_path / "films"
    films.mkdir()
    write_film(films / "a.mp4", [*scene(90, 0), *scene(90, 1)])
    (films / "notes.txt").write_text("no film")
    import_frames(ImportConfig(str(films), tmp_path / "data", image_size=32))
    printed = capsys.readouterr().out
    for text in ("used: 1", "a.mp4: 12.0 of 12.0 s, 96x96 at 15/s, 1 cuts", "left out: 1", "notes.txt: is no film"):
        assert text in printed
    store = EpisodeStore(tmp_path / "data")
    assert store.manifest.source.image_size == 32
    assert store.manifest.settings == {"imported": "film", "files": "films", "fps": 15.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "nowhere.mp4"}, "nothing of that name"),
        ({"image_size": 60}, "multiple of 8"),
        ({"fps": -1.0}, "fps: expected"),
        ({"action_codes": 1}, "action_codes: expected 2 to 64"),
        ({"source": "minari:none/none-v0"}, "minari download"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_frames(ImportConfig(**{"source": str(tmp_path), "out": tmp_path / "data", **changes}))


def test_a_short_film_is_one_line_of_error(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", scene(60))
    command = [sys.executable, "-m", "training.import_frames", str(path), "--out", str(tmp_path / "data")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "67 seconds at 15 frames a second, got 60, 4.0 seconds" in done.stderr
    assert done.stderr.count("\n") == 1 and [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_an_import_never_clears_another_recording_away_that_was_begun(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (1200, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "play.npz", frames=frames)
    begun = tmp_path / "data.partial" / "00000.frames.npy"
    begun.parent.mkdir()
    begun.write_bytes(b"hours of play")
    (begun.parent / "settings.json").write_text('{"source": {}, "settings": {}}')
    with pytest.raises(ValueError, match=r"data\.partial holds a recording with other settings"):
        import_frames(ImportConfig(str(tmp_path / "play.npz"), tmp_path / "data"))
    assert begun.read_bytes() == b"hours of play"
