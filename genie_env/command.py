"""One behaviour for every command: flags from a dataclass, one line for an error, the shell's exit statuses.

Owns parsing, error lines and statuses; knows nothing of what a command does. A field annotated with
``tyro.conf.OmitArgPrefixes`` gives its own fields as flags without a prefix: ``--n-updates``, not ``--loop.n-updates``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, get_args

import gymnasium.error
import tyro

from genie_env.games.modules import import_games
from genie_env.packages import check_package

WRONG_INPUT = (ValueError, ImportError, OSError, gymnasium.error.Error)
"""What a user can mend; every other exception is a bug and keeps its traceback."""
MODULES = "``--module NAME`` imports a Python module first, which may register games, networks and recipes."
REFUSED = 2
"""Exit status after wrong input."""
KILLED = 128
"""Exit status, less the signal's number, of what a signal ended."""

# Windows has no SIGHUP.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Interrupted(KeyboardInterrupt):
    """A signal ended the work, which is saved; the message says how to go on. No ``except Exception`` catches it."""

    def __init__(self, message: str, signum: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signum = signum


def run(
    function: Callable[[Any], object],
    config_class: Any,
    *,
    description: str | None = None,
    prog: str | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Parse a command line, call ``function`` with the configuration and return the exit status.

    Every command takes ``--module NAME``, once or several times: the Python modules are imported before anything else,
    so that games, networks and recipes of one's own are known to it.

    Args:
        function: the command; what it returns is ignored.
        config_class: dataclass whose fields are the flags, or a union of dataclasses, one for each subcommand.
        description: head of ``--help``.
        prog: the program's name in help and errors; the default is how it was started.
        argv: arguments; the default is the command line's.

    Returns:
        0 when done; 2 after wrong input (:data:`WRONG_INPUT`), with one line on stderr; 130 on Ctrl-C, and 128 + the
        signal's number where the command was interrupted after it saved its work.

    Raises:
        SystemExit: with status 0 after ``--help``, 2 after flags that do not parse.
    """
    _print_what_the_console_can()
    name = prog or _started_as()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        check_package(name.partition(".")[0])
        arguments = _import_modules(arguments, keep="module" in _field_names(config_class))
        about = "\n\n".join(part for part in (description, MODULES) if part)
        config = tyro.cli(config_class, prog=name, description=about, args=arguments)
        with _stoppable():
            function(config)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has gone, as after `… | head`. Python flushes once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return KILLED + getattr(signal, "SIGPIPE", 13)
    except WRONG_INPUT as error:
        return _report(name, error)
    except RuntimeError as error:
        # Imported here: it imports torch, which --help and many errors do without.
        from genie_env.rollout.torch_runtime import CompileError

        if not isinstance(error, CompileError):
            raise
        return _report(name, error)
    except Interrupted as stopped:
        print(f"{name}: {stopped}", file=sys.stderr)
        return KILLED + stopped.signum
    except KeyboardInterrupt:
        return KILLED + signal.SIGINT
    return 0


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, by an exception: what is half written is removed."""

    def stop(signum: int) -> None:
        raise Interrupted(f"stopped by {signal.Signals(signum).name}", signum)

    # Ctrl-C does so by itself, and asyncio takes it over only where nobody else has.
    with on_stop_signal(stop, STOP_SIGNALS[1:]):
        yield


def _import_modules(arguments: list[str], keep: bool) -> list[str]:
    """Import what ``--module`` names, and return the other arguments; all of them if ``keep``."""
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    flags.add_argument("--module", action="append", default=[])
    try:
        named, others = flags.parse_known_args(arguments)
    except argparse.ArgumentError:
        raise ValueError("module: expected the name of a Python module after --module") from None
    for name in named.module:
        try:
            import_games(name)
        except ImportError as error:
            raise ValueError(f"module {name!r}: cannot be imported ({error})") from error
    return arguments if keep else others


def _field_names(config_class: Any) -> set[str]:
    """Names of the fields of a dataclass, or of all those of a union."""
    classes = [config_class, *get_args(config_class)]
    return {field.name for each in classes if dataclasses.is_dataclass(each) for field in dataclasses.fields(each)}


class StopRequest:
    """Whether a signal asked for a stop; the work answers where it can be left off."""

    def __init__(self) -> None:
        self.signum: int | None = None
        """The signal that asked this process to stop."""

    def ask(self, signum: int) -> None:
        """Note the request; a second Ctrl-C does not wait.

        Raises:
            KeyboardInterrupt: on Ctrl-C after an earlier request.
        """
        if self.signum is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = signum


@contextlib.contextmanager
def on_stop_signal(handle: Callable[[int], None], signals: Sequence[signal.Signals] = STOP_SIGNALS) -> Iterator[None]:
    """Call ``handle`` with the signal's number on Ctrl-C, SIGTERM and SIGHUP (the terminal is gone).

    A signal that this process was started to ignore, as by ``nohup``, stays ignored. Signals reach the main thread
    only; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in signals if signal.getsignal(s) is not signal.SIG_IGN}
    for signum in before:
        signal.signal(signum, lambda received, _: handle(received))
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _report(name: str, error: Exception) -> int:
    print(f"{name}: error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
    return REFUSED


def _started_as() -> str:
    """``training.record`` for ``python -m training.record``, else the name of the script."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if spec is not None else Path(sys.argv[0]).name


def _print_what_the_console_can() -> None:
    """Let a console without some sign print ``?`` for it, instead of ending the command half way."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def run_module(words: Sequence[str]) -> int:
    """Run a command of ``training`` or ``agents``, as ``python -m`` does, and return the exit status.

    Args:
        words: the module's name, ``training.record``, and the arguments of its command.
    """
    before, sys.argv = sys.argv, list(words)
    try:
        check_package(words[0].partition(".")[0])
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else 0
    except ImportError as error:
        return _report("genie-env", error)
    finally:
        sys.argv = before
    return 0


def run_other(entry: EntryPoint, words: Sequence[str]) -> int:
    """Run a command that another package brings, and return the exit status.

    Args:
        entry: where it is.
        words: its arguments.
    """
    try:
        check_package(entry.module.partition(".")[0])
        command = entry.load()
    except ImportError as error:
        return _report("genie-env", error)
    return command(words)
