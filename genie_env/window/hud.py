"""The bar of figures beneath a game: what it says and where each word goes. Knows no pygame and no environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from genie_env.effect_names import ActionEffect

LABEL, VALUE, NOTICE = (136, 138, 146), (240, 240, 240), (255, 205, 96)
LINE, MARGIN = 21, 10
CELL_WIDTH, MIN_WIDTH, MAX_COLUMNS = 160, 400, 3
SIGN = 15
"""Edge of an arrow in pixels."""


@dataclass(frozen=True)
class Hud:
    """What the bar says. Fields that are None are left out; the bar is as high as those given need.

    Attributes:
        episode: number of the episode, from 1.
        step: steps since its reset.
        reward: of the last step.
        total: sum of the episode's rewards.
        action: name of the action that was executed.
        temperature: of the dream's sampling.
        action_diversity: probability that a step replaces the player's action.
        entropy: mean entropy of the last frame's tokens, in nats.
        fps: measured frames per second.
        message: one line below the others (a state such as "paused", or what keys do).
        urgent: whether the message stands out.
        player: who plays.
        real_total: sum of rewards of the real game shown beside.
        effects: what each action does to the picture, each with an arrow; of latent actions.
        played: the action that was executed, which stands out among them.
    """

    episode: int | None = None
    step: int | None = None
    reward: float | None = None
    total: float | None = None
    action: str | None = None
    temperature: float | None = None
    action_diversity: float | None = None
    entropy: float | None = None
    fps: float | None = None
    message: str | None = None
    urgent: bool = False
    player: str | None = None
    real_total: float | None = None
    effects: tuple[ActionEffect, ...] = ()
    played: int = -1

    def cells(self) -> list[tuple[str, str]]:
        """Label and value of every field given, the message aside."""
        table = [
            ("episode", self.episode, "d"),
            ("action", self.action, ""),
            ("temperature", self.temperature, ".2f"),
            ("step", self.step, "d"),
            ("reward", self.reward, "+g"),
            ("diversity", self.action_diversity, ".2f"),
            ("fps", self.fps, ".1f"),
            ("total", self.total, "+g"),
            ("entropy", self.entropy, ".3f"),
            ("player", self.player, ""),
            ("real total", self.real_total, "+g"),
        ]
        return [(label, format(value, spec)) for label, value, spec in table if value is not None]

    def height(self, width: int) -> int:
        """Height in pixels of a bar that is so wide."""
        lines = self._effects_end(width) + (self.message is not None)
        return lines * LINE + 2 * MARGIN - 4

    def words(self, width: int, text_width: Callable[[str], int]) -> list[Word]:
        """Words of the bar: label and value of every cell in columns, what actions do, then the message.

        Args:
            width: of the bar in pixels.
            text_width: of a word in pixels.
        """
        cells, columns = self.cells(), _columns(width)
        pitch = (width - 2 * MARGIN) // columns
        words = []
        for index, (label, value) in enumerate(cells):
            x, line = MARGIN + index % columns * pitch, index // columns
            labels = [label for label, _ in cells[index % columns :: columns]]
            indent = MARGIN + max(text_width(label) for label in labels)
            words += [Word(x, line, label, LABEL), Word(x + indent, line, value, VALUE)]
        for sign in self.signs(width):
            x = sign.x + SIGN + MARGIN
            words.append(Word(x, sign.line, sign.effect.name, sign.colour))
            words.append(Word(x + text_width(sign.effect.name) + MARGIN, sign.line, sign.effect.keys, LABEL))
        if self.message is not None:
            words.append(Word(MARGIN, self._effects_end(width), self.message, NOTICE if self.urgent else LABEL))
        return words

    def signs(self, width: int) -> list[Sign]:
        """Arrows of the bar, one for each effect, in the columns of the cells."""
        columns, begin = _columns(width), self._cells_end(width)
        pitch = (width - 2 * MARGIN) // columns
        return [
            Sign(
                MARGIN + code % columns * pitch,
                begin + code // columns,
                effect,
                NOTICE if code == self.played else VALUE,
            )
            for code, effect in enumerate(self.effects)
        ]

    def _cells_end(self, width: int) -> int:
        return -(-len(self.cells()) // _columns(width))

    def _effects_end(self, width: int) -> int:
        return self._cells_end(width) + -(-len(self.effects) // _columns(width))


class Word(NamedTuple):
    """A word and its place: pixels from the left, lines from the top."""

    x: int
    line: int
    text: str
    colour: tuple[int, int, int]


class Sign(NamedTuple):
    """An arrow and its place: pixels from the left, lines from the top."""

    x: int
    line: int
    effect: ActionEffect
    colour: tuple[int, int, int]


def _columns(width: int) -> int:
    return min(MAX_COLUMNS, max(1, (width - 2 * MARGIN) // CELL_WIDTH))
