"""Which key means what: commands, actions, and the keys held at the moment.

Owns key tables and pure functions over key *names* (as of ``pygame.key.name``). Knows no pygame and no game.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum, auto


class Command(Enum):
    """What a person can ask for besides playing."""

    RESET = auto()
    PAUSE = auto()
    STEP = auto()
    QUIT = auto()
    COOLER = auto()
    WARMER = auto()
    LESS_DIVERSE = auto()
    MORE_DIVERSE = auto()
    SNAPSHOT = auto()
    RESTORE = auto()
    SCREENSHOT = auto()
    FILM = auto()
    HUD = auto()
    AGENT = auto()


COMMAND_KEYS: dict[str, Command] = {
    "r": Command.RESET,
    "p": Command.PAUSE,
    "n": Command.STEP,
    "escape": Command.QUIT,
    "[": Command.COOLER,
    "]": Command.WARMER,
    ";": Command.LESS_DIVERSE,
    "'": Command.MORE_DIVERSE,
    "f5": Command.SNAPSHOT,
    "f9": Command.RESTORE,
    "f12": Command.SCREENSHOT,
    "v": Command.FILM,
    "h": Command.HUD,
    "g": Command.AGENT,
}
"""Key name, or character typed, to command. These win over a world's own keys."""

MEANING_KEYS: dict[str, tuple[str, ...]] = {
    "UP": ("up", "w"),
    "DOWN": ("down", "s"),
    "LEFT": ("left", "a"),
    "RIGHT": ("right", "d"),
    "FIRE": ("space",),
    "FORWARD": ("up", "w"),
}
"""Part of an action's name to the keys that play it where a world names no keys."""
OTHER_KEYS = "0123456789qetyuiojklzxcbm"
"""Keys, by their order, of actions whose names say no direction; none of them is a command or a direction."""
_PARTS = re.compile("(" + "|".join(MEANING_KEYS) + ")")

# SDL numbers keys that type no character by their place on the keyboard and sets this bit.
_PLACE = 1 << 30
_CODES = {
    "right": _PLACE | 79,
    "left": _PLACE | 80,
    "down": _PLACE | 81,
    "up": _PLACE | 82,
    "space": ord(" "),
    "return": ord("\r"),
    "tab": ord("\t"),
}
_NAMES = {code: name for name, code in _CODES.items()}

KeyTable = dict[frozenset[str], int]


def key_code(name: str) -> int:
    """The key code that pygame and :func:`gymnasium.utils.play.play` use for a key name.

    Raises:
        ValueError: if the name is neither one character nor a known key.
    """
    if name in _CODES:
        return _CODES[name]
    if len(name) != 1:
        raise ValueError(f"key: expected one character or one of {sorted(_CODES)}, got {name!r}")
    return ord(name)


def key_name(key: str | int) -> str:
    """The name of a key given by name or code."""
    if isinstance(key, str):
        return key.lower()
    return _NAMES.get(key) or chr(key)


def command_of(name: str, typed: str = "") -> Command | None:
    """The command of a key that went down, if it has one.

    Args:
        name: of the key.
        typed: the character it typed. It comes first, so that ``[`` works wherever a keyboard has it.
    """
    return COMMAND_KEYS.get(typed.lower()) or COMMAND_KEYS.get(name)


def key_table(keys_to_action: Mapping[tuple[str | int, ...], int], meanings: Sequence[str]) -> KeyTable:
    """Keys held together to the action they play.

    Args:
        keys_to_action: as ``get_keys_to_action()``: tuples of key names or key codes.
        meanings: names of the actions. They and the digits serve where ``keys_to_action`` is empty.
    """
    if keys_to_action:
        return {frozenset(map(key_name, keys)): action for keys, action in keys_to_action.items()}
    table = {frozenset(keys): action for action, meaning in enumerate(meanings) for keys in _chords(meaning)}
    return table | {frozenset([key]): action for action, key in zip(range(len(meanings)), OTHER_KEYS, strict=False)}


def _chords(meaning: str) -> list[tuple[str, ...]]:
    """Keys held together for an action like ``UPRIGHTFIRE``: all of its parts, with arrows or with letters."""
    parts = _PARTS.findall(meaning)
    if not parts or "".join(parts) != meaning:
        return []
    # The first key of every part, then the last: arrows, then letters.
    return list(dict.fromkeys(tuple(MEANING_KEYS[part][which] for part in parts) for which in (0, -1)))


def action_of(held: Sequence[str], table: KeyTable, noop: int | None) -> int | None:
    """The action of the keys held, oldest first: the largest combination wins, then the one pressed last.

    Without a key it is ``noop``: None where every action of a game does something.
    """
    fitting = [keys for keys in table if keys and keys <= set(held)]
    if not fitting:
        return noop
    return table[max(fitting, key=lambda keys: (len(keys), max(held.index(key) for key in keys)))]


class HeldKeys:
    """The keys that are down, oldest first. A tap shorter than a frame counts for one frame."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._fresh: set[str] = set()
        self._released: set[str] = set()

    def press(self, name: str) -> None:
        """A key went down."""
        if name in self.names:
            self.names.remove(name)
        self.names.append(name)
        self._fresh.add(name)
        self._released.discard(name)

    def release(self, name: str) -> None:
        """A key came up; if it went down since the last frame, it stays until the next."""
        if name in self._fresh:
            self._released.add(name)
        elif name in self.names:
            self.names.remove(name)

    def frame_done(self) -> None:
        """A frame was played with these keys."""
        self.names = [name for name in self.names if name not in self._released]
        self._fresh.clear()
        self._released.clear()

    def clear(self) -> None:
        """Nothing is held."""
        self.names = []
        self.frame_done()
