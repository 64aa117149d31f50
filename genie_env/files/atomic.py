"""Files and folders that appear whole or not at all, and folders in which one process works at a time.

What is being written lies beside its place under another name: a file as ``.<name>.partial``, a folder as
``<name>.partial``. A folder that is replaced steps aside as ``.<name>.old`` and is deleted last, so that a kill at
any moment leaves a whole one; :func:`recover_folder` gives it its name back.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from genie_env.files.errors import FileError
from genie_env.files.reading import read_json as read_json

LOCK = ".lock"
BEGUN = "settings.json"
"""File in a partial folder of which a later call goes on, as of a recording: it is never cleared away."""


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; it becomes ``path`` at the end, or vanishes after an error.

    Raises:
        OSError: if it cannot be written, on a full disk for example; names ``path``, where the old file stays.
    """
    path = Path(path)
    temporary = temporary_file(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        publish_file(path)
    except OSError as error:
        raise _named(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish_file(path: Path) -> None:
    """Give the finished file at :func:`temporary_file` its name ``path``; an older one is replaced."""
    temporary = temporary_file(path)
    _flush(temporary)
    temporary.replace(path)
    _flush(path.parent)


@contextmanager
def whole_folder(path: Path | str, replace: bool = False, mark: str | None = None) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; it becomes ``path`` at the end, or vanishes after an error.

    Args:
        path: of the folder.
        replace: whether an existing one may be replaced; it stays whole until the new one is.
        mark: file by which one that may be replaced is known; a folder named by mistake is not deleted.

    Raises:
        ValueError: if ``path`` exists and may not be replaced, another process is writing it, or something was begun
            there that can be finished.
        OSError: if it cannot be written; names ``path``, where the old folder stays.
    """
    path = Path(path)
    partial = partial_folder(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _hold(_lock_beside(path), path):
            _recover(path)
            refuse_existing(path, replace)
            if mark is not None:
                refuse_foreign(path, mark)
            if (partial / BEGUN).exists():
                raise ValueError(
                    f"{partial}: was begun and not finished; finish or remove it, or choose another folder"
                )
            remove_folder(partial)
            try:
                partial.mkdir()
                yield partial
                publish_folder(partial, path, replace)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except OSError as error:
        raise _named(error, path) from error


def refuse_existing(path: Path, replace: bool = False) -> None:
    """Do nothing if ``path`` is free or may be replaced.

    Raises:
        ValueError: if something lies there.
    """
    if os.path.lexists(path) and not replace:
        raise ValueError(f"{path} exists already; choose another folder or remove it")


def refuse_foreign(path: Path, mark: str) -> None:
    """Do nothing if ``path`` is free, empty, or a folder of the kind that has the file ``mark``.

    Raises:
        ValueError: if something else lies there.
    """
    if not os.path.lexists(path) or (path / mark).is_file() or (path.is_dir() and not any(path.iterdir())):
        return
    raise ValueError(f"{path}: is not replaced: it has no {mark}, so it is something else; choose another folder")


def publish_folder(partial: Path, path: Path, replace: bool = False) -> None:
    """Give the finished folder ``partial`` its name ``path``; an older one is deleted last.

    Raises:
        ValueError: if ``path`` exists and may not be replaced.
        OSError: if a folder cannot be renamed; one of the two is then whole at ``path`` or recoverable.
    """
    refuse_existing(path, replace)
    for file in partial.rglob("*"):
        if file.is_file():
            _flush(file)
    old = _old(path)
    if os.path.lexists(path):
        path.rename(old)
    partial.rename(path)
    _flush(path.parent)
    remove_folder(old)


def recover_folder(path: Path | str) -> None:
    """Give a folder its name back that stepped aside for a replacement which was killed before it was in place.

    Raises:
        FileError: if it cannot be renamed, as on a disk that cannot be written.
        ValueError: if another process is still writing the replacement, and does not end.
    """
    path = Path(path)
    if os.path.lexists(path) or not os.path.isdir(_old(path)):
        return
    try:
        # A process that is alive is between two renames and holds the lock: the folder is there in a moment.
        with _hold(_lock_beside(path), path, patience_s=10.0):
            _recover(path)
    except OSError as error:
        raise FileError(
            path, f"its replacement was interrupted; give {_old(path)} this name ({error.strerror})"
        ) from None


def _recover(path: Path) -> None:
    old = _old(path)
    if old.is_dir() and not os.path.lexists(path):
        old.rename(path)
    elif old.is_dir():
        remove_folder(old)


def require_writable(path: Path) -> None:
    """Find out before long work whether a file or folder can be written in its place; nothing is left there.

    Raises:
        OSError: if it cannot; names ``path``.
    """
    path = Path(os.path.abspath(path))
    made: list[Path] = []
    try:
        for folder in reversed(path.parents):
            if not folder.exists():
                folder.mkdir()
                made.append(folder)
        temporary = temporary_file(path)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise OSError(error.errno or errno.EIO, f"cannot be written ({error.strerror or error})", str(path)) from None
    finally:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()


def remove_folder(path: Path) -> None:
    """Delete a folder with all that is in it, or a file or link in its place; nothing may be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write text in UTF-8, whatever the locale says, so that the file is whole or absent."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path | str, data: Any) -> None:
    """Write JSON so that the file is whole or absent."""
    write_text(path, json.dumps(data, indent=1))


def claim_folder(stamp: Path, settings: dict[str, Any]) -> None:
    """Make the stamp's folder a run with these settings, or find that it is one.

    Args:
        stamp: JSON file in the folder of a run.
        settings: JSON-plain; everything that a run cannot change when it goes on.

    Raises:
        FileError: if the stamp cannot be read.
        ValueError: if a run with other settings lies there.
    """
    wanted = json.loads(json.dumps(settings))
    if stamp.exists():
        before = read_json(stamp, "the settings of a run")
        if not isinstance(before, dict):
            raise FileError(stamp, f"expected the settings of a run, got {type(before).__name__}")
        changed = sorted(k for k in {*before, *wanted} if before.get(k) != wanted.get(k))
        if changed:
            raise ValueError(f"{stamp.parent} holds a run with other {changed}; use another --out or remove it")
    write_json(stamp, wanted)


@contextmanager
def hold_folder(folder: Path | str) -> Iterator[None]:
    """Work in a folder alone; it is made if it is missing, and free again when the process ends, however it ends.

    Raises:
        ValueError: if another process, or this one, holds it already; says who.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the folder: whoever holds it may give it another name.
    with _hold(_lock_beside(folder), folder):
        yield


def sweep(folder: Path | str) -> list[Path]:
    """Remove what a killed process left in a folder that the caller holds; unfinished recordings stay.

    Returns:
        what was removed: temporary files, and old folders whose replacement is whole.
    """
    removed = []
    for path in sorted(Path(folder).glob(".*")):
        is_file = path.suffix == ".partial" and path.is_file()
        if is_file or (path.suffix == ".old" and path.is_dir() and path.with_name(path.stem[1:]).is_dir()):
            remove_folder(path)
            removed.append(path)
    return removed


def temporary_file(path: Path) -> Path:
    """Where the content of ``path`` lies until it is whole."""
    return path.with_name(f".{path.name}.partial")


def partial_folder(path: Path) -> Path:
    """Where a folder lies until it is whole."""
    return _beside(path, "{}.partial")


def _old(path: Path) -> Path:
    return _beside(path, ".{}.old")


def _lock_beside(path: Path) -> Path:
    return _beside(path, ".{}" + LOCK)


def _beside(path: Path, name: str) -> Path:
    """A path in the same folder, also where ``path`` ends in dots."""
    whole = Path(os.path.abspath(path))
    return whole.with_name(name.format(whole.name))


@contextmanager
def _hold(lock_path: Path, what: Path, patience_s: float = 0.0) -> Iterator[None]:
    from filelock import FileLock, Timeout

    holder = lock_path.with_name(lock_path.name + ".holder")
    lock = FileLock(lock_path, timeout=patience_s, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"{what}: is in use by {_read_holder(holder)}; wait until it ends, or use another") from None
    try:
        write_text(holder, f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        yield
    finally:
        # While the lock is held, or another process might hold the file that is removed.
        for path in (holder, lock_path):
            with suppress(OSError):
                path.unlink()
        lock.release()


def _read_holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()[:200] or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk, or a name could outlive its content in a power cut."""
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _named(error: OSError, path: Path) -> OSError:
    """The same error with the path that it is about, where it names none."""
    if error.filename is not None:
        return error
    return OSError(error.errno or errno.EIO, f"cannot be written ({error.strerror or error})", str(path))
