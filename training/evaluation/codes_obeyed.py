"""Whether each latent action does in the dream what its prototype says, whatever was pressed before.

From one state every code is pressed for one step, with the same random numbers, after every other code before it. What
a code then does is measured against the mean of all codes, as its prototype was; it obeyed if of all prototypes its own
is nearest. A dream that ignores codes draws the same under each and obeys with one of them alone.

Where the game's sprites are known, the sprite that actions move is measured; elsewhere whatever differs in the picture.
"""

from __future__ import annotations

import numpy as np
import torch

from genie_env.config import SamplingConfig
from genie_env.frames import to_float
from genie_env.games.sprites import find_sprites, sprite_of
from genie_env.measurement import Measurement, Metric, Subset, with_fields
from genie_env.statistics import mean, ratio
from training.evaluation.episodes import LATENT_ACTIONS, ROOM
from training.evaluation.free_play import reach_of
from training.evaluation.held_out import BATCH, Clips, HeldOutPlay
from training.latent_action.prototypes import motions

MOST_ROWS = 1536
"""Dreams in all; with many codes fewer states are looked at."""
LEAST_MOVE = 0.25
"""Pixels; where dreams move less than this, they are not measured in units of it."""


def measure_codes_obeyed(play: HeldOutPlay, clips: Clips, sampling: SamplingConfig) -> list[Measurement]:
    """Share of steps in which a code did what its prototype says; none for worlds whose codes were not measured."""
    prototypes_A3 = np.array(play.world.config.prototypes)
    if not len(prototypes_A3):
        return []
    states_SBHWC, after_SBAHWC = press_all(play, clips, sampling)
    of = measure_motions(after_SBAHWC, play.background_HWC)
    obeyed_SBA = obeys(of, prototypes_A3)
    found = [Measurement.of(Metric.CODES_OBEYED, mean(obeyed_SBA))]
    for sprite, places_SBAK, axes_K, free_SB in _of_sprites(play, states_SBHWC, after_SBAHWC):
        moved_SBA = obeys(_against_mean(places_SBAK), prototypes_A3[:, axes_K])
        in_room = {"subset": Subset.ROOM_TO_MOVE, "sprite": sprite}
        free_SBA = np.broadcast_to(free_SB[..., None], moved_SBA.shape)
        found.append(Measurement.of(Metric.CODES_OBEYED, ratio(moved_SBA & free_SBA, free_SBA), **in_room))
    return with_fields(found, experiment=LATENT_ACTIONS)


def press_all(play: HeldOutPlay, clips: Clips, sampling: SamplingConfig) -> tuple[np.ndarray, np.ndarray]:
    """From the context of S clips each code B, and after it each code A: frames [S, B, H, W, 3], [S, B, A, H, W, 3]."""
    count = play.world.config.dynamics.num_actions
    states = max(1, min(len(clips.tokens_CTN), MOST_ROWS // count**2))
    pairs = torch.cartesian_prod(torch.arange(count), torch.arange(count))
    # All dreams of a state have its key: the step before is the same whatever follows it.
    keys = torch.arange(states).repeat_interleave(len(pairs))
    pressed = pairs.repeat(states, 1)
    engine, dreamed = play.world.engine(sampling), []
    for rows in torch.arange(len(keys)).split(BATCH):
        prompts, given = (
            clips.tokens_CTN[keys[rows], : clips.context],
            clips.actions_CT[keys[rows], : clips.context - 1],
        )
        device = play.world.device
        rolled = engine.roll(prompts.to(device), given.to(device), pressed[rows].to(device), keys_B=keys[rows])
        dreamed.append(play.world.decode(rolled.tokens_BTN).cpu().numpy())
    frames = np.concatenate(dreamed)
    frames = frames.reshape(states, count, count, *frames.shape[1:])
    return frames[:, :, 0, 0], frames[:, :, :, 1]


def measure_motions(after_SBAHWC: np.ndarray, background_HWC: np.ndarray) -> np.ndarray:
    """Where each code moves what differs between codes, and what it adds: [S, B, A, 3], as prototypes are."""
    states, befores = after_SBAHWC.shape[:2]
    backdrop_CHW = to_float(torch.from_numpy(background_HWC)[None])[0]
    found = []
    for drawn_BAHWC in after_SBAHWC:
        drawn = to_float(torch.from_numpy(drawn_BAHWC.reshape(-1, *drawn_BAHWC.shape[2:])))
        found.append(motions(drawn.unflatten(0, drawn_BAHWC.shape[:2]), backdrop_CHW, 1.0))
    return torch.stack(found).reshape(states, befores, -1, 3).numpy()


def obeys(effects_SBAK: np.ndarray, prototypes_AK: np.ndarray) -> np.ndarray:
    """Whether of all prototypes that of the pressed code is nearest: bool [S, B, A].

    Each is measured in units of its own farthest move: drawings move things less far than they mean. A sprite that
    vanished (NaN) did not obey.

    Args:
        effects_SBAK: pixels by which things moved (the first two of three columns, or all), and the share added.
        prototypes_AK: the same columns of the prototypes.
    """
    moves = slice(0, min(2, prototypes_AK.shape[1]))
    own = max(LEAST_MOVE, float(np.linalg.norm(prototypes_AK[:, moves], axis=1).max()))
    # What vanished moved nowhere.
    farthest_SB = np.nan_to_num(np.linalg.norm(effects_SBAK[..., moves], axis=-1)).max(-1)
    seen = max(LEAST_MOVE, float(np.median(farthest_SB)))
    units = [np.where(np.arange(prototypes_AK.shape[1]) < 2, unit, 1.0) for unit in (seen, own)]
    gaps_SBAA = effects_SBAK[:, :, :, None] / units[0] - prototypes_AK / units[1]
    distances_SBAA = np.linalg.norm(gaps_SBAA, axis=-1)
    nearest_SBA = np.where(np.isnan(distances_SBAA), np.inf, distances_SBAA).argmin(-1)
    return (nearest_SBA == np.arange(len(prototypes_AK))) & np.isfinite(effects_SBAK).all(-1)


def _against_mean(places_SBAK: np.ndarray) -> np.ndarray:
    """Places against their mean over the codes under which the sprite is there."""
    there = np.isfinite(places_SBAK)
    return places_SBAK - np.nan_to_num(places_SBAK).sum(2, keepdims=True) / there.sum(2, keepdims=True).clip(1)


def _of_sprites(
    play: HeldOutPlay, states_SBHWC: np.ndarray, after_SBAHWC: np.ndarray
) -> list[tuple[str, np.ndarray, list[int], np.ndarray]]:
    """Of each sprite that actions move: its name, places after each code, their axes, and where it had room before."""
    if play.game.colours is None:
        return []
    names = list(dict.fromkeys(name for _, name, _ in play.game.action_directions))
    recorded = np.concatenate([play.store.array("frames", e.entry)[: len(e.tokens_TN)] for e in play.episodes])
    reach = reach_of(recorded, play.game)
    before, after = (find_sprites(f, play.game.colours).coordinates() for f in (states_SBHWC, after_SBAHWC))
    found = []
    for sprite in dict.fromkeys(map(sprite_of, names)):
        of = [name for name in names if sprite_of(name) == sprite]
        room = [(before[n] >= reach[n][0] + ROOM) & (before[n] <= reach[n][1] - ROOM) for n in of]
        axes = ["xy".index(name[-1]) for name in of]
        found.append((sprite, np.stack([after[name] for name in of], axis=-1), axes, np.logical_and.reduce(room)))
    return found
