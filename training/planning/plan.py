"""From what was seen to a recipe: every choice with the reason for it, in words for the person who waits.

Two plans follow each other. The first is made before anything is recorded, from a probe of the game; the second when
the recording is there and tokenizer, rewards and clips can be chosen by measuring. Neither runs a stage.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from genie_env.config import AUTO, LatentActionShape, SamplingConfig, SourceConfig, TokenizerConfig
from genie_env.data.episodes import EpisodeStore
from training.engine.loop import LoopConfig
from training.planning.budget import divide
from training.planning.choices import NONE, Choices
from training.planning.recording_facts import RecordingFacts, recording_facts, sample_frames
from training.planning.tokenizer_choice import TokenizerChoice, choose_patches
from training.recipes import Recipe

LEAST_FRAMES = 1000
SHORTEST_EPISODE = 8
"""Frames that some episode must have: four of context, and as many to predict."""
MOST_REWARDS = 8
REPEATED = 0.9
"""Share of the steps whose rewards the most frequent ones must be, to be the classes."""
SAMPLE_TRAIN, SAMPLE_HELD_OUT = 20_000, 2_000
LONGEST_CLIP = 24
CODES = 4
"""Latent actions of a game whose actions were not recorded."""
SMALL_PICTURE = 32
"""Edge in pixels of the pictures that the latent action model sees."""
LATENT_ACTION_LOOP = LoopConfig(batch_size=64, learning_rate=2e-3, weight_decay=1e-4, decay_share=0.2)


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


def use_recording(store: EpisodeStore, minutes: float) -> Plan:
    """Plan a world of a recording that is there already.

    Raises:
        ValueError: if there are too few minutes, or the recording is too small.
    """
    require_enough(recording_facts(store), store)
    return plan_source(store.manifest.source, minutes, store.summary())


def plan_source(source: SourceConfig, minutes: float, found: str) -> Plan:
    """Plan a world of a recording by what is known of its game.

    Args:
        source: what is known of the game.
        minutes: budget of everything.
        found: what was seen of the recording, in a line.

    Raises:
        ValueError: if there are too few minutes.
    """
    recipe = Recipe(
        env=source.env_id,
        steps=1,
        tokenizer=TokenizerConfig(image_size=source.image_size),
        latent_action=None if source.has_actions else latent_action_model(source.image_size, CODES),
        recorded_actions=source.has_actions,
        has_outcomes=source.has_outcomes,
    )
    planned = divide(minutes, False, not source.has_actions, source.has_outcomes)
    return Plan(recipe, planned, (found,), (f"not known: {source.unknown}",) if source.unknown else ())


def latent_action_model(image_size: int, codes: int) -> LatentActionShape:
    """A latent action model that sees small pictures, and what moved in them, not where."""
    size = SMALL_PICTURE if image_size % SMALL_PICTURE == 0 else image_size
    return LatentActionShape(num_actions=codes, image_size=size, channels=16, pooled=True)


def refine(recipe: Recipe, store: EpisodeStore, minutes: float, choices: Choices = NONE) -> Plan:
    """Choose by measuring, now that the recording is there.

    Args:
        recipe: of :func:`plan_game`, or of a user.
        store: the recording.
        minutes: budget of everything, the recording included.
        choices: what the user decided.

    Raises:
        ValueError: if the recording cannot be learned from.
    """
    facts = recording_facts(store)
    require_enough(facts, store)
    size = store.manifest.source.image_size
    train, held_out = (sample_frames(store, *part) for part in (("train", SAMPLE_TRAIN), ("test", SAMPLE_HELD_OUT)))
    tokenizer = choose_patches(train, held_out, size, recipe.tokenizer.patch_size, choices)
    latent = recipe.latent_action
    if latent is not None and choices.num_actions:
        latent = dataclasses.replace(latent, num_actions=choices.num_actions)
    most = {} if choices.max_actions is None else {"max_actions": choices.max_actions}
    planned = divide(minutes, tokenizer.config.kind != "codebook", latent is not None, recipe.has_outcomes)
    rewards, merged = reward_classes(facts)
    clip = choices.clip_length or max(4, min(LONGEST_CLIP, facts.common_length - 2))
    asked_size = {name: value for name in ("width", "num_layers") if (value := getattr(choices, name)) is not None}
    refined = dataclasses.replace(
        recipe,
        tokenizer=tokenizer.config,
        tokenizer_loop=LoopConfig(n_updates=4000, batch_size=32),
        latent_action=latent,
        latent_action_loop=LATENT_ACTION_LOOP,
        latent_action_training={**recipe.latent_action_training, **most},
        dynamics={**recipe.dynamics, **_dynamics_size(tokenizer.config, store.manifest.source, latent), **asked_size},
        dynamics_training={**recipe.dynamics_training, "clip_length": clip},
        outcome={**recipe.outcome, "rewards": rewards},
        export={**recipe.export, "start_frames": min(8, clip)},
        sampling=SamplingConfig(max_changed=tokenizer.config.num_tokens),
    )
    chosen = [tokenizer.reason, _about_clips(clip, facts, choices)]
    if latent is not None:
        number = (
            "as many latent actions as draw differently"
            if latent.num_actions == AUTO
            else f"{latent.num_actions} latent actions"
        )
        chosen.append(f"{number}, learned from pictures: none were recorded (--num-actions)")
    if len(rewards) == 1 and recipe.has_outcomes:
        chosen.append("no rewards: none was recorded")
    if merged:
        chosen.append(f"{merged} rarer rewards count as the nearest of {', '.join(f'{r:g}' for r in rewards)}")
    return Plan(refined, planned, tuple(_recording_findings(facts, store, tokenizer)), tuple(chosen))


def _about_clips(clip: int, facts: RecordingFacts, choices: Choices) -> str:
    if choices.clip_length:
        return f"clips of {clip} frames, as asked"
    return f"clips of {clip} frames: three quarters of the frames lie in episodes of at least {facts.common_length}"


def require_enough(facts: RecordingFacts, store: EpisodeStore) -> None:
    """Refuse recordings that no world can be learned from.

    Raises:
        ValueError: if there are too few frames, no episode is held out, or the episodes are too short.
    """
    splits = store.split("train"), store.split("test")
    if facts.num_frames < LEAST_FRAMES or not all(splits):
        raise ValueError(
            f"{store.folder}: expected at least {LEAST_FRAMES:,} frames and two episodes, one of them to measure on; "
            f"got {facts.num_frames} frames in {facts.num_episodes} episodes"
        )
    longest = [max(entry.length for entry in split) for split in splits]
    if min(longest) < SHORTEST_EPISODE:
        raise ValueError(
            f"{store.folder}: expected episodes of {SHORTEST_EPISODE} frames or more, to begin from and to go on with, "
            f"also among those to measure on; the longest have {longest[0]} and {longest[1]} (other --players?)"
        )


def reward_classes(facts: RecordingFacts) -> tuple[tuple[float, ...], int]:
    """The rewards that the outcome head tells apart, ascending, and how many others fall to the nearest of them.

    They are the most frequent ones. Where rewards hardly repeat, as in Pendulum, they are spread so that each stands
    for as many steps as the others.
    """
    frequent = facts.rewards[:MOST_REWARDS]
    values_R, counts_R = (np.array(column) for column in zip(*sorted(facts.rewards), strict=True))
    if sum(count for _, count in frequent) >= REPEATED * counts_R.sum():
        classes = {value for value, _ in frequent}
    else:
        middles = (np.arange(MOST_REWARDS) + 0.5) / MOST_REWARDS * counts_R.sum()
        classes = set(values_R[np.searchsorted(np.cumsum(counts_R), middles)].tolist())
    classes.add(0.0)
    return tuple(sorted(classes)), len(facts.rewards) - len(classes)


def _dynamics_size(
    tokenizer: TokenizerConfig, source: SourceConfig, latent: LatentActionShape | None
) -> dict[str, Any]:
    num_actions = int(np.max(source.effects)) + 1 if latent is None else latent.num_actions
    # What is found only later follows from the tokens.
    known = {} if num_actions == AUTO else {"num_actions": num_actions}
    # As near as can be to the 16 transformer positions that 64 tokens in groups of four have.
    divisors = [group for group in range(1, tokenizer.side + 1) if tokenizer.side % group == 0]
    nearest = min(divisors, key=lambda group: abs(tokenizer.side / group - 4))
    return {"group": nearest, **known}


def _recording_findings(facts: RecordingFacts, store: EpisodeStore, tokenizer: TokenizerChoice) -> list[str]:
    rewards = ", ".join(f"{value:g} ({count})" for value, count in facts.rewards[:5])
    findings = [
        f"{facts.num_frames:,} frames in {facts.num_episodes} episodes, {len(store.split('test'))} of them held out",
        f"{tokenizer.num_distinct} distinct patches",
    ]
    if not store.manifest.source.has_outcomes:
        return findings
    findings.insert(1, f"rewards and how often: {rewards}" + (" …" if len(facts.rewards) > 5 else ""))
    if not facts.held_out_events:
        findings.append("no reward in the held-out episodes: how well rewards are read cannot be measured")
    if not facts.num_ends:
        findings.append("no episode ended by itself: dreams will not end either")
    return findings
