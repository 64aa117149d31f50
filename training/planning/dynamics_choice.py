"""How the dynamics learns, by what the tokens show and how many updates there are.

Owns three choices: how many tokens of a frame a dream may draw, when a dream counts as having left the recording, and
when dreamed contexts begin. Runs nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from genie_env.config import SamplingConfig
from training.data.token_store import TokenStore
from training.recipes import Recipe

LEAST_DRAWN = 16
RARE = 1e-4
"""Share of frames in which more tokens may change than a dream draws."""
LEAVES = 0.25
"""Share of the tokens that change in a frame on average by which a dreamed frame may differ from the recording's."""
LEAST_TOLERANCE = 3
FORCED_UPDATES = 3000
"""Updates from real contexts before dreamed ones begin. A model that does not predict one step yet learns less from its
own frames: of Freeway at 1,200 updates in all they lost the player sooner (see docs/experiments.md)."""
DREAMED_SHARE = 0.2
"""With less of the training left, there are no dreamed contexts at all."""


class TokenFacts(NamedTuple):
    """How much changes in a frame."""

    mean_changed: float
    """Tokens that change from one frame to the next, on average."""
    most_changed: int
    """Tokens that change in all but one of ten thousand frames."""


def token_facts(store: TokenStore) -> TokenFacts:
    """Count over the training episodes of ``store``."""
    changed = [
        (episode.tokens_TN[1:] != episode.tokens_TN[:-1]).sum(-1)
        for episode in store.episodes("train")
        if len(episode.tokens_TN) > 1
    ]
    changed_M = np.concatenate([np.asarray(counts) for counts in changed])
    return TokenFacts(float(changed_M.mean()), int(np.quantile(changed_M, 1 - RARE, method="higher")))


def choose_drawing(recipe: Recipe, facts: TokenFacts, num_tokens: int) -> tuple[Recipe, str]:
    """The recipe whose dreams draw as many tokens as change in the recording, and why in words."""
    drawn = min(num_tokens, max(LEAST_DRAWN, facts.most_changed))
    tolerance = max(LEAST_TOLERANCE, round(LEAVES * facts.mean_changed))
    sampling = dataclasses.replace(recipe.sampling, max_changed=drawn)
    recipe = _with_scheduled_sampling(
        dataclasses.replace(recipe, sampling=sampling),
        sampling=SamplingConfig(max_changed=drawn).to_json(),
        tolerance=tolerance,
    )
    return recipe, (
        f"draw {drawn} of {num_tokens} tokens of a frame: {facts.mean_changed:.1f} change on average, rarely more than "
        f"{facts.most_changed}; a dream has left the recording with more than {tolerance} wrong ones"
    )


def choose_schedule(recipe: Recipe, n_updates: int) -> tuple[Recipe, str]:
    """The recipe whose dreamed contexts begin when there were enough real ones, and why in words."""
    begin = max(_scheduled_sampling(recipe).get("begin", 0.45), FORCED_UPDATES / n_updates)
    if begin > 1 - DREAMED_SHARE:
        return _with_scheduled_sampling(recipe, method="none"), (
            f"no dreamed contexts: {n_updates} updates are too few to predict one step well first"
        )
    return _with_scheduled_sampling(recipe, begin=begin), f"dreamed contexts after {int(begin * n_updates)} updates"


def _scheduled_sampling(recipe: Recipe) -> dict[str, Any]:
    return recipe.dynamics_training.get("scheduled_sampling", {})


def _with_scheduled_sampling(recipe: Recipe, **changes: Any) -> Recipe:
    settings = {**_scheduled_sampling(recipe), **changes}
    return dataclasses.replace(recipe, dynamics_training={**recipe.dynamics_training, "scheduled_sampling": settings})
