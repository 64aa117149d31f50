"""A world may bring a policy: it is checked like every other file, stays when the bundle is rewritten, and plays."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genie_env.bundle import bundle_contents, load_world, open_bundle, read_config
from genie_env.bundled_policy import policy_config_of, policy_of, put_policy
from genie_env.cli import main
from genie_env.files.errors import FileError
from genie_env.hub.download import is_whole
from genie_env.model_card import set_measurements
from genie_env.policies.config import JSON, TENSORS, PolicyScore
from tests.genie_env.test_bundle import edit_manifest
from tests.helpers.policies import make_token_policy

SCORE = PolicyScore(17.4, 16.2, 18.5, 30, "drawn actions")


@pytest.fixture
def policy(random_world: Path, tmp_path: Path) -> Path:
    return make_token_policy(tmp_path / "policy", read_config(random_world), str(random_world))


@pytest.fixture
def bundle(random_world: Path, tmp_path: Path, policy: Path) -> Path:
    """A copy of a world, with the policy."""
    return put_policy(shutil.copytree(random_world, tmp_path / "bundle"), policy, SCORE)


def test_world_with_a_policy_has_every_other_file_as_before(random_world: Path, bundle: Path, policy: Path) -> None:
    names = {path.name for path in random_world.iterdir()}
    assert {path.name for path in bundle.iterdir()} == names | {JSON, TENSORS}
    assert all((bundle / n).read_bytes() == (random_world / n).read_bytes() for n in names - {"config.json"})
    assert (bundle / TENSORS).read_bytes() == (policy / TENSORS).read_bytes()
    load_world(bundle, "cpu")
    assert is_whole(bundle, bundle_contents())


def test_policy_of_a_bundle_is_of_its_world_and_has_its_score(bundle: Path, random_world: Path) -> None:
    found = policy_of(bundle)
    assert found is not None and found.config.world == "random" and found.config.score == SCORE
    assert policy_of(random_world) is None and policy_config_of(random_world) is None


def test_policy_stays_when_the_bundle_is_written_again(bundle: Path) -> None:
    before = (bundle / TENSORS).read_bytes(), (bundle / JSON).read_bytes()
    set_measurements(bundle, [])
    assert ((bundle / TENSORS).read_bytes(), (bundle / JSON).read_bytes()) == before
    assert policy_of(bundle) is not None and is_whole(bundle, bundle_contents())


def test_refused_policy_changes_nothing(bundle: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    other = make_token_policy(tmp_path / "other", read_config("pong"), "pong")
    with pytest.raises(ValueError, match="vocab_size"):
        put_policy(bundle, other)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir() if "partial" in path.name} == set()


def swap_policy(bundle: Path, tmp_path: Path) -> None:
    other = make_token_policy(tmp_path / "other", read_config(bundle), "random", seed=1)
    for name in (JSON, TENSORS):
        shutil.copyfile(other / name, bundle / name)


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "sha256 is not the recorded": swap_policy,
    "missing": lambda bundle, _: (bundle / JSON).unlink(),
    "expected a regular file": lambda bundle, _: ((bundle / TENSORS).unlink(), (bundle / TENSORS).mkdir()),
    "expected the sha256 of": lambda bundle, _: edit_manifest(bundle, lambda m: m["sha256"].pop(TENSORS)),
    "truncated or was edited": lambda bundle, _: (bundle / TENSORS).write_bytes(b"x"),
}


@pytest.mark.parametrize("word", DAMAGES)
def test_damaged_policy_is_refused_and_the_world_still_opens(bundle: Path, tmp_path: Path, word: str) -> None:
    DAMAGES[word](bundle, tmp_path)
    with pytest.raises(FileError, match=word):
        policy_of(bundle)
    load_world(bundle, "cpu")
    assert main(["play", "--watch", "--world", str(bundle)]) == 2


def test_info_names_the_policy_and_its_score(
    bundle: Path, random_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "--world", str(bundle)]) == 0
    shown = capsys.readouterr().out
    assert "17.4 [16.2, 18.5] in 30 games, drawn actions" in shown and "ppo on tokens" in shown
    assert main(["info", "--world", str(random_world)]) == 0
    assert "ppo on tokens" not in capsys.readouterr().out


def test_every_bundled_policy_opens() -> None:
    for world in ("pong", "breakout"):
        if policy_config_of(world) is not None:
            found = policy_of(world)
            assert found is not None and found.config.world == open_bundle(world).config.name
