"""A dream leaves where it goes wrong for good, and the cause is what other play of the recording says there."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genie_env.config import SamplingConfig
from genie_env.measurement import WORLD, pick, select
from tests.helpers.held_out import TableDynamics, know_all
from training.evaluation.dreams import COPY_LAST, ONE_STEP
from training.evaluation.experience import join_episodes, read_experience
from training.evaluation.held_out import Clips, HeldOutPlay, predict
from training.evaluation.leaving import (
    NEIGHBOURS,
    STAYS,
    Cause,
    Departed,
    cause_of,
    find_departures,
    leaving_steps,
    measure_neighbours,
    roll,
)
from training.evaluation.leaving_pictures import draw_strips, plot_causes
from training.evaluation.leaving_report import section
from training.evaluation.neighbours import Neighbours

CONTEXT, STEPS, PLACES = 3, 12, 16


def still_clips(rows: int) -> Clips:
    tokens = torch.zeros(rows, CONTEXT + STEPS, PLACES, dtype=torch.long)
    nothing = np.zeros((rows, STEPS), bool)
    truth = np.zeros((rows, CONTEXT + STEPS, 0), np.float32)
    frames, actions = np.zeros((rows, CONTEXT + STEPS, 0, 0, 3), np.uint8), torch.zeros_like(tokens[:, 1:, 0])
    return Clips(CONTEXT, frames, tokens, actions, nothing, nothing, nothing, truth)


def test_a_dream_has_left_where_it_stays_wrong() -> None:
    clips = still_clips(4)
    dreamed = torch.zeros(4, STEPS, PLACES, dtype=torch.long)
    dreamed[0, 2 : 2 + STAYS - 1, 0] = 1
    dreamed[0, 7:, 3] = 1
    dreamed[1, 0:, 5] = 1
    dreamed[2, STEPS - STAYS + 1 :, 5] = 1
    assert leaving_steps(clips, dreamed).tolist() == [7, 0, STEPS, STEPS]
    short = clips.select(slice(None), STAYS - 1)
    assert leaving_steps(short, dreamed[:, : STAYS - 1]).tolist() == [STAYS - 1] * 4


def test_causes_are_those_that_were_planted() -> None:
    # Place 0 becomes what it was and one more; place 10 becomes 1 or 2 by chance; place 15 has always been 0.
    rng = np.random.default_rng(0)
    frames = np.zeros((300, PLACES), np.uint16)
    frames[:, 0] = np.arange(300) % 4
    frames[::3, 10] = 1 + rng.integers(2, size=100)
    neighbours = Neighbours(join_episodes([frames], [np.zeros(299, int)]))
    clips = still_clips(1)
    clips.tokens_CTN[0, :, 0] = torch.arange(CONTEXT + STEPS) % 4
    clips.tokens_CTN[0, CONTEXT, 10] = 1
    clips.tokens_CTN[0, CONTEXT, 15] = 3

    def cause(*places: int, step: int = 0) -> Cause:
        return cause_of(neighbours, clips, 0, step, np.array(places))

    assert cause(0) == Cause.KNOWN
    assert cause(10) == Cause.OPEN
    assert cause(15) == Cause.MISLED
    assert cause(15, step=1) == Cause.UNSEEN, "a 3 was never there"
    assert cause(0, 10) == Cause.OPEN and cause(0, 10, 15) == Cause.MISLED


def test_rollouts_of_neighbours_follow_what_is_determined() -> None:
    frames = np.tile(np.arange(300)[:, None] % 5, (1, PLACES))
    neighbours = Neighbours(join_episodes([frames], [np.zeros(299, int)]))
    clips = still_clips(2)
    clips.tokens_CTN[:] = (torch.arange(CONTEXT + STEPS) % 5)[:, None]
    assert torch.equal(roll(clips, neighbours.predict), clips.real_CHN)
    likely = torch.full_like(clips.real_CHN, 9)
    measured = measure_neighbours(clips, clips.real_CHN, likely, neighbours)
    one_step = {one.source: one.value for one in select(measured, experiment=ONE_STEP)}
    assert one_step[NEIGHBOURS] == 1.0 and one_step[WORLD] == one_step[COPY_LAST] == 0.0
    of = "changed_token_accuracy"
    assert pick(measured, of, source=NEIGHBOURS, horizon=10).value == 1.0
    assert pick(measured, of, source=WORLD, horizon=10).value == 1.0
    assert pick(measured, of, source=COPY_LAST, horizon=1).value == 0.0


def departures(held_out: HeldOutPlay, forget: bool) -> tuple[HeldOutPlay, Clips, torch.Tensor, Departed]:
    """Dreams of a world that knows all held-out play by heart, but perhaps not what the ball does at the paddle."""
    world = copy.deepcopy(held_out.world)
    dynamics = TableDynamics(world.config.dynamics, held_out.episodes).eval()
    if forget:
        forget_bounces(dynamics, held_out)
    play = dataclasses.replace(held_out, world=know_all(world, dynamics))
    clips, experience = play.clips(40, 4, 16, seed=0), read_experience(play, 10_000)
    dreamed = predict(play.world, clips, SamplingConfig())
    likely = predict(play.world, clips, SamplingConfig(temperature=0.0), forced=True)
    return play, clips, dreamed, find_departures(play, clips, dreamed, likely, experience, Neighbours(experience))


def forget_bounces(dynamics: TableDynamics, held_out: HeldOutPlay) -> None:
    """Take out of the table the steps in which the ball turns at the own paddle."""
    kept = TableDynamics(dynamics.config, []).table
    for episode in held_out.episodes:
        x_T = episode.truth_TK[:, 0]
        turned = {t for t in range(1, len(x_T) - 1) if x_T[t - 1] < x_T[t] > x_T[t + 1] and x_T[t] > 50}
        whole = TableDynamics(dynamics.config, [episode]).table
        for t, entry in enumerate(whole.items(), start=1):
            if t not in turned:
                kept.update([entry])
    dynamics.table = kept


def test_a_world_that_knows_all_never_leaves(held_out: HeldOutPlay) -> None:
    assert departures(held_out, forget=False)[3].found == []


def test_a_world_that_knows_no_bounces_leaves_there(held_out: HeldOutPlay, tmp_path: Path) -> None:
    play, clips, dreamed, departed = departures(held_out, forget=True)
    assert len(departed.found) > 3
    assert {one.event for one in departed.found} == {"bounce at own"}
    assert departed.happened["bounce at own"] >= len(departed.found) and not any(one.likely for one in departed.found)
    text = section(departed, [], 2000)
    assert f"| bounce at own | {len(departed.found)} |" in text
    plot_causes(tmp_path / "causes.png", departed)
    draw_strips(tmp_path / "strips.png", play, clips, dreamed, departed.found)
    for name in ("causes", "strips"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert np.asarray(picture.convert("RGB")).std() > 10


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_its_column(cause: Cause) -> None:
    assert f"| {cause.value} |" in section(Departed([], np.full(3, STEPS), STEPS, {}), [], 10)
