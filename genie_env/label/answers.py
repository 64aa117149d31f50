"""What was asked and answered, in a file that is whole after every answer, so that an interrupted session goes on.

Knows nothing of clips, windows and maps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from genie_env.files.atomic import write_json
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from genie_env.files.reading import read_json

UNKNOWN = "?"
"""Answer of who cannot tell."""
NOTHING = ""
"""Answer of who would press nothing."""


@dataclass(frozen=True)
class Answer(JsonConfig):
    """What was said of a clip."""

    code: int
    """Latent action that was pressed in it."""
    key: str
    """Name of the key that the person would press for it, ``NOTHING`` or ``UNKNOWN``."""


@dataclass(frozen=True)
class Answers(JsonConfig):
    """Answers to the first clips of a series, in order."""

    world: str
    """SHA-256 of the dynamics whose dreams were shown."""
    seed: int
    """Of the series of clips."""
    given: tuple[Answer, ...] = ()

    def plus(self, answer: Answer) -> Answers:
        """One more."""
        return replace(self, given=(*self.given, answer))


def read_answers(path: Path, begun: Answers, num_actions: int) -> Answers:
    """The answers in a file, ``begun`` where there is none.

    Raises:
        FileError: if they are of another world or series, or no answers at all.
    """
    if not path.exists():
        return begun
    try:
        found = Answers.from_json(read_json(path, "answers"))
    except FileError:
        raise
    except ValueError as error:
        raise FileError(path, f"expected answers of `genie-env label` ({error})") from None
    if (found.world, found.seed) != (begun.world, begun.seed):
        raise FileError(
            path, "answers of another world, or of another --seed; remove the file, or choose another --out"
        )
    for answer in found.given:
        if not 0 <= answer.code < num_actions:
            raise FileError(path, f"expected latent actions from 0 to {num_actions - 1}, got {answer.code}")
        if problem := key_problem(answer.key):
            raise FileError(path, problem)
    return found


def write_answers(path: Path, answers: Answers) -> None:
    """Keep them, the file whole or not at all."""
    write_json(path, answers.to_json())


def key_problem(key: str) -> str | None:
    """Why a key cannot be played with; None where it can."""
    from genie_env.window.keyboard import COMMAND_KEYS, key_code

    if key in (NOTHING, UNKNOWN):
        return None
    if key in COMMAND_KEYS:
        return f"key {key!r} already means {COMMAND_KEYS[key].name.lower().replace('_', ' ')}; choose another"
    try:
        key_code(key)
    except ValueError as error:
        return str(error)
    return None if key.isprintable() and key == key.lower().strip() else f"expected a printable key, got {key!r}"
