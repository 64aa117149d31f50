"""What is written as a Minari data set is read by Minari as it was seen, and its environment is made again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from genie_env.cli import main
from genie_env.config import SourceConfig
from genie_env.data.episodes import NO_ACTION, Episode, EpisodeStore, EpisodeWriter
from genie_env.minari.episodes import recorded_episodes, recorded_spaces
from genie_env.minari.writer import AboutDataset, MinariEpisode, write_dataset


@pytest.fixture(autouse=True)
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Minari keeps data sets during a test."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_recording_is_read_by_minari_as_it_was_recorded(store: EpisodeStore) -> None:
    flags = ["--author", "A. Player", "--author-email", "a@example.org", "--code-permalink", "https://example.org"]
    assert main(["minari", "genie/tiny/mixed-v0", "--data", str(store.folder), *flags]) == 0
    dataset = minari.load_dataset("genie/tiny/mixed-v0")
    entries = [entry for entry in store.manifest.episodes if entry.length > 1]
    assert dataset.total_episodes == len(entries) and dataset.total_steps == sum(e.length - 1 for e in entries)
    for entry, episode, about in zip(
        entries, dataset.iterate_episodes(), dataset.storage.get_episode_metadata(range(len(entries))), strict=True
    ):
        np.testing.assert_array_equal(episode.observations, store.array("frames", entry))
        np.testing.assert_array_equal(episode.actions, store.array("actions", entry)[:-1])
        np.testing.assert_array_equal(episode.rewards, store.array("rewards", entry)[:-1])
        assert not episode.terminations[:-1].any() and not episode.truncations[:-1].any()
        assert episode.terminations[-1] == entry.terminated != episode.truncations[-1]
        for column, name in enumerate(store.manifest.truth_names):
            np.testing.assert_array_equal(episode.infos[name], store.array("truth", entry)[:, column])
        assert (about["player"], about["split"]) == (entry.player, entry.split)
    about = dataset.storage.metadata
    assert about["author"] == {"A. Player"} and "Genie Env" in about["description"] and about["algorithm_name"]


def test_the_environment_of_a_recording_is_the_real_game_with_its_frames(store: EpisodeStore) -> None:
    assert main(["minari", "tiny/v-v0", "--data", str(store.folder), "--split", "test"]) == 0
    dataset = minari.load_dataset("tiny/v-v0")
    env = dataset.recover_environment()
    assert env.observation_space == dataset.observation_space and env.action_space == dataset.action_space
    assert env.observation_space.contains(env.reset(seed=0)[0])
    env.step(env.action_space.sample())
    assert dataset.total_episodes == len([entry for entry in store.split("test") if entry.length > 1])
    env.close()


def test_dreams_are_dreamed_again_from_their_seeds_actions_and_environment(endless_world: Path) -> None:
    flags = ["--world", str(endless_world), "--episodes", "2", "--steps", "9", "--seed", "5", "--temperature", "0.7"]
    assert main(["minari", "genie/noise/dreams-v0", *flags]) == 0
    dataset = minari.load_dataset("genie/noise/dreams-v0")
    assert (dataset.total_episodes, dataset.total_steps) == (2, 18)
    env = dataset.recover_environment()
    assert env.get_wrapper_attr("temperature") == 0.7
    for episode, about in zip(dataset.iterate_episodes(), dataset.storage.get_episode_metadata(range(2)), strict=True):
        seen = [env.reset(seed=about["seed"])[0]]
        for action, reward in zip(episode.actions, episode.rewards, strict=True):
            observation, found, *_ = env.step(action)
            seen.append(observation)
            assert found == reward
        np.testing.assert_array_equal(np.stack(seen), episode.observations)
    assert [about["seed"] for about in dataset.storage.get_episode_metadata(range(2))] == [5, 6]
    env.close()


def test_the_actions_of_dreams_are_those_that_were_executed(endless_world: Path) -> None:
    flags = ["--world", str(endless_world), "--episodes", "1", "--steps", "40", "--action-diversity", "1.0"]
    assert main(["minari", "noise/diverse-v0", *flags]) == 0
    (episode,) = minari.load_dataset("noise/diverse-v0").iterate_episodes()
    np.testing.assert_array_equal(episode.actions, episode.infos["action"][1:])


def test_a_process_that_never_imported_genie_env_makes_the_environment_again(endless_world: Path) -> None:
    assert main(["minari", "noise/a-v0", "--world", str(endless_world), "--episodes", "1", "--steps", "3"]) == 0
    code = "import minari; print(minari.load_dataset('noise/a-v0').recover_environment().reset(seed=0)[0].shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(64, 64, 3)\n", done.stderr


def test_tokens_are_observations_too(endless_world: Path) -> None:
    flags = ["--world", str(endless_world), "--episodes", "1", "--steps", "4", "--obs-type", "tokens"]
    assert main(["minari", "noise/tokens-v0", *flags]) == 0
    dataset = minari.load_dataset("noise/tokens-v0")
    assert all(dataset.observation_space.contains(row) for row in dataset[0].observations)


def test_pictures_are_smaller_and_only_alike_as_jpeg(store: EpisodeStore, datasets: Path) -> None:
    for name, flags in (("exact-v0", []), ("jpeg-v0", ["--jpeg"])):
        assert main(["minari", f"tiny/{name}", "--data", str(store.folder), "--split", "test", *flags]) == 0
    sizes = {
        name: sum(f.stat().st_size for f in (datasets / "tiny" / name).rglob("*.hdf5"))
        for name in ("exact-v0", "jpeg-v0")
    }
    assert sizes["jpeg-v0"] < sizes["exact-v0"] / 2
    exact, jpeg = (minari.load_dataset(f"tiny/{name}")[0].observations for name in ("exact-v0", "jpeg-v0"))
    assert exact.shape == jpeg.shape and np.abs(exact.astype(int) - jpeg).mean() < 10


@pytest.mark.parametrize("name", ["no version", "../out-v0", "/abs-v0", "a/../../b-v0", "", "x-v0\n"])
def test_what_is_no_id_is_refused_and_nothing_is_written(name: str, datasets: Path, random_world: Path) -> None:
    before = files(datasets.parent)
    assert main(["minari", "--world", str(random_world), "--episodes", "1", "--", name]) == 2
    assert [path for path in files(datasets.parent) if path not in before and path != "datasets"] == []


def test_a_taken_id_and_missing_sources_are_one_line(
    store: EpisodeStore, datasets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(store.folder), "--split", "test"]
    assert main(["minari", "tiny/once-v0", *data]) == 0
    before = files(datasets)
    capsys.readouterr()
    for command in (["tiny/once-v0", *data], ["tiny/b-v0", "--data", "no/such"], ["tiny/b-v0", "--world", "no/such"]):
        assert main(["minari", *command]) == 2
        error = capsys.readouterr().err
        assert error.startswith("genie-env: error: ") and error.count("\n") == 1
    assert files(datasets) == before


def test_an_interrupted_data_set_leaves_nothing(store: EpisodeStore, datasets: Path) -> None:
    def broken() -> Iterator[MinariEpisode]:
        yield next(recorded_episodes(store, ("test",)))
        raise KeyboardInterrupt

    for episodes, error in ((broken(), KeyboardInterrupt), (iter([]), ValueError)):
        with pytest.raises(error):
            write_dataset("tiny/half-v0", episodes, recorded_spaces(store), AboutDataset())
        assert not [path for path in files(datasets) if "half" in path]


def test_the_real_game_is_an_environment_of_its_own(store: EpisodeStore) -> None:
    env = gym.make("Genie/Game-v0", source=store.manifest.source.to_json(), render_mode="rgb_array")
    frame, _ = env.reset(seed=3)
    np.testing.assert_array_equal(env.render(), frame)
    check_env(env.unwrapped)
    assert env.unwrapped.get_action_meanings() == list(store.manifest.source.action_meanings)  # type: ignore[attr-defined]
    env.close()
    for source in ({"env_id": "os:system"}, {"unknown": 1}, {}):
        with pytest.raises(ValueError, match="env"):
            gym.make("Genie/Game-v0", source=source)


def test_a_recording_without_actions_is_refused(tmp_path: Path, datasets: Path, capsys: Any) -> None:
    source = SourceConfig(has_actions=False, has_outcomes=False)
    frames_THWC = np.zeros((4, 64, 64, 3), np.uint8)
    writer = EpisodeWriter(tmp_path / "film", source)
    episode = Episode(frames_THWC, np.full(3, NO_ACTION), np.zeros(3), False, np.zeros((4, 0)))
    writer.write_shard(0, [episode])
    writer.finish(1)
    assert main(["minari", "film/a-v0", "--data", str(tmp_path / "film")]) == 2
    assert "knows no actions" in capsys.readouterr().err and files(datasets) == []


@pytest.mark.parametrize("package", ["minari", "h5py"])
def test_without_the_library_the_extra_is_named(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["minari", "noise/a-v0"]) == 2
    assert "genie-env[minari]" in capsys.readouterr().err
