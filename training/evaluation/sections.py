"""The tables of a report, from what a world does with held-out play and what happens in free play.

Owns which figures and which baselines stand side by side. Knows nothing of command lines and files.
"""

from __future__ import annotations

import numpy as np
import torch

from genie_env.config import SamplingConfig
from genie_env.data.episodes import EpisodeStore
from genie_env.games.registry import Game
from genie_env.games.sprites import find_sprites
from genie_env.statistics import Interval
from genie_env.world import World
from training.data.dataset import FrameDataset
from training.evaluation import measures as figures
from training.evaluation.free_play import POINTS, Play, histogram_figures, play_figures
from training.evaluation.held_out import Clips, Reading, roll
from training.evaluation.report import WORLD, Figures, Section

ARGMAX, FORCED, COPY, MEDIAN = "this world, argmax", "teacher-forced", "copy-last", "median background"
FORCED_COPY = "teacher-forced copy-last"
REAL, MAJORITY, RATIO = "real game", "majority class", "dream over real"
ONE_STEPS = 50
"""Steps of each clip that the one-step table looks at, evenly spread."""

Reach = dict[str, tuple[float, float]]
"""Extremes that a coordinate reaches in real play."""


def tokenizer_section(
    world: World, store: EpisodeStore, background_HWC: np.ndarray, game: Game, count: int, seed: int
) -> Section:
    """``count`` frames drawn back from their tokens, and how many of the tokens are used."""
    frames = FrameDataset(store, "test").frames(np.random.default_rng(seed), count)
    tokens = world.encode(frames[None])
    drawn = world.decode(tokens)[0].cpu().numpy()
    empty = np.broadcast_to(background_HWC, frames.shape)
    columns = {
        name: figures.tokenizer_figures(frames.numpy(), picture, background_HWC, game.colours)
        for name, picture in ((WORLD, drawn), (MEDIAN, empty))
    }
    counts_V = np.bincount(tokens.cpu().numpy().ravel(), minlength=world.config.tokenizer.vocab_size)
    columns[WORLD] |= figures.usage_figures(counts_V)
    return Section("tokenizer", "Held-out frames, encoded and decoded.", columns)


def dynamics_sections(
    world: World,
    clips: Clips,
    game: Game,
    horizons: tuple[int, ...],
    sampling: SamplingConfig,
    dreamed_CHN: torch.Tensor,
) -> list[Section]:
    """One step from real context, and dreams compared with what came."""
    forced = roll(world, clips, sampling, forced=True)
    argmax = roll(world, clips, SamplingConfig(temperature=0.0), forced=True)  # in one pass
    empty = world.encode(clips.background_HWC[None, None]).cpu().expand_as(dreamed_CHN)
    past = clips.tokens_CTN[:, clips.context - 1 : -1]
    steps = np.unique(np.linspace(0, dreamed_CHN.shape[1] - 1, ONE_STEPS).astype(int))
    next_frames = {WORLD: forced, ARGMAX: argmax, COPY: past, MEDIAN: empty}
    one_step = {
        name: figures.step_figures(figures.score(world, clips, tokens[:, steps], steps))
        for name, tokens in next_frames.items()
    }
    dreams = {
        WORLD: dreamed_CHN,
        FORCED: forced,
        COPY: past[:, :1].expand_as(past),
        FORCED_COPY: past,
        MEDIAN: empty,
    }
    later = {
        name: figures.horizon_figures(world, clips, tokens, horizons, game.colours) for name, tokens in dreams.items()
    }
    for name in (COPY, FORCED_COPY, MEDIAN):
        # What is left of next to nothing says nothing.
        later[name] = {row: figure for row, figure in later[name].items() if "relative" not in row}
    return [
        Section(
            "one step",
            f"The next frame from at least {clips.context} real frames and the action. The argmax column "
            "takes one pass at temperature 0, the first the world's own sampling.",
            one_step,
        ),
        Section(
            "horizons",
            f"Dreams of h steps from {clips.context} real frames, with the actions that were really taken (recorded or "
            "inferred, whichever the dynamics learned from). "
            "Teacher-forced: every frame is predicted from real ones. Copy-last repeats the last frame of the "
            "context, teacher-forced copy-last the real frame before. Position errors are medians over clips whose "
            "sprite was there at the start and in which nobody scored since; a missing sprite counts as a whole "
            'picture\'s width away. A serve is random: figures "before a new serve" leave out what came after one.',
            later,
        ),
    ]


def reading_sections(
    world: World,
    store: EpisodeStore,
    readings: list[Reading],
    clips: Clips,
    game: Game,
    sampling: SamplingConfig,
    dreamed_CHN: torch.Tensor,
    seed: int,
) -> list[Section]:
    """Latent actions and outcomes read from held-out episodes."""
    ours, majority = figures.agreement_figures(readings, store, game, world.config.dynamics.num_actions)
    count = 4 * len(clips.tokens_CTN)
    ours["ΔPSNR of its decoder, moving pixels, dB"] = figures.delta_psnr(world, store, count, seed)
    ours |= figures.action_worth(world, clips, sampling, dreamed_CHN, seed)
    return [
        Section(
            "latent actions",
            "Agreement with the effects of the real actions over whole episodes. ΔPSNR: inferred against random codes.",
            {WORLD: ours, MAJORITY: majority},
        ),
        Section(
            "outcome", "Events read from real play, to within one frame.", {WORLD: figures.outcome_figures(readings)}
        ),
    ]


def play_section(world: World, played: dict[str, Play], readings: list[Reading], game: Game, reach: Reach) -> Section:
    """What happens in free play, dreamed and real."""
    columns = judge_play(world, played, readings, game, reach)
    if REAL in columns:
        columns[RATIO] = _over(columns[WORLD], columns[REAL])
    return Section(
        "free play",
        "The same policy, random actions held for one to eight steps, in the dream and in the real game. A sprite "
        "obeys if it moves as the command says that has been held for two steps, where it has five pixels of room. A "
        "row repeats for as long as every frame is, to the pixel, the one some fixed number of steps before. The "
        "histogram counts each token at each place; a real row is compared with the other real rows.",
        columns,
    )


def judge_play(
    world: World, played: dict[str, Play], readings: list[Reading], game: Game, reach: Reach
) -> dict[str, Figures]:
    """Figures of each play: what is seen in it, how its tokens are spread, and how many are used."""
    vocab = world.config.tokenizer.vocab_size
    tokens = {name: world.encode(play.frames_BTHWC).cpu().numpy() for name, play in played.items()}
    recorded_MN = np.concatenate([reading.tokens_TN.numpy() for reading in readings])
    histograms = histogram_figures(tokens, vocab, REAL, recorded_MN)
    return {
        name: play_figures(play, game, reach)
        | histograms[name]
        | figures.usage_figures(np.bincount(tokens[name].ravel(), minlength=vocab))
        for name, play in played.items()
    }


def _over(ours: Figures, real: Figures) -> Figures:
    """Shares and rates as parts of the real game's, with our interval; the real game's own is not in it."""
    compared = [name for name in ours if name.endswith(" present") or name == POINTS]
    return {
        name: Interval(*(end / real[name].value for end in ours[name][:3]), ours[name].count)
        for name in compared
        if real[name].value > 0
    }


def reach_of(clips: Clips, game: Game) -> Reach:
    """Extremes that each coordinate reaches which commands move."""
    if game.colours is None:
        return {}
    recorded = find_sprites(clips.frames_CTHWC, game.colours)
    places = {
        name: recorded.coordinates()[name] for name in dict.fromkeys(name for _, name, _ in game.action_directions)
    }
    return {name: (float(np.nanmin(place)), float(np.nanmax(place))) for name, place in places.items()}
