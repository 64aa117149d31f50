"""Fit a world's action map from a few labelled transitions: ``python -m agents.fit_action_map worlds/my_game``.

The labels come from a recording, or from a few seconds of diverse random play in the real game. The report has the
purity of each latent action, the share of effects that are covered, and how often the map names the right effect on
transitions that it was not fitted to. With ``--write`` the map is stored in the bundle, whose dreams then take the
game's own actions.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from agents.real_env import make_real_env
from genie_env.action_map import to_real
from genie_env.bundle import CARD, find_own_world, load_world, save_world
from genie_env.bundled_policy import policy_folder_of
from genie_env.command import run
from genie_env.config import ActionMapConfig, WorldConfig
from genie_env.data.checks import require_spaces_of
from genie_env.data.clips import draw_clips
from genie_env.data.episodes import EpisodeStore
from genie_env.data.fit_action_map import fit_action_map, infer_effects
from genie_env.games.players import DiversePlayer
from genie_env.tables import markdown_table
from genie_env.world import World


@dataclass(frozen=True)
class FitActionMapConfig:
    """Fit a world's action map."""

    world: tyro.conf.Positional[str]
    """Bundled name, folder or hf:// address."""
    data: Path | None = None
    """Recording to take labels from; without one the real game is played at random."""
    labels: int = 200
    """Labelled transitions to fit the map to."""
    held_out: int = 1000
    """Further transitions to measure the map on."""
    write: bool = False
    """Store the map in the bundle."""
    seed: int = 0
    """Seed of the draw from a recording, or of the play."""


class Labelled(NamedTuple):
    """Transitions with both actions."""

    latent_M: np.ndarray
    real_M: np.ndarray
    before_M: np.ndarray
    """The real action of the transition before each, -1 where there was none."""


class Fitted(NamedTuple):
    """A map and how often it is right."""

    config: WorldConfig
    """Configuration of the world with the map."""
    mapped: ActionMapConfig
    held_out: float
    """Share of held-out transitions whose effect the map names."""


def fit(world: World, labelled: Labelled, held_out: Labelled) -> Fitted:
    """Fit a map and measure it; effects are inferred where nothing is known of the game's.

    Raises:
        ValueError: if there are no labels.
    """
    source, num_latent = world.config.source, world.config.dynamics.num_actions
    num_real = len(source.action_meanings)
    if len(set(source.effects)) in (0, num_real):
        effects = infer_effects(labelled.latent_M, labelled.real_M, num_real, num_latent)
        source = dataclasses.replace(source, effects=effects)
    mapped = fit_action_map(labelled.latent_M, labelled.real_M, source.effects, num_latent, labelled.before_M)
    named_M = to_real(mapped, held_out.latent_M, held_out.before_M)
    effect_of = np.array(source.effects)
    right = float((effect_of[named_M] == effect_of[held_out.real_M]).mean())
    return Fitted(dataclasses.replace(world.config, source=source, action_map=mapped), mapped, right)


def _lead(world: World) -> int:
    """Frames that the world's latent action model sees before a transition.

    Raises:
        ValueError: if the world has none.
    """
    if world.config.latent_action is None:
        raise ValueError(f"{world.config.name}: has no latent action model; its actions are the game's own already")
    return world.config.latent_action.context_frames


def recorded_labels(world: World, data: Path, split: str, count: int, seed: int) -> Labelled:
    """Transitions drawn evenly from a split of a recording.

    Raises:
        ValueError: if the recording cannot be read, is of a game with other frames or actions, or no episode is long
            enough.
    """
    store, rng = EpisodeStore(data), np.random.default_rng(seed)
    require_spaces_of(world.config, store.manifest.source, data)
    lead = _lead(world)
    clips, real, before = [], [], []
    for entry, first in draw_clips(store, split, rng, count, lead + 1):
        last = first + lead
        clips.append(np.array(store.array("frames", entry)[first : last + 1]))
        actions = store.array("actions", entry)
        real.append(int(actions[last - 1]))
        before.append(int(actions[last - 2]) if last > 1 else -1)
    return _label(world, np.stack(clips), np.array(real), np.array(before))


def played_labels(world: World, count: int, seed: int) -> Labelled:
    """Transitions of diverse random play in the real game, spread over it.

    Raises:
        ImportError: if the game is not installed; the message names the extra.
        ValueError: if the world names no game.
    """
    game, rng = make_real_env(world), np.random.default_rng(seed)
    lead = _lead(world)
    # Actions in turn keep a paddle in the middle, where each of them has a visible effect; at a wall none has.
    player = DiversePlayer(len(world.config.source.action_meanings), rng, weight=1.0)
    frames = [game.reset(seed=seed)[0]]
    clips, real, before = [], [], []
    action = -1
    while len(clips) < count:
        earlier, action = action, player.act(None)
        frame, _, terminated, truncated, _ = game.step(action)
        frames = [*frames[-lead:], frame]
        if len(frames) > lead and rng.random() < 0.25:
            clips.append(np.stack(frames))
            real.append(action)
            before.append(earlier)
        if terminated or truncated:
            frames, action = [game.reset()[0]], -1
            player.reset()
    game.close()
    return _label(world, np.stack(clips), np.array(real), np.array(before))


def _label(world: World, clips_MTHWC: np.ndarray, real_M: np.ndarray, before_M: np.ndarray) -> Labelled:
    parts = [
        world.infer_actions(part)[:, -1].cpu().numpy() for part in np.array_split(clips_MTHWC, -(-len(real_M) // 256))
    ]
    return Labelled(np.concatenate(parts), real_M, before_M)


def markdown(fitted: Fitted) -> str:
    """The map and how well it names effects."""
    names, mapped = fitted.config.source.action_meanings, fitted.mapped
    codes = [
        (code, names[real], f"{purity:.2f}")
        for code, (real, purity) in enumerate(zip(mapped.latent_to_real, mapped.purity, strict=True))
    ]
    tables = [
        markdown_table(("latent action", "stands for", "purity"), codes),
        markdown_table(("real action", "latent action"), zip(names, mapped.real_to_latent, strict=True)),
    ]
    if mapped.real_to_latent_after:
        rows = [(name, *row) for name, row in zip(names, mapped.real_to_latent_after, strict=True)]
        tables.append(markdown_table(("after", *names), rows))
    agreement = "–" if mapped.agreement is None else f"{mapped.agreement:.3f}"
    summary = (
        f"{mapped.num_labels} labels; effects covered {mapped.coverage:.2f}; agreement {agreement} on labels left out, "
        f"{fitted.held_out:.3f} on held-out transitions.\n"
    )
    return "\n".join([*tables, summary])


def main(config: FitActionMapConfig) -> None:
    """Command line."""
    own = find_own_world(config.world) if config.write else None
    world = load_world(config.world, "cpu")
    if config.data is not None:
        labelled = recorded_labels(world, config.data, "train", config.labels, config.seed)
        held_out = recorded_labels(world, config.data, "test", config.held_out, config.seed)
    else:
        labelled = played_labels(world, config.labels, config.seed)
        held_out = played_labels(world, config.held_out, config.seed + 1)
    fitted = fit(world, labelled, held_out)
    print(markdown(fitted))
    if own is not None:
        card = (own / CARD).read_text(encoding="utf-8")
        mapped = world.replace(config=fitted.config)
        save_world(mapped, own, card=card, replace=True, policy=policy_folder_of(own))


if __name__ == "__main__":
    raise SystemExit(run(main, FitActionMapConfig, description=__doc__))
