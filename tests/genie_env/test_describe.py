"""What a world is, readable on a narrow console, and only as text."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from genie_env.config import NETWORKS, ActionMapConfig
from genie_env.describe import print_world
from genie_env.measurement import MEASUREMENTS, Measurement, Metric
from genie_env.model_card import model_card
from genie_env.world import World
from tests.helpers.worlds import TELLING_CHANGES, ensemble_config, random_world

HORIZONS = (1, 2, 5, 10, 20, 50, 100)


def printed(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    print_world(world)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def changed(**changes: Any) -> World:
    world = random_world()
    return world.replace(config=dataclasses.replace(world.config, **changes))


def measured() -> dict[str, Any]:
    shares = [Measurement.of(Metric.CHANGED_TOKEN_ACCURACY, 0.9, horizon=h, experiment="dream") for h in HORIZONS]
    single = Measurement.of(Metric.EXACT_FRAMES, 0.125, experiment="tokenizer")
    return {MEASUREMENTS: [one.to_json() for one in (*shares, single)], "frames": 725116}


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_console_and_no_word_is_cut(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = changed(metrics=measured())
    lines = printed(world, capsys, monkeypatch, width)
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.replace(",", " ").split()}
    configs = [getattr(world.config, name) for name in NETWORKS]
    # Empty lists are left out.
    fields = [f.name for one in configs for f in dataclasses.fields(one) if getattr(one, f.name) != ()]
    assert [word for name in fields for word in name.split("_") if word not in words] == []
    row = next(line for line in lines if line.startswith("changed-token accuracy"))
    assert row.split()[-len(HORIZONS) :] == ["0.900"] * len(HORIZONS)


@pytest.mark.parametrize("member_kind", ["networks", "heads"])
def test_members_are_named_with_the_size_of_all_of_them(
    member_kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = random_world(dynamics=ensemble_config(member_kind=member_kind))
    text = " ".join(" ".join(printed(world, capsys, monkeypatch, 120)).split())
    size = sum(p.numel() for p in world.dynamics.parameters())
    assert f"members 3, member kind {member_kind}" in text and f"dynamics {size:,} kind ensemble" in text
    card = model_card(world)
    assert f"3 {member_kind}, each of 2 layers, width 32" in card and f"| {size:,} |" in card


def test_figures_have_tables_of_their_own_beneath_what_the_world_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = printed(changed(metrics=measured()), capsys, monkeypatch, 80)
    titles = [
        line for above, line in zip(["", *lines], lines, strict=False) if not above and line and line[0].isupper()
    ]
    assert titles == [
        "World random", "Networks", "Sampling", "Actions", "Figures", "Measured: dream", "Measured: tokenizer",
    ]  # fmt: skip
    assert "frames exact 0.125" in " ".join(" ".join(lines).split())


def test_purity_is_shown_where_a_map_is_not_exact(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = printed(random_world(), capsys, monkeypatch, 80)
    assert ["1", "UP", "up", "2", "70%"] in [line.split() for line in lines]
    exact = ActionMapConfig((0, 1, 2), (0, 1, 2), (1.0, 1.0, 1.0), num_labels=0)
    assert "purity" not in " ".join(printed(changed(action_map=exact), capsys, monkeypatch, 80))
    assert "no map" in " ".join(printed(changed(action_map=None), capsys, monkeypatch, 80))


def test_map_that_goes_by_the_action_before_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = printed(changed(action_map=TELLING_CHANGES), capsys, monkeypatch, 80)
    assert any("after action 0 to 2" in line for line in lines)
    assert ["2", "DOWN", "down", "2", "40%", "2", "1", "0"] in [line.split() for line in lines]


def test_what_a_bundle_says_is_text_and_nothing_else(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "[red]x[/red] :smile: \x1b[2J\x07\nnext"
    world = changed(metrics={evil: evil})
    text = "\n".join(printed(world, capsys, monkeypatch, 120))
    assert "[red]x[/red] :smile:  [2J" in text and "\x1b" not in text and "\x07" not in text
