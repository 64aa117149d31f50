"""Files and folders are whole at every moment, whoever is killed, and belong to one process at a time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genie_env.files import atomic
from genie_env.files.atomic import (
    claim_folder,
    hold_folder,
    recover_folder,
    refuse_foreign,
    require_writable,
    sweep,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)
from genie_env.files.errors import FileError
from tests.helpers.disks import read_only, tiny_disk
from tests.helpers.kills import kills

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a child process at every step")


def make(folder: Path, content: str, replace: bool = False) -> None:
    with whole_folder(folder, replace) as partial:
        for name in ("a", "b"):
            (partial / name).write_text(content)


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@needs_fork
def test_folder_is_the_old_or_the_new_one_after_a_kill_at_any_step(tmp_path: Path) -> None:
    folder, found = tmp_path / "world", set()
    for step in kills(lambda: make(folder, "new", replace=True)):
        recover_folder(folder)
        if folder.exists():
            found.add(content(folder)["a"])
            assert content(folder) in ({"a": "old", "b": "old"}, {"a": "new", "b": "new"}), f"after {step} steps"
        make(folder, "old", replace=True)
        assert content(folder) == {"a": "old", "b": "old"}
        assert [path.name for path in tmp_path.iterdir()] == ["world"], f"after {step} steps"
    assert found == {"old", "new"} and content(folder) == {"a": "new", "b": "new"}


@needs_fork
def test_file_is_the_old_or_the_new_one_after_a_kill_at_any_step(tmp_path: Path) -> None:
    file, found = tmp_path / "file", set()
    write_text(file, "old")
    for _ in kills(lambda: write_text(file, "new")):
        found.add(file.read_text())
        write_text(file, "old")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert found == {"old", "new"}


def test_folder_that_stepped_aside_comes_back_when_it_is_next_asked_for(tmp_path: Path) -> None:
    make(tmp_path / "world", "old")
    (tmp_path / "world").rename(tmp_path / ".world.old")
    with pytest.raises(ValueError, match="exists already"):
        make(tmp_path / "world", "new")
    assert content(tmp_path / "world")["a"] == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_folders_of_a_persons_own_are_neither_taken_for_leftovers_nor_deleted(tmp_path: Path) -> None:
    make(tmp_path / "world.old", "mine")
    recover_folder(tmp_path / "world")
    assert not (tmp_path / "world").exists()
    for text in ("one", "two"):
        make(tmp_path / "world", text, replace=True)
    assert content(tmp_path / "world.old")["a"] == "mine"


def test_an_error_leaves_the_old_file_and_folder_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    make(tmp_path / "folder", "old")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(RuntimeError, match="midway"), whole_folder(tmp_path / "folder", replace=True) as partial:
        (partial / "a").write_text("half")
        raise RuntimeError("midway")
    assert (tmp_path / "file").read_text() == "old" and content(tmp_path / "folder")["a"] == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_existing_folder_is_not_replaced_unasked(tmp_path: Path) -> None:
    make(tmp_path / "folder", "old")
    with pytest.raises(ValueError, match=r"folder exists already; choose another"):
        make(tmp_path / "folder", "new")
    assert content(tmp_path / "folder")["a"] == "old"


def test_error_of_the_disk_names_the_file(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    for error in (OSError(errno.ENOSPC, "No space left on device"), OSError("12 requested and 0 written")):
        words = r"cannot be written.*(No space|requested).*file"
        with pytest.raises(OSError, match=words) as caught, whole_file(tmp_path / "file"):
            raise error
        assert caught.value.filename == str(tmp_path / "file") and "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "old"


def test_full_disk_keeps_the_old_file_and_folder_and_names_them(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk") as disk:
        write_text(disk / "file", "old")
        make(disk / "folder", "old")
        for write, name in ((write_text, "file"), (lambda path, text: make(path, text, True), "folder")):
            with pytest.raises(OSError, match="No space left on device") as caught:
                write(disk / name, "x" * 2_000_000)
            assert str(disk / name) in str(caught.value)
        assert (disk / "file").read_text() == "old" and content(disk / "folder")["a"] == "old"
        assert sorted(path.name for path in disk.iterdir()) == ["file", "folder"]


def test_text_and_json_are_utf8_in_any_locale(tmp_path: Path) -> None:
    code = (
        "import sys; from genie_env.files.atomic import write_text, write_json, read_json; folder = sys.argv[1]\n"
        "write_text(folder + '/card', '\\u0394 \\u2192 \\xfc\\n'); write_json(folder + '/json', {'\\u0394': '\\xfc'})\n"
        "assert read_json(folder + '/json') == {'\\u0394': '\\xfc'}\n"
    )
    locale = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    subprocess.run([sys.executable, "-c", code, tmp_path], env=locale, check=True)
    assert (tmp_path / "card").read_bytes() == "Δ → ü\n".encode()
    assert json.loads((tmp_path / "json").read_bytes()) == {"Δ": "ü"}


def test_run_with_other_settings_is_refused_and_what_changed_is_named(tmp_path: Path) -> None:
    stamp = tmp_path / "run" / "run.json"
    claim_folder(stamp, {"seed": 0, "sizes": (1, 2)})
    claim_folder(stamp, {"seed": 0, "sizes": (1, 2)})
    before = stamp.read_bytes()
    with pytest.raises(ValueError, match=r"run holds a run with other \['seed', 'width'\]"):
        claim_folder(stamp, {"seed": 1, "sizes": (1, 2), "width": 3})
    assert stamp.read_bytes() == before
    stamp.write_text("[]")
    with pytest.raises(FileError, match=r"run\.json: expected the settings of a run"):
        claim_folder(stamp, {})


def test_a_held_folder_is_refused_to_others_who_learn_who_holds_it(tmp_path: Path) -> None:
    code = "import sys; from genie_env.files.atomic import hold_folder\nwith hold_folder(sys.argv[1]): print('held')\n"

    def other() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)

    with hold_folder(tmp_path):
        refused = other()
        assert refused.returncode and f"{tmp_path}: is in use by process {os.getpid()} on " in refused.stderr
        with pytest.raises(ValueError, match=f"in use by process {os.getpid()}"), hold_folder(tmp_path):
            pass
    assert other().stdout == "held\n" and not list(tmp_path.iterdir())


@needs_fork
def test_a_held_folder_is_free_again_after_a_kill(tmp_path: Path) -> None:
    def work() -> None:
        with hold_folder(tmp_path):
            os._exit(9)

    for _ in kills(work):
        with hold_folder(tmp_path):
            pass
        assert not list(tmp_path.iterdir())
        break


def test_a_folder_that_is_being_written_is_refused_to_a_second_writer(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "folder") as partial:
        (partial / "a").write_text("first")
        with pytest.raises(ValueError, match="folder: is in use by process"):
            make(tmp_path / "folder", "second")
    assert content(tmp_path / "folder") == {"a": "first"}


def test_sweep_removes_leftovers_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.safetensors.partial").write_text("half")
    for name in ("world", ".world.old", ".lonely.old", "recording.partial", "mine.old"):
        (tmp_path / name).mkdir()
    for name in (".hidden", "file.partial", "checkpoint.safetensors"):
        (tmp_path / name).write_text("mine")
    removed = sweep(tmp_path)
    assert [path.name for path in removed] == [".checkpoint.safetensors.partial", ".world.old"]
    assert len(list(tmp_path.iterdir())) == 7


def test_folder_on_a_disk_that_cannot_be_written_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / ".world.old", "old")

    def refuse(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(atomic.Path, "rename", refuse)
    with pytest.raises(FileError, match=r"world: .*interrupted; give .*\.world\.old this name.*Read-only"):
        recover_folder(tmp_path / "world")


def test_json_of_numpy_or_of_anything_else_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "file", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "file", {"a": {1}})
    assert json.loads((tmp_path / "file").read_text()) == {"a": 1}


def test_folder_may_be_named_by_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "world", "old")
    monkeypatch.chdir(tmp_path / "world")
    recover_folder(".")
    for name in (".", "../world", "../world/."):
        with pytest.raises(ValueError, match="exists already"):
            make(Path(name), "new")


def test_whether_a_place_can_be_written_is_found_out_without_a_trace(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b" / "file")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file/inner"):
        require_writable(tmp_path / "file" / "inner")
    with read_only(tmp_path), pytest.raises(OSError, match="new"):
        require_writable(tmp_path / "new")


def test_what_was_begun_and_can_go_on_is_never_cleared_away(tmp_path: Path) -> None:
    begun = tmp_path / "made.partial" / "settings.json"
    begun.parent.mkdir()
    begun.write_text("{}")
    with pytest.raises(ValueError, match=r"made\.partial: was begun and not finished"), whole_folder(tmp_path / "made"):
        pass
    assert begun.exists()


def test_a_folder_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "free", "mark.json")
    (tmp_path / "empty").mkdir()
    refuse_foreign(tmp_path / "empty", "mark.json")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("x")
    with pytest.raises(ValueError, match=r"photos: is not replaced: it has no mark\.json"):
        refuse_foreign(tmp_path / "photos", "mark.json")
    (tmp_path / "photos" / "mark.json").write_text("{}")
    refuse_foreign(tmp_path / "photos", "mark.json")
