"""The card says what the world is and what was measured, as its bundle keeps it."""

from __future__ import annotations

import shutil
from pathlib import Path

from genie_env.bundle import CARD, bundled_worlds, load_world, read_config
from genie_env.measurement import MEASUREMENTS, Measurement, Metric, stored_measurements
from genie_env.model_card import model_card, set_measurements


def test_measurements_are_replaced_in_configuration_and_card_and_nothing_else(
    random_world: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(random_world, tmp_path / "world")
    before = read_config(folder)
    for value in (40.0, 41.0):
        found = [Measurement.of(Metric.PSNR, value, experiment="tokenizer")]
        set_measurements(folder, found)
        config = read_config(folder)
        assert stored_measurements(config.metrics) == found
        assert {k: v for k, v in config.metrics.items() if k != MEASUREMENTS} == before.metrics
    assert "| PSNR, dB | 41.0 |" in (folder / CARD).read_text(encoding="utf-8")
    for path in random_world.glob("*.safetensors"):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_the_cards_of_bundled_worlds_are_those_of_their_configurations() -> None:
    for name in bundled_worlds():
        world = load_world(name, "cpu")
        assert stored_measurements(world.config.metrics)
        card = Path(__file__).parents[2] / "genie_env" / "worlds" / name / CARD
        assert card.read_text(encoding="utf-8") == model_card(world)


def test_a_world_measured_before_there_were_records_still_has_a_card(random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    world.config.metrics.update({"dream": {"obedience": 0.98765}, "frames": 12})
    card = model_card(world)
    assert "| frames | 12 |" in card and "obedience" not in card
