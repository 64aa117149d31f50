"""A token store is whole or absent, says what it holds, and refuses what its manifest excludes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genie_env.config import TokenSpace
from genie_env.data.episodes import EpisodeEntry
from genie_env.files.errors import FileError
from tests.helpers.worlds import TinyWorld
from training.data import tokenize_episodes
from training.data.token_store import (
    ARRAYS,
    TokenEpisode,
    TokenManifest,
    TokenStore,
    TokenWriter,
    array_path,
    write_made_up,
)
from training.data.tokenize_episodes import TokenizeConfig, by_shard, kept_episodes, tokenize
from training.engine.stamp import fingerprint

TOKENS = TokenSpace(vocab_size=2**16, side=2)


def episode(seed: int, length: int) -> TokenEpisode:
    rng = np.random.default_rng(seed)
    return TokenEpisode(
        rng.integers(TOKENS.vocab_size, size=(length, TOKENS.num_tokens)),
        rng.integers(-1, 3, size=length),
        rng.integers(6, size=length),
        rng.normal(size=length).astype(np.float32),
        rng.random(length) < 0.5,
    )


@pytest.fixture
def made_up(tmp_path: Path) -> TokenStore:
    episodes = [episode(seed, 5 + seed) for seed in range(3)]
    return write_made_up(tmp_path / "tokens", {"train": episodes[:2], "test": episodes[2:]}, TOKENS, 3)


def test_every_row_comes_back_as_it_was_written(made_up: TokenStore) -> None:
    found = [*made_up.episodes("train"), *made_up.episodes("test")]
    assert len(found) == 3
    for seed, read in enumerate(found):
        for name, column in zip(ARRAYS, zip(read, episode(seed, 5 + seed), strict=True), strict=True):
            assert np.array_equal(*column) and column[0].dtype == ARRAYS[name], name
            assert not column[0].flags.writeable


def test_a_frame_takes_two_bytes_a_token_and_nine_more(made_up: TokenStore) -> None:
    frames = sum(len(e.tokens_TN) for split in ("train", "test") for e in made_up.episodes(split))
    total = sum(np.load(path).nbytes for path in made_up.folder.glob("*.npy"))
    assert total == frames * (2 * TOKENS.num_tokens + 9)


def edit(store: TokenStore, **changes: Any) -> None:
    path = store.folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 9}, r"tokens\.npy: expected values from 0 to 8"),
        ({"num_actions": 2}, r"00000\.actions\.npy: expected values from -1 to 1"),
        ({"side": 3}, r"tokens\.npy: expected uint16 \[11, 9\], got uint16 \[11, 4\]"),
        ({"side": 10**9}, r"manifest\.json: .*side: expected an integer from 1 to 1024"),
        ({"vocab_size": 0}, r"manifest\.json: .*vocab_size: expected an integer"),
        ({"actions": "dreamed"}, r"manifest\.json: .*actions: expected one of"),
        ({"format": "genie-env-tokens-9"}, r"manifest\.json: expected format"),
        ({"episodes": [{"shard": 0, "length": 10**12, "split": "train"}]}, r"tokens\.npy: expected uint16 \[10"),
        ({"episodes": [{"shard": 10**12, "length": 1, "split": "train"}]}, r"tokens\.npy"),
        ({"episodes": [{"shard": 0, "length": -1, "split": "train"}]}, "lengths >= 1"),
        ({"episodes": [{"shard": 0, "length": 5, "split": "TRAIN"}]}, "split: expected one of"),
        ({"surprise": 1}, "unknown fields"),
    ],
)
def test_damaged_manifest_is_refused_by_name(made_up: TokenStore, changes: dict[str, Any], message: str) -> None:
    edit(made_up, **changes)
    with pytest.raises(FileError, match=message):
        TokenStore(made_up.folder)


def test_damaged_arrays_are_refused_by_name(made_up: TokenStore) -> None:
    path = array_path(made_up.folder, 0, "rewards")
    rewards = np.load(path)
    rewards[3] = np.nan
    np.save(path, rewards)
    with pytest.raises(FileError, match=r"00000\.rewards\.npy: expected finite rewards"):
        TokenStore(made_up.folder)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match=r"00000\.rewards\.npy"):
        TokenStore(made_up.folder)
    path.unlink()
    with pytest.raises(FileError, match=r"00000\.rewards\.npy: missing"):
        TokenStore(made_up.folder)


def test_folder_without_a_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere: expected tokens.*training\.tokenize"):
        TokenStore(tmp_path / "nowhere")


def test_fingerprint_changes_with_any_token(made_up: TokenStore, tmp_path: Path) -> None:
    episodes = [episode(seed, 5 + seed) for seed in range(3)]
    same = write_made_up(tmp_path / "same", {"train": episodes[:2], "test": episodes[2:]}, TOKENS, 3)
    episodes[1].tokens_TN[0, 0] ^= 1
    other = write_made_up(tmp_path / "other", {"train": episodes[:2], "test": episodes[2:]}, TOKENS, 3)
    assert fingerprint(same.folder) == fingerprint(made_up.folder) != fingerprint(other.folder)


# The tokenize stage.


def config(tiny: TinyWorld, out: Path) -> TokenizeConfig:
    return TokenizeConfig(tiny.data, out, tiny.run / "tokenizer", tiny.run / "latent_action")


def test_manifest_says_what_made_the_tokens(tiny_world: TinyWorld) -> None:
    manifest = TokenStore(tiny_world.run / "tokens").manifest
    made = json.loads((tiny_world.run / "tokenizer" / "config.json").read_text())
    assert manifest.tokenizer == made and manifest.vocab_size == made["vocab_size"] and manifest.side == 8
    assert manifest.actions == "inferred" and manifest.num_actions == 3
    assert len(manifest.tokenizer_sha256) == len(manifest.latent_action_sha256) == len(manifest.recording_sha256) == 64
    assert manifest.recording == str(tiny_world.data)


def test_killed_tokenizing_goes_on_to_the_identical_store(
    tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, shards = TokenWriter.write_shard, []

    def dying(self: TokenWriter, shard: int, episodes: list[TokenEpisode]) -> None:
        if len(shards) == 2:
            array_path(self._partial, shard, "tokens").write_bytes(b"half a shard")
            raise KeyboardInterrupt
        shards.append(shard)
        write(self, shard, episodes)

    with monkeypatch.context() as patch:
        patch.setattr(TokenWriter, "write_shard", dying)
        with pytest.raises(KeyboardInterrupt):
            tokenize(config(tiny_world, tmp_path / "tokens"))
    assert not (tmp_path / "tokens").exists()
    tokenize(config(tiny_world, tmp_path / "tokens"))
    whole = tiny_world.run / "tokens"
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]
    assert sorted(p.name for p in whole.iterdir()) == sorted(p.name for p in (tmp_path / "tokens").iterdir())
    for path in whole.iterdir():
        assert path.read_bytes() == (tmp_path / "tokens" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("damaged", ["00000.tokens.npy", "00001.rewards.npy", "00001.json"])
def test_a_damaged_shard_of_an_interrupted_tokenizing_is_made_again(
    damaged: str, tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(TokenWriter, "finish", lambda self: None)
        tokenize(config(tiny_world, tmp_path / "tokens"))
    path = tmp_path / "tokens.partial" / damaged
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    tokenize(config(tiny_world, tmp_path / "tokens"))
    for whole in (tiny_world.run / "tokens").iterdir():
        assert whole.read_bytes() == (tmp_path / "tokens" / whole.name).read_bytes(), whole.name


def test_tokens_of_other_settings_are_not_mixed(
    tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tokenize_episodes, "_tokenized", die)
    with pytest.raises(KeyboardInterrupt):
        tokenize(config(tiny_world, tmp_path / "tokens"))
    other = TokenizeConfig(**{**vars(config(tiny_world, tmp_path / "tokens")), "recorded_actions": True})
    with pytest.raises(ValueError, match="actions"):
        tokenize(other)


def test_shards_of_which_no_episode_is_kept_are_left_out() -> None:
    entries = [EpisodeEntry(shard, k, 10, "sticky", "train", True) for k, shard in enumerate((0, 0, 2, 3, 3))]
    assert by_shard(entries) == [entries[:2], entries[2:3], entries[3:]], "numbered by those that are left"


@pytest.mark.parametrize("most", [None, 10, 400, 1000, 5000])
def test_kept_episodes_come_from_everywhere_and_those_held_out_stay(most: int | None) -> None:
    rng = np.random.default_rng(0)
    episodes = [
        EpisodeEntry(k // 5, k, int(rng.integers(10, 90)), "sticky", "train" if k % 9 else "test", True)
        for k in range(60)
    ]
    kept = kept_episodes(episodes, most)
    train, test = ([e for e in kept if e.split == split] for split in ("train", "test"))
    assert test == [e for e in episodes if e.split == "test"] and train
    assert kept == [e for e in episodes if e in kept], "in their order"
    if most is None or most >= sum(e.length for e in episodes):
        assert kept == episodes
    elif most > 500:
        assert sum(e.length for e in kept) <= most
        assert len({e.shard for e in train}) > 8, "players follow each other in a recording"


def test_vocabulary_beyond_two_bytes_is_refused() -> None:
    facts = dict.fromkeys(("tokenizer_sha256", "latent_action_sha256", "recording", "recording_sha256"), "")
    with pytest.raises(ValueError, match="vocab_size: expected an integer from 1 to 65536, got 65537"):
        TokenManifest(2**16 + 1, 8, "inferred", 3, {}, **facts, episodes=())
