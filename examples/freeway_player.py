"""Measure a sprite that this package does not know: is Freeway's player still there, and does it cross the road?

Freeway's traffic depends on the time alone, so a second game at the same time, whose player waits, shows what the
picture is without the player. What differs from it in the player's column is the player. Needs the emulator.
"""

import argparse
from dataclasses import replace

import numpy as np
import torch

from genie_env import load_world
from genie_env.games.source_game import SourceGame, make_source_game
from genie_env.statistics import mean

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world", default="worlds/freeway", help="folder of a world of ALE/Freeway-v5")
parser.add_argument("--dreams", type=int, default=100)
parser.add_argument("--steps", type=int, default=100, help="length of a dream")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

PROMPT = 16
UP = 1
COLUMNS = 43, 52
"""Of the screen, which is 160 wide: those of the left player and a pixel more."""
MEMORY = 14
"""Cell of the console's memory that says how many rows from below the player is."""
REST, CENTRE, ACROSS = 6, 191, 165
"""That cell where the player waits, the row of the screen where its middle is then, and how many rows above that the
other side begins."""
DIFFERENT = 30
"""By how much more yellow a pixel is where the player is."""


def play(game: SourceGame, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames [T+1, H, W, 3] of a new game, and how many rows above its resting place the player is [T+1]."""
    frame, _ = game.reset(seed=0)
    frames, above = [frame], [0]
    for action in actions:
        frames.append(game.step(int(action))[0])
        above.append(int(game.unwrapped.ale.getRAM()[MEMORY]) - REST)
    return np.stack(frames), np.array(above)


def sticky(steps: int) -> np.ndarray:
    """Actions of a player that thinks again every ten steps, and goes up half of the time."""
    return rng.choice(3, size=steps // 10 + 1, p=(0.25, 0.5, 0.25)).repeat(10)[:steps]


def to_frame(above: np.ndarray | float) -> np.ndarray | float:
    """Rows above the resting place as rows of the frame, counted from its top."""
    return (CENTRE - above - crop[0]) * size / (crop[1] - crop[0]) - 0.5


def yellow(frames_THWC: np.ndarray) -> np.ndarray:
    """How yellow each pixel is, as the players are, float [T, H, W]."""
    return frames_THWC[..., :2].mean(-1) - frames_THWC[..., 2]


def player_rows(frames_THWC: np.ndarray, waiting_THWC: np.ndarray) -> np.ndarray:
    """Row of the frame in which the player is, float [T]: NaN where there is none."""
    first, last = ((column - crop[2]) * size // (crop[3] - crop[2]) for column in COLUMNS)
    more_TYX = (yellow(frames_THWC) - yellow(waiting_THWC))[:, :, first : last + 1]
    road = int(to_frame(ACROSS + 8))
    here_TY = (more_TYX > DIFFERENT).any(-1) & (np.arange(size) >= road)
    # Where the other game's player waits, less yellow says that this one's does not.
    waits_T = ~(more_TYX < -DIFFERENT).any((1, 2))
    middle_T = (here_TY * np.arange(size)).sum(-1) / np.maximum(here_TY.sum(-1), 1)
    return np.where(here_TY.any(-1), middle_T, np.where(waits_T, to_frame(0), np.nan))


world = load_world(args.world)
source = replace(world.config.source, env_id="ALE/Freeway-v5", env_kwargs={"repeat_action_probability": 0.0})
crop, size = source.crop or (0, 210, 0, 160), source.image_size
game = make_source_game(source)
rng = np.random.default_rng(args.seed)
real_to_latent = np.array(world.config.action_map.real_to_latent)

begins_B = rng.integers(PROMPT, 200, args.dreams)
waiting_THWC, _ = play(game, np.zeros(200 + args.steps, int))
print(f"{args.dreams} dreams of {args.steps} steps, from real play of a random player that goes up half of the time")
for held in (False, True):
    frames, prompts, prompt_actions, actions, rows = [], [], [], [], []
    for begin in begins_B:
        taken = sticky(begin + args.steps)
        taken[begin:] = np.where(held, UP, taken[begin:])
        real_THWC, above_T = play(game, taken)
        prompts.append(real_THWC[begin - PROMPT + 1 : begin + 1])
        prompt_actions.append(taken[begin - PROMPT + 1 : begin])
        frames.append(real_THWC[begin + 1 :])
        actions.append(taken[begin:])
        rows.append(above_T[begin + 1 :])
    latent, prompt_latent = (torch.from_numpy(real_to_latent[np.stack(part)]) for part in (actions, prompt_actions))
    prompts_BTN = world.encode(np.stack(prompts))
    tokens_BTN = world.engine().roll(prompts_BTN, prompt_latent, latent, keys_B=torch.arange(args.dreams)).tokens_BTN
    above_BT, seen = np.stack(rows), {}
    for name, tokens in (("the game", world.encode(np.stack(frames))), ("the dream", tokens_BTN)):
        drawn = [world.decode(row[None])[0].cpu().numpy() for row in tokens]
        without = [waiting_THWC[begin + 1 : begin + 1 + args.steps] for begin in begins_B]
        seen[name] = np.stack([player_rows(*pair) for pair in zip(drawn, without, strict=True)])
    across_B = (above_BT > ACROSS).any(1)
    for name, row_BT in seen.items():
        there_BT, off_BT = ~np.isnan(row_BT), np.abs(row_BT - to_frame(above_BT))
        for h in (h for h in (1, 10, 20, 50, 100) if h <= args.steps):
            there, near = mean(there_BT[:, h - 1].astype(float)), mean((off_BT[:, h - 1] <= 2).astype(float))
            print(f"  {'UP held' if held else 'played'}, {name} after {h}: there in {there}, within 2 pixels in {near}")
        if held and across_B.any():
            crossed = mean((row_BT[across_B] < to_frame(ACROSS - 10)).any(1).astype(float))
            print(f"  {name}: the player crosses in {crossed} of the {across_B.sum()} in which it does in the game")
