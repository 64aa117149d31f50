"""A world from pictures alone reads no recorded action before its action map: other actions, the same world."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genie_env.bundle import read_config
from genie_env.config import LatentActionShape
from genie_env.data.episodes import NO_ACTION, EpisodeStore
from tests.helpers.worlds import TINY_RECIPE
from training.recipes import RECIPES
from training.train import make_world

LEARNED = ("tokenizer", "latent_action", "dynamics", "outcome")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Worlds of one recording, and of the same pictures with actions drawn at random."""
    root = tmp_path_factory.mktemp("poisoned")
    loops = {f"{name}_loop": replace(getattr(TINY_RECIPE, f"{name}_loop"), n_updates=12) for name in LEARNED}
    recipe = replace(
        TINY_RECIPE,
        steps=1500,
        label_fraction=RECIPES["pong_unlabelled"].label_fraction,
        recorded_actions=RECIPES["pong_unlabelled"].recorded_actions,
        latent_action=LatentActionShape(context_frames=1, image_size=32, channels=4, pooled=True),
        latent_action_training={"naming_updates": 12},
        outcome_training={"dreams": 20},
        **loops,
    )
    found = []
    for name in ("told", "poisoned"):
        data = root / name / "data"
        if found:
            shutil.copytree(root / "told" / "data", data)
            for path in data.glob("*.actions.npy"):
                actions = np.load(path)
                drawn = np.random.default_rng(0).integers(3, size=actions.shape).astype(actions.dtype)
                np.save(path, np.where(actions == NO_ACTION, actions, drawn))
        make_world(recipe, data, root / name / "run", root / name / "bundle")
        found.append(root / name / "bundle")
    return found[0], found[1]


def test_the_poison_is_there(bundles: tuple[Path, Path]) -> None:
    told, poisoned = (EpisodeStore(bundle.parent / "data") for bundle in bundles)
    actions = [
        np.concatenate([store.array("actions", e) for e in store.manifest.episodes]) for store in (told, poisoned)
    ]
    assert (actions[0] != actions[1]).mean() > 0.5


@pytest.mark.parametrize("stage", LEARNED)
def test_what_is_learned_is_the_same_byte_for_byte(bundles: tuple[Path, Path], stage: str) -> None:
    for name in ("model.safetensors", "config.json"):
        told, poisoned = (bundle.parent / "run" / stage / name for bundle in bundles)
        assert told.read_bytes() == poisoned.read_bytes(), name


def test_of_the_world_only_the_action_map_differs(bundles: tuple[Path, Path]) -> None:
    told, poisoned = bundles
    for path in told.glob("*.safetensors"):
        assert path.read_bytes() == (poisoned / path.name).read_bytes(), path.name
    configs = [read_config(str(bundle)) for bundle in bundles]
    assert configs[0].action_map is not None and configs[0].action_map != configs[1].action_map
    assert replace(configs[0], name="", action_map=None) == replace(configs[1], name="", action_map=None)
