"""What a world is, as tables for a console. Owns their layout; knows nothing of flags or environments."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from genie_env.action_map import latent_tables
from genie_env.config import SourceConfig, WorldConfig
from genie_env.files.tensors import weights_of
from genie_env.measurement import MEASUREMENTS, stored_measurements, tables
from genie_env.policies.config import PolicyConfig
from genie_env.world import World


def print_world(world: World, policy: PolicyConfig | None = None) -> None:
    """Print what a world is made of, how it is sampled, what its actions mean and how it was measured.

    Args:
        world: to describe.
        policy: that comes with it.
    """
    # What a bundle says is text: no part of it is markup, or a picture written as a word between colons.
    console = Console(markup=False, emoji=False, highlight=False)
    for index, (title, table) in enumerate(describe(world, policy)):
        if index:
            console.print()
        console.print(_line(title), style="bold")
        console.print(table)


def describe(world: World, policy: PolicyConfig | None = None) -> Iterator[tuple[str, Table]]:
    """Titles and tables of :func:`print_world`."""
    config = world.config
    yield f"World {config.name}", _pairs(_facts(world))
    yield "Networks", _table(("network", "parameters", "settings"), _networks(world), right=(1,))
    yield "Sampling", _pairs(_settings(config.sampling))
    if config.source.action_meanings:
        yield f"Actions{'' if config.action_map else ' (no map to latent ones)'}", _actions(config)
    if policy is not None:
        yield "Policy", _pairs(_policy(policy))
    other = {name: value for name, value in config.metrics.items() if name != MEASUREMENTS}
    if other:
        yield "Figures", _table(("figure", "value"), _flat(other))
    for title, header, rows in tables(stored_measurements(config.metrics)):
        yield f"Measured: {title}", _table(header, rows, right=range(1, len(header)))


def _facts(world: World) -> Iterator[tuple[str, str]]:
    config, source = world.config, world.config.source
    yield "game", ", ".join([source.env_id or "unknown", *(f"{k} {v}" for k, v in source.env_kwargs.items())])
    skipped = f", each action {source.frame_skip} times" if source.frame_skip > 1 else ""
    yield "frames", f"{source.image_size} by {source.image_size} pixels, {source.fps:g} per second{skipped}"
    if source.crop is not None:
        top, bottom, left, right = source.crop
        yield "cut from", f"rows {top} to {bottom} and columns {left} to {right} of the game's picture"
    yield "learned from", f"{'recorded' if config.recorded_actions else 'inferred'} actions"
    if source.unknown:
        yield "not known", source.unknown
    count, length = world.starts.tokens_SPN.shape[:2]
    yield "starts", f"{count} recorded beginnings of {length} frames"
    yield "format", str(config.format_version)


def _networks(world: World) -> Iterator[tuple[str, str, str]]:
    for name in world.config.networks:
        size = sum(tensor.numel() for tensor in weights_of(getattr(world, name)).values())
        settings = ", ".join(f"{key} {value}" for key, value in _settings(getattr(world.config, name)))
        yield name.replace("_", " "), f"{size:,}", settings


def _actions(config: WorldConfig) -> Table:
    """A row for each of the game's actions: its keys, and the latent action it becomes."""
    source, mapped = config.source, config.action_map
    header, rows = ["action", "name", "keys"], [list(row) for row in _played(source)]
    if mapped is None:
        return _table(header, rows)
    header.append("latent")
    for row, latent in zip(rows, mapped.real_to_latent, strict=True):
        row.append(str(latent))
    if min(mapped.purity) < 1:  # A map that is exact, as that of recorded actions, has nothing to tell.
        header.append("purity")
        for row, latent in zip(rows, mapped.real_to_latent, strict=True):
            row.append(f"{mapped.purity[latent]:.0%}")
    if mapped.real_to_latent_after:
        # The last row of the table is for an action that comes first.
        header.append(f"after action 0 to {len(rows) - 1}")
        for row, after in zip(rows, latent_tables(mapped).T[:, :-1], strict=True):
            row.append(" ".join(map(str, after)))
    return _table(header, rows)


def _played(source: SourceConfig) -> Iterator[tuple[str, str, str]]:
    for action, name in enumerate(source.action_meanings):
        yield str(action), name, " ".join(key for key, played in source.keys.items() if played == action)


def _policy(policy: PolicyConfig) -> Iterator[tuple[str, str]]:
    """What the policy of a world is; ``genie-env play --watch`` lets it play."""
    spec, trained = policy.spec, policy.trained
    yield "learned by", f"{policy.algo} on {policy.network}, {spec.frame_stack} frames at a time"
    if trained:
        yield "learned in", ", ".join(f"{name} {_inline(value)}" for name, value in trained.items())
    yield "chooses from", f"{spec.num_actions} {spec.action_type} actions"
    yield "real game", "not scored" if policy.score is None else str(policy.score)


def _settings(config: Any) -> Iterator[tuple[str, str]]:
    """The fields of a config, empty ones left out."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if not isinstance(value, (tuple, dict)) or value:
            yield field.name.replace("_", " "), str(value)


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested figures as ``outer: inner`` and value."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name}", _inline(value)


def _inline(value: Any) -> str:
    """A value of JSON as words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_inline(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return "; ".join(map(_inline, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pairs(rows: Iterable[tuple[str, str]]) -> Table:
    return _table(("", ""), rows, show_header=False)


def _table(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = (), show_header: bool = True
) -> Table:
    """A table whose cells stay whole where that leaves room; only the widest column wraps."""
    table = Table(
        header_style="",
        show_header=show_header,
        box=box.SIMPLE_HEAD if show_header else None,
        show_edge=False,
        padding=0 if show_header else (0, 2, 0, 0),
    )
    lines = [[_line(cell) for cell in row] for row in rows]
    sizes = [max((len(line[column]) for line in [list(header), *lines]), default=0) for column in range(len(header))]
    for column, name in enumerate(header):
        wraps = column == sizes.index(max(sizes))
        justify = "right" if column in right else "left"
        table.add_column(name, justify=justify, no_wrap=not wraps, overflow="fold" if wraps else "ellipsis")
    for line in lines:
        table.add_row(*line)
    return table


def _line(value: object) -> str:
    """Text on one line that cannot command the terminal, whatever a bundle says."""
    return "".join(letter if letter.isprintable() else " " for letter in str(value))
