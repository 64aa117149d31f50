"""The evaluation measures what it says: exact where the answer is known, and never kinder than the truth."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image

from genie_env.bundle import save_world
from genie_env.config import SamplingConfig
from genie_env.data.episodes import EpisodeEntry, EpisodeStore
from genie_env.games.registry import Game
from genie_env.games.sprites import find_sprites
from genie_env.world import World
from tests.helpers import tiny_game
from tests.helpers.held_out import COLOURS, TINY
from tests.helpers.tiny_game import TinyPong
from training.evaluate import EvaluateConfig, evaluate
from training.evaluation import measures as figures
from training.evaluation.array_metrics import distance, fingerprints, longest_repeat, perplexity, ssim, token_counts
from training.evaluation.free_play import (
    HISTOGRAM,
    LOOPING,
    POINTS,
    Play,
    held_actions,
    histogram_figures,
    obedience,
    play,
    play_figures,
    play_real,
)
from training.evaluation.held_out import Clips, Reading, roll, served_again, take_clips
from training.evaluation.report import WORLD, Evaluation

BALL = 0
REACH = {"own_y": (4.5, 58.5)}


@pytest.fixture(scope="module")
def clips(store: EpisodeStore, readings: list[Reading]) -> Clips:
    return take_clips(store, readings, count=12, context=6, steps=8, seed=0, colours=COLOURS)


@pytest.fixture(scope="module")
def real_play() -> Play:
    return play_real(TINY.source, rows=3, steps=120, seed=0, effects=TINY.source.effects)


def empty(*shape: int) -> np.ndarray:
    return np.broadcast_to(np.array(tiny_game.BACKGROUND_COLOUR, np.uint8), (*shape, 64, 64, 3)).copy()


def blend(alpha: float, colour: tuple[int, int, int]) -> np.ndarray:
    back = np.array(tiny_game.BACKGROUND_COLOUR)
    return np.round(back + alpha * (np.array(colour) - back)).astype(np.uint8)


def paddle_play(moves: np.ndarray, effects: np.ndarray) -> Play:
    """One row whose own paddle starts in the middle and moves by ``moves`` rows a step."""
    frames = empty(1, len(moves) + 1)
    tops = 30 + np.concatenate([[0], np.cumsum(moves)])
    for t, top in enumerate(tops):
        frames[0, t, top : top + tiny_game.PADDLE_HEIGHT, 60:62] = tiny_game.OWN_COLOUR
    no = np.zeros((1, len(moves)), bool)
    return Play(frames, effects[None], no.astype(float), no)


class TestFreePlay:
    def test_policy_holds_each_action_for_up_to_eight_steps(self) -> None:
        actions_TB = held_actions(np.random.default_rng(0), 4000, 2, 50)
        assert actions_TB.shape == (4000, 2)
        changes = np.flatnonzero(np.diff(actions_TB[:, 0]))
        # With fifty actions neighbours rarely agree by chance: 4.5 steps is the mean of one to eight.
        assert np.diff(changes).mean() == pytest.approx(4.5, abs=0.35)
        assert len(np.unique(actions_TB)) == 50

    def test_scripted_paddle_obeys_always_and_a_frozen_one_never(self) -> None:
        effects = np.array([0, 1, 1, 1, 2, 2, 2, 0, 0, 2, 1, 2, 2])
        moves = np.array([0, -1, 1])[effects]
        obeying = play_figures(paddle_play(moves, effects), TINY, REACH)
        # The command has been held in steps 2, 3, 5, 6 and 12.
        assert obeying["own obeys"].value == 1.0
        assert obeying["longest still stretch, worst row"].value == 2
        frozen = play_figures(paddle_play(0 * moves, effects), TINY, REACH)
        assert frozen["own obeys"].value == 0.0
        assert frozen["longest still stretch, worst row"].value == len(moves)
        contrary = play_figures(paddle_play(-moves, effects), TINY, REACH)
        assert contrary["own obeys"].value == 0.0

    def test_nothing_is_asked_without_room_or_across_a_new_beginning(self) -> None:
        effects = np.array([1, 1, 1, 1])
        still = paddle_play(np.zeros(4, int), effects)
        assert np.isnan(play_figures(still, TINY, {"own_y": (32.0, 58.5)})["own obeys"].value)
        # A cut at step 1 leaves only step 3: step 1 itself is none, and step 2 has no past.
        cut = np.array([[False, True, False, False]])
        _, asked = obedience(np.full((1, 5), 30.0), effects[None], cut, {1: -1}, REACH["own_y"])
        assert asked.tolist() == [1]

    def test_vanished_paddle_does_not_obey(self) -> None:
        effects = np.array([1, 1, 1])
        gone = paddle_play(np.array([-1, -1, -1]), effects)
        gone.frames_BTHWC[:, 2:] = empty(1, 2)
        assert play_figures(gone, TINY, REACH)["own obeys"].value == 0.0

    def test_real_game_is_perfect_by_every_measure(self, real_play: Play) -> None:
        assert real_play.frames_BTHWC.shape == (3, 121, 64, 64, 3)
        found = play_figures(real_play, TINY, REACH)
        for name in ("own present", "opp present", "exactly one ball, where any", "exactly one own, where any"):
            assert found[name].value == 1.0, name
        assert found["own obeys"].value == 1.0
        assert 0 < found["ball present"].value < 1
        assert found["longest still stretch, steps"].value < 30

    def test_points_and_cuts_are_those_of_the_game(self) -> None:
        envs = gym.vector.SyncVectorEnv(
            [lambda: TinyPong(points=1)] * 2, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
        )
        played = play(envs, 300, seed=1, effects=None)
        # With one point to win every point ends the game, and the next frame shows a fresh serve.
        np.testing.assert_array_equal(played.rewards_BT != 0, played.cut_BT)
        assert played.cut_BT.any()
        balls = find_sprites(played.frames_BTHWC, COLOURS).present[..., BALL]
        assert balls.all()
        found = play_figures(played, TINY, REACH)
        points = found["points won per 1000 steps"].value + found["points lost per 1000 steps"].value
        assert points == pytest.approx(1000 * played.cut_BT.mean())
        assert "own obeys" not in found

    def test_dreams_that_loop_are_counted_and_those_that_merely_wait_are_not(self) -> None:
        steps = np.arange(121)
        shown = np.stack([steps, np.where(steps < 50, steps, 50 + steps % 3), np.minimum(steps, 70)])
        frames = empty(3, len(steps))
        frames[..., 0] = shown[..., None, None]
        no = np.zeros((3, len(steps) - 1), bool)
        found = play_figures(Play(frames, None, no.astype(float), no), Game(TINY.source), {})
        # The first never repeats, the second goes round three pictures for 71 steps, the third stands still for 50.
        assert found[LOOPING].value == pytest.approx(1 / 3)
        assert found["longest repeat of any period, worst row"].value == 68
        assert found["longest still stretch, worst row"].value == 50

    def test_dream_is_as_far_from_real_play_as_its_tokens_are(self) -> None:
        rng = np.random.default_rng(0)
        real, dream = rng.integers(2, size=(4, 200, 5)), rng.integers(2, size=(4, 200, 5))
        frozen = np.broadcast_to(dream[:, :1] + 2, dream.shape)
        recorded = real.reshape(-1, 5)
        found = histogram_figures({"dream": dream, "frozen": frozen, "real": real}, 4, "real", recorded)
        assert found["real"][HISTOGRAM].value == pytest.approx(found["dream"][HISTOGRAM].value, abs=0.02)
        assert found["frozen"][HISTOGRAM].value == 1.0
        alone = histogram_figures({"dream": dream}, 4, "real", recorded)
        assert alone["dream"][HISTOGRAM].value == pytest.approx(found["dream"][HISTOGRAM].value, abs=0.02)


class TestMetrics:
    def test_longest_repeat_counts_unchanged_steps(self) -> None:
        frames = np.array([[0, 0, 1, 1, 1, 1, 2], [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 0, 1, 2, 0]], np.uint8)
        prints = fingerprints(np.broadcast_to(frames[..., None, None, None], (3, 7, 4, 4, 3)))
        assert prints.shape == (3, 7)
        assert longest_repeat(prints, 1).tolist() == [3, 0, 0]
        assert longest_repeat(prints, 2).tolist() == [3, 0, 0]
        assert longest_repeat(prints, 100).tolist() == [3, 0, 4]

    def test_ssim_is_one_for_equal_frames_and_falls_with_noise_but_not_with_brightness(self) -> None:
        rng = np.random.default_rng(0)
        frames = rng.integers(60, 190, size=(2, 3, 32, 32, 3)).astype(np.uint8)
        noise = rng.integers(-60, 60, size=frames.shape)
        assert ssim(frames, frames) == pytest.approx(np.ones((2, 3)))
        noisy, brighter = ssim(frames, (frames + noise).astype(np.uint8)), ssim(frames, frames + np.uint8(20))
        assert noisy.max() < 0.9 < brighter.min() < 1.0

    def test_ssim_of_constant_frames_is_that_of_the_formula(self) -> None:
        one, other = np.full((1, 16, 16, 3), 100, np.uint8), np.full((1, 16, 16, 3), 200, np.uint8)
        c1 = (0.01 * 255) ** 2
        assert ssim(one, other)[0] == pytest.approx((2 * 100 * 200 + c1) / (100**2 + 200**2 + c1), rel=1e-4)

    def test_histograms_know_places_and_distances_end_at_one(self) -> None:
        tokens = np.array([[[0, 1], [1, 0]], [[0, 1], [0, 1]]])
        assert token_counts(tokens, 2).tolist() == [3, 1, 1, 3]
        assert distance(np.array([2, 2]), np.array([1, 1])) == 0.0
        assert distance(np.array([2, 0]), np.array([0, 5])) == 1.0
        assert perplexity(np.array([3, 3, 3, 0])) == pytest.approx(3)
        assert perplexity(np.array([0, 9])) == pytest.approx(1)


class TestPredictions:
    def test_perfect_oracle_has_a_perfect_table(self, world: World, clips: Clips) -> None:
        oracle = clips.tokens_CTN[:, clips.context :]
        table = figures.horizon_figures(world, clips, oracle, (1, 2, 8), COLOURS)
        for h in (1, 2, 8):
            for name in ("changed-token accuracy", "token accuracy", "ball existence F1", "own existence F1"):
                assert table[f"{name}, h = {h}"].value == 1.0, (name, h)
            for name in ("ball error, px", "own error, px", "opp error, px"):
                assert table[f"{name}, h = {h}"].value == 0.0, (name, h)
                assert table[f"{name.split()[0]} within 2 px, h = {h}"].value == 1.0, (name, h)
            assert table[f"PSNR, dB, h = {h}"].value == pytest.approx(100)
            assert table[f"MSE of [-1, 1], h = {h}"].value == 0.0
            assert table[f"SSIM, h = {h}"].value == pytest.approx(1.0)
            for name in ("changed-token accuracy before a new serve", "ball existence F1 before a new serve"):
                assert table[f"{name}, h = {h}"].value == 1.0, (name, h)
            assert table[f"foreground PSNR, dB, h = {h}"].value == pytest.approx(100)
        assert table["changed-token accuracy before a new serve, relative to h = 1, h = 8"].value == 1.0

    def test_copying_the_last_frame_never_changes_a_token(self, world: World, clips: Clips) -> None:
        past = clips.tokens_CTN[:, clips.context - 1 : -1]
        one_step = figures.step_figures(figures.score(world, clips, past, np.arange(past.shape[1])))
        assert one_step["changed-token accuracy"].value == 0.0
        assert 0.9 < one_step["token accuracy"].value < 1.0
        kept = figures.horizon_figures(world, clips, past[:, :1].expand_as(past), (1, 8), COLOURS)
        assert 0 < kept["ball error, px, h = 1"].value < 5 < kept["ball error, px, h = 8"].value
        assert kept["ball within 2 px, h = 8"].value < 0.5

    def test_ball_that_was_served_again_is_not_held_against_the_dream(self, world: World, clips: Clips) -> None:
        past = clips.tokens_CTN[:, clips.context - 1 : clips.context].expand(-1, 8, -1)
        played_on = clips._replace(scored_CH=np.ones_like(clips.scored_CH))
        table = figures.horizon_figures(world, played_on, past, (8,), COLOURS)
        assert np.isnan(table["ball error, px, h = 8"].value)
        assert table["ball existence F1, h = 8"].value > 0

    def test_serve_is_a_ball_that_comes_after_a_point_or_was_not_there(self) -> None:
        no, yes = np.zeros((1, 4), bool), np.array([[False, True, True, True]])
        balls = {"hidden": "11011", "served": "11001", "first": "00011", "gone": "11000", "stays": "11111"}
        frames = {name: empty(1, 5) for name in balls}
        for name, there in balls.items():
            frames[name][0, [t for t in range(5) if there[t] == "1"], 30:32, 30:32] = tiny_game.BALL_COLOUR
        scored = {"served": yes, "gone": yes}
        served = {name: served_again(f, scored.get(name, no), COLOURS) for name, f in frames.items()}
        assert served["served"].tolist() == [[False, False, False, True]]
        assert served["first"].tolist() == [[False, False, True, True]]
        assert not served["hidden"].any() and not served["gone"].any() and not served["stays"].any()
        assert (served_again(frames["served"], yes, None) == yes).all(), "without sprites a point is all that is known"

    def test_figures_before_a_new_serve_leave_out_what_came_after_it(self, world: World, clips: Clips) -> None:
        wrong = torch.zeros_like(clips.tokens_CTN[:, clips.context :])
        half = np.arange(len(wrong)) % 2 == 0
        wrong[~half] = clips.tokens_CTN[~half, clips.context :]
        served = clips._replace(served_CH=np.broadcast_to(half[:, None], clips.served_CH.shape))
        table = figures.horizon_figures(world, served, wrong, (8,), COLOURS)
        assert table["changed-token accuracy before a new serve, h = 8"].value == 1.0
        assert table["changed-token accuracy, h = 8"].value < 0.9

    def test_actions_without_effect_are_worth_nothing(self, world: World, clips: Clips) -> None:
        sampling = SamplingConfig(temperature=0.0)
        still = copy.deepcopy(world)
        still.dynamics.embed_action.weight.zero_()
        dreamed = roll(still, clips, sampling)
        worth = figures.action_worth(still, clips, sampling, dreamed, seed=0)
        assert all(figure.value == figure.high == 0.0 for figure in worth.values())
        oracle = clips.tokens_CTN[:, clips.context :]
        gained = figures.action_worth(still, clips, sampling, oracle, seed=0)
        assert all(figure.value > 10 for figure in gained.values())

    def test_score_is_known_from_its_own_step_on(self, store: EpisodeStore, readings: list[Reading]) -> None:
        every = take_clips(store, readings, count=10_000, context=6, steps=8, seed=0)
        # With one point to win a clip can only end with a point: in its last step or not at all.
        assert every.scored_CH[:, -1].any()
        assert not every.scored_CH[:, :-1].any()

    def test_forced_predictions_remember_real_frames_only(self, world: World, clips: Clips) -> None:
        sampling = SamplingConfig(temperature=0.0)
        forced = roll(world, clips, sampling, forced=True)
        for h in (0, 3, 7):
            at = clips.context + h
            engine = world.engine(sampling)
            keys = torch.arange(len(forced))
            state = engine.start(clips.tokens_CTN[:, :at], clips.actions_CT[:, : at - 1], keys)
            fresh = engine.step(state, clips.actions_CT[:, at - 1], torch.zeros(len(forced))).tokens_BN
            assert (fresh == forced[:, h]).float().mean() > 0.999

    def test_dream_does_not_see_the_frames_it_should_predict(self, world: World, clips: Clips) -> None:
        sampling = SamplingConfig(temperature=1.0)
        blind = clips.tokens_CTN.clone()
        blind[:, clips.context :] = 0
        seen, unseen = (roll(world, c, sampling) for c in (clips, clips._replace(tokens_CTN=blind)))
        assert torch.equal(seen, unseen)
        assert torch.equal(seen, roll(world, clips, sampling))
        forced = roll(world, clips, sampling, forced=True)
        assert torch.equal(seen[:, 0], forced[:, 0])
        assert not torch.equal(seen, forced)

    def test_exact_tokenizer_keeps_every_pixel_and_the_background_none(self, world: World, clips: Clips) -> None:
        frames = clips.frames_CTHWC[:, 0]
        drawn = world.decode(clips.tokens_CTN[:, :1])[:, 0].numpy()
        exact = figures.tokenizer_figures(frames, drawn, clips.background_HWC, COLOURS)
        assert exact["frames exact"].value == exact["ball pixels kept"].value == 1.0
        nothing = figures.tokenizer_figures(frames, empty(len(frames)), clips.background_HWC, COLOURS)
        assert nothing["frames exact"].value == nothing["own pixels kept"].value == 0.0
        assert nothing["PSNR, dB"].value < 40 < exact["PSNR, dB"].value

    def test_clips_hold_the_tokens_and_actions_of_their_frames(self, world: World, clips: Clips) -> None:
        assert torch.equal(clips.tokens_CTN, world.encode(clips.frames_CTHWC))
        past = world.config.latent_action.context_frames - 1
        # Inferred from the whole episode: only the first few lack the past that a clip cuts off.
        assert torch.equal(clips.actions_CT[:, past:], world.infer_actions(clips.frames_CTHWC)[:, past:])

    def test_too_short_a_recording_is_refused_by_name(self, store: EpisodeStore, readings: list[Reading]) -> None:
        with pytest.raises(ValueError, match=r"data: no held-out episode has 100006 frames"):
            take_clips(store, readings, count=1, context=6, steps=100_000, seed=0)


class TestReadings:
    def reading(self, effects: np.ndarray, codes: np.ndarray) -> Reading:
        steps = len(effects)
        entry, tokens = EpisodeEntry(0, 0, steps + 1, "nobody", "test", True), torch.zeros(steps + 1, 64).long()
        rewards = np.where(np.arange(steps) % 50 == 25, -1.0, 0.0)
        ended = np.arange(steps) == steps - 1
        truth = np.full((steps, 6), 30.0)
        return Reading(entry, tokens, codes, codes, effects, truth, rewards, ended, rewards.copy(), ended.copy())

    def test_agreement_sees_through_renamed_codes_and_only_through_those(self, store: EpisodeStore) -> None:
        effects = np.random.default_rng(0).integers(3, size=900)
        renamed = [self.reading(effects, (effects + 1) % 3)]
        ours, majority = figures.agreement_figures(renamed, store, Game(TINY.source), 4)
        assert ours["Hungarian accuracy"].value == 1.0
        assert ours["NMI"].value == pytest.approx(1.0)
        assert ours["share of code 3"].value == 0.0
        assert ours["codes in use, perplexity"].value == pytest.approx(3, abs=0.01)
        assert majority["Hungarian accuracy"].value == pytest.approx(1 / 3, abs=0.05)
        constant, _ = figures.agreement_figures([self.reading(effects, 0 * effects)], store, Game(TINY.source), 4)
        assert constant["NMI"].value == 0.0

    def test_blocked_paddle_is_left_out_where_asked(self, store: EpisodeStore) -> None:
        effects = np.random.default_rng(0).integers(3, size=400)
        reading = self.reading(effects, effects.copy())
        own_y = store.truth_column("own_y")
        reading.truth_TK[:, own_y] = np.where(np.arange(400) < 200, 30.0, np.where(np.arange(400) < 300, 5.0, 59.0))
        reading.codes_T[200:] = 0
        ours, _ = figures.agreement_figures([reading], store, TINY, 3)
        assert ours["Hungarian accuracy, own has room"].value == 1.0
        assert ours["Hungarian accuracy"].value < 0.9

    def test_outcome_read_without_a_mistake_has_f1_one(self) -> None:
        effects = np.zeros(200, int)
        perfect = [self.reading(effects, effects) for _ in range(3)]
        found = figures.outcome_figures(perfect)
        assert found["reward F1"].value == found["termination F1"].value == 1.0
        late = [r._replace(read_rewards_T=np.roll(r.rewards_T, 1)) for r in perfect]
        later = [r._replace(read_rewards_T=np.roll(r.rewards_T, 2)) for r in perfect]
        assert figures.outcome_figures(late)["reward F1"].value == 1.0
        assert figures.outcome_figures(later)["reward F1"].value == 0.0


@pytest.fixture(scope="module")
def quick(world: World, store: EpisodeStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, Path]:
    """A quick evaluation of the random world, and its folder."""
    folder = tmp_path_factory.mktemp("quick")
    save_world(world, folder / "world")
    config = EvaluateConfig(
        str(folder / "world"), store.folder, folder / "report", context=6, module="tests.helpers.tiny_game", quick=True
    )
    return evaluate(config, TINY), folder / "report"


class TestReport:
    def test_report_holds_every_section_and_its_baselines(self, quick: tuple[Evaluation, Path]) -> None:
        evaluation, folder = quick
        columns = {s.title: list(s.columns) for s in evaluation.sections}
        assert columns == {
            "tokenizer": [WORLD, "median background"],
            "one step": [WORLD, "this world, argmax", "copy-last", "median background"],
            "horizons": [WORLD, "teacher-forced", "copy-last", "teacher-forced copy-last", "median background"],
            "latent actions": [WORLD, "majority class"],
            "outcome": [WORLD],
            "free play": [WORLD, "real game", "dream over real"],
            "speed": [WORLD],
            "quality against temperature": ["temperature 0", "temperature 0.25"],
            "quality against decode steps": ["decode steps 1", "decode steps 2"],
            "quality against action diversity": ["action diversity 0", "action diversity 0.1"],
        }
        text = (folder / "report.md").read_text()
        assert all(f"## {title}" in text for title in columns)
        assert evaluation.figure("tokenizer", "frames exact").value == 1.0
        assert evaluation.figure("free play", "own obeys", "real game").value == 1.0
        assert evaluation.flat()["tokenizer: frames exact"] == 1.0
        assert evaluation.figure("tokenizer", "tokens in use").value > 10
        assert evaluation.figure("horizons", "changed-token accuracy, h = 5", "teacher-forced copy-last").value == 0.0
        ours, real = (evaluation.figure("free play", POINTS, column) for column in (WORLD, "real game"))
        if real.value > 0:
            over = evaluation.figure("free play", POINTS, "dream over real")
            assert over.value == pytest.approx(ours.value / real.value)

    def test_sweeps_change_only_what_they_sweep(self, quick: tuple[Evaluation, Path]) -> None:
        evaluation, folder = quick
        swept = {s.title: s.columns for s in evaluation.sections if s.title.startswith("quality")}
        diverse = swept["quality against action diversity"]
        assert set(diverse["action diversity 0"]) == set(diverse["action diversity 0.1"])
        assert HISTOGRAM in diverse["action diversity 0"] and LOOPING in diverse["action diversity 0"]
        # The world's own temperature and no diversity: the free play of the report, as far as a sweep plays it.
        assert diverse["action diversity 0"][LOOPING] == evaluation.figure("free play", LOOPING)
        assert "ball error, px, h = 1" in swept["quality against temperature"]["temperature 0"]
        # One step is the world's own setting, so its free play is that of the first diversity, which is none.
        single = swept["quality against decode steps"]["decode steps 1"]
        assert single[HISTOGRAM] == diverse["action diversity 0"][HISTOGRAM]
        for name in ("horizons.png", "temperature.png", "decode_steps.png", "action_diversity.png"):
            with Image.open(folder / name) as plot:
                assert plot.size[0] > 400

    def test_sweeps_can_be_left_out(self) -> None:
        config = EvaluateConfig("pong", Path("data"), sweeps=False).sized()
        assert not config.sweeps and config.horizons == (1, 2, 5, 10, 20, 50, 100)

    def test_metrics_are_strict_json_of_the_same_figures(self, quick: tuple[Evaluation, Path]) -> None:
        evaluation, folder = quick

        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        stored = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)
        assert stored == json.loads(json.dumps(evaluation.to_json()))
        assert stored["sections"]["tokenizer"][WORLD]["frames exact"]["value"] == 1.0
        assert stored["settings"]["horizons"] == [1, 2, 5]

    def test_pictures_show_real_frames_over_dreamed_ones(self, quick: tuple[Evaluation, Path]) -> None:
        _, folder = quick
        strip = np.asarray(Image.open(folder / "strip_0.png"))
        # Two rows of four frames (now, h = 1, 2, 5), a line after each, four times enlarged.
        assert strip.shape == (4 * 2 * 65, 4 * 4 * 65, 3)
        np.testing.assert_array_equal(strip[: 4 * 64, : 4 * 64], strip[4 * 65 : 4 * 129, : 4 * 64])
        with Image.open(folder / "long_dream.gif") as gif:
            assert gif.size == (256, 256)
        text = (folder / "report.md").read_text()
        names = ("strip_3.png", "real_beside_dream_2_to_5.gif", "horizons.png")
        assert all((folder / name).exists() and f"]({name})" in text for name in names)

    @pytest.mark.parametrize("option", [{"horizons": (0, 1)}, {"num_clips": 0}, {"horizons": ()}])
    def test_impossible_sizes_are_refused_by_name(self, option: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=next(iter(option))):
            EvaluateConfig("pong", Path("data"), **option)  # type: ignore[arg-type]
