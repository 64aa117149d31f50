"""A recipe made to fit into its minutes: updates by the speed of a few of them, tokens by that of some frames.

Owns how long each stage becomes. Minutes are divided elsewhere (:mod:`training.planning.budget`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genie_env.data.episodes import EpisodeEntry, EpisodeStore
from training.data.token_store import TokenStore
from training.data.tokenize_episodes import frames_per_second
from training.engine.loop import LoopConfig
from training.planning.budget import updates_for
from training.planning.dynamics_choice import choose_drawing, choose_schedule, token_facts
from training.planning.speed import seconds_per_update
from training.recipes import Recipe

FITTED = ("tokenizer", "latent_action", "dynamics", "outcome")
"""Stages whose number of updates follows from their minutes."""
DREAMS_PER_MINUTE, LEAST_DREAMS = 25, 200
"""Dreamed clips that the outcome head learns from, for each minute of the budget."""
NAMING, NAMING_COST = 0.5, 1.5
"""Updates that learn the names of latent actions, for each update before; and what one of them costs, in those."""
FEWEST_FRAMES = 20_000
"""Frames that are turned into tokens however long that takes."""
ENOUGH_EPISODES = 8
"""Held-out episodes that must be as long as the longest horizon, where there are as many."""
WORTH_COMPILING = 15.0
"""Minutes of a training of the dynamics that are worth a minute or two of the compiler."""
WORTHWHILE = 0.9
"""Share of the time of an update that a compiled one may take to be chosen."""
HORIZONS = (1, 5, 10, 20, 50)
CLASSIFIER = 1 / 60
"""Minutes for each token of a frame that the classifier of dreamed and real clips needs on one core."""
CLASSIFIER_SHARE = 1 / 3
"""Share of the minutes of the measuring that it may take."""


@dataclass(frozen=True)
class Fitting:
    """How the stages of one run are made to fit."""

    configure: Callable[[Recipe], Mapping[str, Any]]
    """The settings of every stage of a recipe, by its name."""
    budget: float
    """Minutes of the whole run."""
    given: bool
    """The recipe is a user's: its stages may become shorter, and nothing else changes."""
    updates: int | None = None
    """Updates of the dynamics, the user's; None follows from the minutes."""
    seed: int = 0

    def fit(self, recipe: Recipe, stage: str, minutes: float) -> tuple[Recipe, list[str]]:
        """Decide how many updates one of :data:`FITTED` has; returns the recipe and what to say about it."""
        said, began = list[str](), time.monotonic()
        if not self.given:
            recipe = self._follow_recording(recipe, stage, said)
        seconds = seconds_per_update(stage, self.configure(recipe)[stage])
        if stage == "dynamics" and minutes >= WORTH_COMPILING:
            recipe, seconds = self._compile(recipe, seconds, said)
        minutes -= (time.monotonic() - began) / 60
        if stage == "latent_action":
            minutes /= 1 + NAMING * NAMING_COST
        updates = (self.updates if stage == "dynamics" else None) or updates_for(minutes, seconds)
        loop: LoopConfig = getattr(recipe, f"{stage}_loop")
        shorter = not self.given or updates < loop.n_updates
        if self.given:
            loop = dataclasses.replace(loop, n_updates=min(updates, loop.n_updates))
        else:
            loop = dataclasses.replace(loop, n_updates=updates, seed=self.seed)
        recipe = dataclasses.replace(recipe, **{f"{stage}_loop": loop})
        if stage == "latent_action" and shorter:
            naming = {"naming_updates": max(1, int(NAMING * loop.n_updates))}
            recipe = dataclasses.replace(recipe, latent_action_training={**recipe.latent_action_training, **naming})
        if stage == "dynamics" and not self.given:
            recipe, reason = choose_schedule(recipe, loop.n_updates)
            said.append(f"chosen: {reason}")
        said.append(f"{stage}: {loop.n_updates} updates of {seconds:.2f} s fit into {minutes:.1f} minutes")
        return recipe, said

    def _compile(self, recipe: Recipe, seconds: float, said: list[str]) -> tuple[Recipe, float]:
        """Let the dynamics be compiled where that makes updates faster than ``seconds``; also returns how fast."""
        training = recipe.dynamics_training
        if "compile" in training or training.get("adversarial_weight"):
            return recipe, seconds
        faster = dataclasses.replace(recipe, dynamics_training={**training, "compile": True})
        try:
            compiled = seconds_per_update("dynamics", self.configure(faster)["dynamics"])
        except (RuntimeError, OSError) as error:  # of the compiler, which may be missing
            reason = " ".join(str(error).split())[:100]
            said.append(f"chosen: no torch.compile, which does not work here ({reason})")
            return recipe, seconds
        if compiled > WORTHWHILE * seconds:
            return recipe, seconds
        said.append(f"chosen: torch.compile, which takes {compiled:.2f} s for an update instead of {seconds:.2f} s")
        return faster, compiled

    def fit_tokens(self, recipe: Recipe, store: EpisodeStore, minutes: float) -> tuple[Recipe, list[str]]:
        """Decide how many frames of a recording are turned into tokens; as :meth:`fit`."""
        most = max(FEWEST_FRAMES, int(60 * minutes * frames_per_second(self.configure(recipe)["tokenize"])))
        total = sum(entry.length for entry in store.manifest.episodes)
        if most >= total:
            return recipe, []
        said = f"chosen: tokens of {most:,} of {total:,} frames: more do not fit into {minutes:.1f} minutes"
        return dataclasses.replace(recipe, tokenize={**recipe.tokenize, "max_frames": most}), [said]

    def _follow_recording(self, recipe: Recipe, stage: str, said: list[str]) -> Recipe:
        """Let dreams draw as much as changes in the recording, and the outcome head learn from as many as there is
        time for.
        """
        if stage == "outcome":
            dreams = {"dreams": max(LEAST_DREAMS, int(DREAMS_PER_MINUTE * self.budget))}
            return dataclasses.replace(recipe, outcome_training={**recipe.outcome_training, **dreams})
        if stage != "dynamics":
            return recipe
        store = TokenStore(self.configure(recipe)["tokenize"].out)
        recipe, reason = choose_drawing(recipe, token_facts(store), store.manifest.tokens.num_tokens)
        said.append(f"chosen: {reason}")
        return recipe


def for_any_machine(recipe: Recipe) -> Recipe:
    """The recipe without what was chosen for this machine alone."""
    training = {name: value for name, value in recipe.dynamics_training.items() if name != "compile"}
    return dataclasses.replace(recipe, dynamics_training=training)


def measuring(held_out: list[EpisodeEntry], minutes: float, num_tokens: int) -> dict[str, Any]:
    """Sizes of an evaluation that takes some minutes: fields of ``EvaluateConfig``.

    Args:
        held_out: episodes that it may read.
        minutes: that are left for it.
        num_tokens: of a frame.
    """
    small = minutes < 6
    max_frames = 4000 if small else 20_000
    # As long as enough episodes are: of the longest one alone no figure would say anything.
    lengths = sorted((entry.length for entry in _first(held_out, max_frames)), reverse=True)
    longest = lengths[:ENOUGH_EPISODES][-1]
    context = max(1, min(16, longest // 3))
    return {
        "num_clips": 32 if small else 128,
        "context": context,
        "horizons": tuple(h for h in HORIZONS if context + h <= longest) or (1,),
        "num_moments": 16 if small else 40,
        "num_dreams": 4 if small else 16,
        "dream_steps": 200 if small else 1000,
        "realism_rows": 32 if CLASSIFIER * num_tokens <= CLASSIFIER_SHARE * minutes else 0,
        "max_frames": max_frames,
    }


def _first(episodes: list[EpisodeEntry], max_frames: int) -> list[EpisodeEntry]:
    """The episodes that the measuring reads: those that begin within ``max_frames`` frames."""
    begins = np.cumsum([0, *(entry.length for entry in episodes)])[:-1]
    return [entry for entry, begin in zip(episodes, begins, strict=True) if begin < max_frames]
