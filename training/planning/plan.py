"""From what was seen to a recipe: every choice with the reason for it, in words for the person who waits.

Two plans follow each other. The first is made before anything is recorded, from a probe of the game; the second when
the recording is there and tokenizer, rewards and clips can be chosen by measuring. Neither runs a stage.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from genie_env.config import SamplingConfig, SourceConfig, TokenizerConfig
from genie_env.data.episodes import EpisodeStore
from training.engine.loop import LoopConfig
from training.planning.budget import divide
from training.planning.crop import CropChoice, choose_crop
from training.planning.probe import GameProbe
from training.planning.recording_facts import RecordingFacts, recording_facts, sample_frames
from training.planning.tokenizer_choice import TokenizerChoice, choose_tokenizer
from training.recipes import Recipe

LEAST_STEPS, MOST_STEPS = 6_000, 200_000
USED_OF_RECORDING = 0.6
"""Share of the recording's minutes that steps are planned for; the rest is starting up and writing."""
MOST_REWARDS = 8
SAMPLE_TRAIN, SAMPLE_HELD_OUT = 20_000, 2_000
LONGEST_CLIP = 24
PLAYERS = {"random": 0.1, "sticky": 0.25, "biased": 0.65}


@dataclass(frozen=True)
class Plan:
    """A recipe, the minutes of its stages, and what led to it."""

    recipe: Recipe
    minutes: dict[str, float]
    """Planned minutes of each stage; they add up to the budget."""
    findings: tuple[str, ...]
    """What was seen, one line each."""
    choices: tuple[str, ...]
    """What was chosen and why, one line each."""
    records: bool = False
    """Whether the game is yet to be recorded."""


def plan_game(probe: GameProbe, minutes: float, image_size: int = 64, module: str = "") -> Plan:
    """Plan a world of a game that can be played.

    Args:
        probe: what a first look at the game showed.
        minutes: budget of everything, recording and evaluation included.
        image_size: edge of a frame in pixels.
        module: module that registers the game.

    Raises:
        ValueError: if there are too few minutes.
    """
    planned = divide(minutes, learned_tokenizer=False, latent_action=False)
    crop = choose_crop(probe.pictures_MHWC, image_size, TokenizerConfig().patch_size)
    steps = int(60 * planned["record"] * USED_OF_RECORDING * probe.steps_per_second)
    steps = max(LEAST_STEPS, min(MOST_STEPS, steps))
    source, kept = probe.source, {} if crop.crop is None else {"crop": crop.crop}
    recipe = Recipe(
        env=source.env_id,
        steps=steps,
        env_kwargs=json.dumps(source.env_kwargs),
        module=module,
        tokenizer=TokenizerConfig(image_size=image_size),
        latent_action=None,
        recorded_actions=True,
        record={"players": json.dumps(PLAYERS), "fps": source.fps, **kept},
    )
    return Plan(recipe, planned, tuple(_game_findings(probe)), tuple(_game_choices(probe, crop, steps)), True)


def _game_findings(probe: GameProbe) -> list[str]:
    names = list(probe.source.action_meanings)
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    height, width = probe.pictures_MHWC.shape[1:3]
    rewards = ", ".join(f"{value:g}" for value in probe.rewards[:6]) + (" …" if len(probe.rewards) > 6 else "")
    return [
        f"{len(names)} actions: {shown}",
        f"pictures of {height}x{width} pixels, {probe.source.fps:g} steps a second for a person, "
        f"{probe.steps_per_second:.0f} a second on this machine",
        f"episodes of about {probe.typical_episode} steps under random play; rewards {rewards}",
    ]


def _game_choices(probe: GameProbe, crop: CropChoice, steps: int) -> list[str]:
    players = ", ".join(f"{share:.0%} {name}" for name, share in PLAYERS.items())
    choices = [f"record {steps:,} steps by players that know nothing ({players})"]
    if probe.was_sticky:
        choices.append("sticky actions off: the game repeats actions at random unless told otherwise")
    if crop.crop is None:
        choices.append(f"keep the whole picture ({crop.num_patches} distinct patches in the sample)")
    else:
        top, bottom, left, right = crop.crop
        choices.append(
            f"keep rows {top} to {bottom} and columns {left} to {right}: {crop.num_patches} distinct patches, not "
            f"{crop.num_patches_whole}"
        )
    return choices


def use_recording(store: EpisodeStore, minutes: float) -> Plan:
    """Plan a world of a recording that is there already.

    Raises:
        ValueError: if there are too few minutes, or the recording is too small.
    """
    require_enough(recording_facts(store), store)
    source = store.manifest.source
    recipe = Recipe(
        env=source.env_id,
        steps=1,
        tokenizer=TokenizerConfig(image_size=source.image_size),
        latent_action=None,
        recorded_actions=True,
    )
    return Plan(recipe, divide(minutes, learned_tokenizer=False, latent_action=False), (store.summary(),), ())


def refine(recipe: Recipe, store: EpisodeStore, minutes: float) -> Plan:
    """Choose by measuring, now that the recording is there.

    Args:
        recipe: of :func:`plan_game`, or of a user.
        store: the recording.
        minutes: budget of everything, the recording included.

    Raises:
        ValueError: if the recording cannot be learned from.
    """
    facts = recording_facts(store)
    require_enough(facts, store)
    size = store.manifest.source.image_size
    train, held_out = (sample_frames(store, *part) for part in (("train", SAMPLE_TRAIN), ("test", SAMPLE_HELD_OUT)))
    tokenizer = choose_tokenizer(train, held_out, size, recipe.tokenizer.patch_size)
    planned = divide(minutes, tokenizer.config.kind != "codebook", latent_action=False)
    rewards, merged = reward_classes(facts)
    clip = max(4, min(LONGEST_CLIP, facts.median_length - 2))
    refined = dataclasses.replace(
        recipe,
        tokenizer=tokenizer.config,
        tokenizer_loop=LoopConfig(n_updates=4000, batch_size=32),
        dynamics={**recipe.dynamics, **_dynamics_size(tokenizer.config, store.manifest.source)},
        dynamics_training={**recipe.dynamics_training, "clip_length": clip},
        outcome={**recipe.outcome, "rewards": rewards},
        export={**recipe.export, "start_frames": min(8, clip)},
        sampling=SamplingConfig(max_changed=tokenizer.config.num_tokens),
    )
    choices = [tokenizer.reason, f"clips of {clip} frames: a typical episode has {facts.median_length}"]
    if len(rewards) == 1:
        choices.append("no rewards: none was recorded")
    if merged:
        choices.append(f"{merged} rarer rewards count as the nearest of {', '.join(f'{r:g}' for r in rewards)}")
    return Plan(refined, planned, tuple(_recording_findings(facts, store, tokenizer)), tuple(choices))


def require_enough(facts: RecordingFacts, store: EpisodeStore) -> None:
    """Refuse recordings that no world can be learned from.

    Raises:
        ValueError: if there are too few frames, or no episode is held out.
    """
    if facts.num_frames < 1000 or not store.split("test") or not store.split("train"):
        raise ValueError(
            f"{store.folder}: expected at least 1,000 frames and two episodes, one of them to measure on; "
            f"got {facts.num_frames} frames in {facts.num_episodes} episodes"
        )


def reward_classes(facts: RecordingFacts) -> tuple[tuple[float, ...], int]:
    """The rewards that the outcome head tells apart, ascending, and how many others fall to the nearest of them."""
    frequent = {value for value, _ in facts.rewards[:MOST_REWARDS]} | {0.0}
    return tuple(sorted(frequent)), max(0, len(facts.rewards) - len(frequent))


def _dynamics_size(tokenizer: TokenizerConfig, source: SourceConfig) -> dict[str, Any]:
    # As many transformer positions as 64 tokens in groups of four have, whatever the size of a patch.
    return {"group": max(2, tokenizer.side // 4), "num_actions": int(np.max(source.effects)) + 1}


def _recording_findings(facts: RecordingFacts, store: EpisodeStore, tokenizer: TokenizerChoice) -> list[str]:
    rewards = ", ".join(f"{value:g} ({count})" for value, count in facts.rewards[:5])
    findings = [
        f"{facts.num_frames:,} frames in {facts.num_episodes} episodes, {len(store.split('test'))} of them held out",
        f"rewards and how often: {rewards}" + (" …" if len(facts.rewards) > 5 else ""),
        f"{tokenizer.num_distinct} distinct patches",
    ]
    if not facts.held_out_events:
        findings.append("no reward in the held-out episodes: how well rewards are read cannot be measured")
    if not facts.num_ends:
        findings.append("no episode ended by itself: dreams will not end either")
    return findings
