"""A recording as tokens, on disk: what dynamics and outcome head learn from, and what they need to know of it.

Two bytes a token and seven more a frame, memory-mapped. The manifest says which tokenizer made the tokens, how many
there are, and which actions the dynamics is given; stages take their sizes from it. It is written shard by shard into
``<folder>.partial``, where a killed writer goes on, and renamed when it is complete.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from genie_env.config import TokenSpace
from genie_env.files.arrays import open_array, write_array
from genie_env.files.atomic import claim_folder, publish_folder, refuse_existing, write_json
from genie_env.files.errors import FileError
from genie_env.files.json_config import JsonConfig
from genie_env.files.reading import checksum, read_json

C = TypeVar("C", bound=JsonConfig)
FORMAT = "genie-env-tokens-1"
MANIFEST = "manifest.json"
MANIFEST_BYTES = 64 * 2**20
Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
ARRAYS = {
    "tokens": "uint16",
    "actions": "int16",
    "real_actions": "int16",
    "rewards": "float32",
    "terminated": "bool",
}


class TokenEpisode(NamedTuple):
    """One tokenized episode; row t as in :mod:`genie_env.data.episodes`."""

    tokens_TN: np.ndarray
    """uint16 [T, N]."""
    actions_T: np.ndarray
    """Action of the dynamics: an inferred code, or the effect of the recorded action."""
    real_actions_T: np.ndarray
    rewards_T: np.ndarray
    terminated_T: np.ndarray


@dataclass(frozen=True)
class TokenEntry(JsonConfig):
    """An episode of ``length`` frames; it follows the one before it in ``shard``."""

    shard: int
    length: int
    split: Split


@dataclass(frozen=True)
class TokenManifest(JsonConfig):
    """What a token store holds; the one file that makes a folder a store."""

    vocab_size: int
    side: int
    actions: Literal["inferred", "recorded"]
    """``inferred``: codes of the latent action model; ``recorded``: effects of the actions that were played."""
    num_actions: int
    tokenizer: dict[str, Any]
    """Its configuration."""
    tokenizer_sha256: str
    """SHA-256 of its weights."""
    latent_action_sha256: str
    """SHA-256 of the weights of the model that inferred the actions; empty where they were recorded."""
    recording: str
    """Folder of the recording, as it was named."""
    recording_sha256: str
    """SHA-256 of the recording's manifest."""
    episodes: tuple[TokenEntry, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the recording."""
    sha256: dict[str, str] = field(default_factory=dict)
    """Checksum of each array's file."""
    format: str = FORMAT

    def __post_init__(self) -> None:
        for name, high in (("vocab_size", 2**16), ("side", 2**10), ("num_actions", 2**15 - 1)):
            if not 1 <= getattr(self, name) <= high:
                raise ValueError(f"{name}: expected an integer from 1 to {high}, got {getattr(self, name)}")
        if any(entry.length < 1 or entry.shard < 0 for entry in self.episodes):
            raise ValueError("episodes: expected lengths >= 1 and shards >= 0")

    @property
    def tokens(self) -> TokenSpace:
        """The tokens of a frame."""
        return TokenSpace(self.vocab_size, self.side)

    @property
    def num_shards(self) -> int:
        """Shards that the arrays lie in."""
        return max((entry.shard for entry in self.episodes), default=-1) + 1

    def require_range(self, name: str, values: np.ndarray, path: Path) -> None:
        """Refuse tokens and actions that there are none of.

        Raises:
            FileError: that names ``path``.
        """
        bounds = {"tokens": (0, self.vocab_size - 1), "actions": (-1, self.num_actions - 1)}
        if name in bounds and len(values):
            (low, high), least, most = bounds[name], values.min(), values.max()
            if least < low or most > high:
                raise FileError(path, f"expected values from {low} to {high}, got {least} to {most}")

    def rows(self, shard: int) -> int:
        """Frames of one shard."""
        return sum(entry.length for entry in self.episodes if entry.shard == shard)


class TokenStore:
    """A finished token store, memory-mapped."""

    def __init__(self, folder: Path | str) -> None:
        """Open ``folder``.

        Raises:
            FileError: if it is no token store, or an array is missing, damaged, or holds what the manifest excludes.
        """
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        if not path.exists():
            raise FileError(self.folder, "expected tokens with manifest.json (make them with `training.tokenize`)")
        content = read_json(path, "the manifest of tokens", MANIFEST_BYTES)
        try:
            self.manifest = TokenManifest.from_json(content)
        except ValueError as error:
            raise FileError(path, f"expected the manifest of tokens ({error})") from None
        if self.manifest.format != FORMAT:
            raise FileError(path, f"expected format {FORMAT!r}, got {self.manifest.format!r}")
        self._shards = [self._open_shard(shard) for shard in range(self.manifest.num_shards)]

    @property
    def recorded_actions(self) -> bool:
        """Whether the dynamics is given effects of recorded actions, not inferred codes."""
        return self.manifest.actions == "recorded"

    def episodes(self, split: str) -> list[TokenEpisode]:
        """All episodes of ``train`` or ``test``, in the recording's order."""
        return [episode for entry, episode in self._all() if entry.split == split]

    def _all(self) -> Iterator[tuple[TokenEntry, TokenEpisode]]:
        starts = [0] * self.manifest.num_shards
        for entry in self.manifest.episodes:
            rows = slice(starts[entry.shard], starts[entry.shard] + entry.length)
            starts[entry.shard] = rows.stop
            yield entry, TokenEpisode(*(self._shards[entry.shard][name][rows] for name in ARRAYS))

    def _open_shard(self, shard: int) -> dict[str, np.ndarray]:
        manifest = self.manifest
        rows, inner = manifest.rows(shard), {"tokens": (manifest.tokens.num_tokens,)}
        paths = {name: array_path(self.folder, shard, name) for name in ARRAYS}
        arrays = {name: open_array(paths[name], ARRAYS[name], (rows, *inner.get(name, ()))) for name in ARRAYS}
        for name, array in arrays.items():
            manifest.require_range(name, array, paths[name])
        if not np.isfinite(arrays["rewards"]).all():
            raise FileError(paths["rewards"], "expected finite rewards")
        return arrays


class TokenWriter:
    """Writes a token store shard by shard and publishes it with :meth:`finish`. One process at a time."""

    def __init__(self, folder: Path | str, manifest: TokenManifest, settings: Mapping[str, Any] | None = None) -> None:
        """Prepare ``<folder>.partial``.

        Args:
            folder: of the store.
            manifest: all of it but the checksums.
            settings: what decided what is written; it stays beside the manifest.

        Raises:
            ValueError: if ``folder`` exists, or the tokens of other settings were begun there.
        """
        self.folder, self._manifest = Path(folder), manifest
        refuse_existing(self.folder)
        self._partial = partial_folder(self.folder)
        self._partial.mkdir(parents=True, exist_ok=True)
        claim_folder(self._partial / "settings.json", dict(settings or {}))

    def has_shard(self, shard: int) -> bool:
        """Whether a shard was finished before and is undamaged."""
        try:
            recorded = read_json(self._shard_json(shard), "checksums")
            paths = [array_path(self._partial, shard, name) for name in ARRAYS]
            return recorded == {path.name: checksum(path) for path in paths}
        except FileError:
            return False

    def write_shard(self, shard: int, episodes: list[TokenEpisode]) -> None:
        """Write all episodes of a shard; they count only once its JSON file of checksums is in place.

        Raises:
            FileError: if a token or action is none of those that the manifest allows.
        """
        columns = {name: np.concatenate(parts) for name, parts in zip(ARRAYS, zip(*episodes, strict=True), strict=True)}
        sums = {}
        for name, column in columns.items():
            path = array_path(self._partial, shard, name)
            self._manifest.require_range(name, column, path)
            write_array(path, column.astype(ARRAYS[name]))
            sums[path.name] = checksum(path)
        write_json(self._shard_json(shard), sums)

    def finish(self) -> TokenStore:
        """Write the manifest, publish the folder and open it."""
        sums = [read_json(self._shard_json(shard), "checksums") for shard in range(self._manifest.num_shards)]
        manifest = replace(self._manifest, sha256={name: value for part in sums for name, value in part.items()})
        write_json(self._partial / MANIFEST, manifest.to_json())
        for shard in range(manifest.num_shards):
            self._shard_json(shard).unlink()
        publish_folder(self._partial, self.folder)
        return TokenStore(self.folder)

    def _shard_json(self, shard: int) -> Path:
        return self._partial / f"{shard:05d}.json"


def sized(model: JsonConfig, config_class: type[C], store: TokenStore) -> C:
    """The configuration of a network that reads these tokens.

    Args:
        model: what a person chose; sizes that it states must be those of the tokens.
        config_class: of the network.
        store: the tokens.

    Raises:
        ValueError: if a size is stated that the tokens do not have; names both.
    """
    manifest, given = store.manifest, model.to_json()
    facts = {
        "vocab_size": manifest.vocab_size,
        "side": manifest.side,
        "num_tokens": manifest.tokens.num_tokens,
        "num_actions": manifest.num_actions,
    }
    sizes = {field.name: facts[field.name] for field in dataclasses.fields(config_class) if field.name in facts}
    wrong = [f"{k} {given[k]} for the model, {v} in the tokens" for k, v in sizes.items() if given.get(k, v) != v]
    if wrong:
        raise ValueError(f"{store.folder}: expected equal sizes, got {'; '.join(wrong)}")
    return config_class.from_json({**given, **sizes})


def write_made_up(
    folder: Path | str, episodes: Mapping[Split, list[TokenEpisode]], tokens: TokenSpace, num_actions: int
) -> TokenStore:
    """Write episodes of each split that no recording holds, for measurements and tests."""
    splits: list[Split] = [split for split in SPLITS if episodes.get(split)]
    entries = [TokenEntry(k, len(e.tokens_TN), split) for k, split in enumerate(splits) for e in episodes[split]]
    manifest = TokenManifest(
        vocab_size=tokens.vocab_size,
        side=tokens.side,
        actions="inferred",
        num_actions=num_actions,
        tokenizer={},
        tokenizer_sha256="",
        latent_action_sha256="",
        recording="",
        recording_sha256="",
        episodes=tuple(entries),
    )
    writer = TokenWriter(folder, manifest)
    for shard, split in enumerate(splits):
        writer.write_shard(shard, episodes[split])
    return writer.finish()


def partial_folder(folder: Path) -> Path:
    """Where a token store is made that is to appear at ``folder``."""
    return folder.with_name(folder.name + ".partial")


def array_path(folder: Path, shard: int, name: str) -> Path:
    """Where one of :data:`ARRAYS` of a shard lies."""
    return folder / f"{shard:05d}.{name}.npy"
