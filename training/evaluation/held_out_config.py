"""The flags that all commands share that measure a world on held-out play."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import tyro

from genie_env.bundle import load_world
from genie_env.config import SamplingConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.games.modules import import_games
from genie_env.games.registry import Game, game_for
from training.data.token_store import TokenStore
from training.evaluation.held_out import HeldOutPlay, read_held_out


@dataclass(frozen=True)
class HeldOutConfig:
    """Which world is measured, on which held-out play."""

    world: tyro.conf.Positional[str]
    """Bundled name, folder or hf:// address."""
    data: Path
    """Recording whose held-out episodes are used."""
    tokens: Path | None = None
    """Tokens of that recording (training.tokenize), read instead of made again; by default they are made."""
    max_frames: int = 40_000
    """Most held-out frames read; clips come from these."""
    temperature: float | None = None
    """Temperature to sample with; default: the world's own."""
    top_p: float | None = None
    """Nucleus (top-p) to sample with; default: the world's own."""
    decode_steps: int | None = None
    """Passes of the decoding head for each frame; default: the world's own."""
    device: str = "auto"
    """Torch device, or ``auto``."""
    module: str = ""
    """Python module to import first, when importing it registers the real game."""
    seed: int = 0
    """Seed of clips, actions, policy and dreams."""
    quick: bool = False
    """Measure a little of everything, to see that it runs; no value then means much."""

    def sampling(self, own: SamplingConfig) -> SamplingConfig:
        """The world's own sampling, with this configuration's changes."""
        changes = {"temperature": self.temperature, "top_p": self.top_p, "decode_steps": self.decode_steps}
        return dataclasses.replace(own, **{k: v for k, v in changes.items() if v is not None})

    def open(self, game: Game | None = None) -> HeldOutPlay:
        """Open world and recording and read the held-out episodes.

        Args:
            game: knowledge about the game, where ``genie_env.games.registry`` has none.

        Raises:
            ValueError: if world, recording or tokens cannot be read or do not fit each other.
        """
        import_games(self.module)
        world, store = load_world(self.world, self.device), EpisodeStore(self.data)
        tokens = None if self.tokens is None else TokenStore(self.tokens)
        return read_held_out(world, store, game or game_for(store.manifest.source.env_id), self.max_frames, tokens)

    def require_positive(self, *names: str) -> None:
        """Refuse sizes that are none.

        Raises:
            ValueError: that names the first field below 1.
        """
        for name in names:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {getattr(self, name)}")
