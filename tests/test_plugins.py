"""A game, a tokenizer and a dynamics of somebody else's, each in one file, from recording to ``gym.make``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genie_env.bundle import load_world, read_config
from tests.helpers.paths import ROOT

GAME = '''
"""A square that moves left and right."""

import gymnasium as gym
import numpy as np

from genie_env.config import SourceConfig
from genie_env.games.registry import Game, register_game


class Square(gym.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    render_mode = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(8)), 0
        return self.picture(), {}

    def step(self, action):
        before = self.place
        self.place, self.steps = min(7, max(0, self.place + 2 * int(action) - 1)), self.steps + 1
        return self.picture(), float(self.place == 7 and before != 7), self.steps >= 40, False, {}

    def picture(self):
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[24:32, 8 * self.place : 8 * self.place + 8] = (250, 200, 50)
        return frame


gym.register("Square-v0", entry_point="my_game:Square")
register_game(Game(SourceConfig("Square-v0", action_meanings=("LEFT", "RIGHT"), effects=(0, 1), keys={"a": 0, "d": 1})))
'''

TOKENIZER = '''
"""A palette: each patch becomes the colour nearest to its mean."""

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from torch import nn

from genie_env.config import TokenizerConfig
from genie_env.models.registry import register_tokenizer


@dataclass(frozen=True)
class PaletteConfig(TokenizerConfig):
    brightness: float = 1.0


class Palette(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.register_buffer("colours_V3", torch.zeros(config.vocab_size, 3))

    def means(self, frames_BHWC):
        size = self.config.patch_size
        return reduce(frames_BHWC.float(), "b (y h) (x w) c -> b (y x) c", "mean", h=size, w=size)

    def encode(self, frames_BHWC):
        return torch.cdist(self.means(frames_BHWC), self.colours_V3.float()).argmin(-1)

    def decode(self, tokens_BN):
        side, size = self.config.side, self.config.patch_size
        colours = self.colours_V3[tokens_BN].mul(self.config.brightness).clamp(0, 255).byte()
        return colours.view(-1, side, 1, side, 1, 3).expand(-1, side, size, side, size, 3).reshape(
            len(tokens_BN), side * size, side * size, 3
        )

    def descriptors(self):
        return self.colours_V3 / 255.0


def train(config, store):
    palette = Palette(config.model)
    entry = store.split("train")[0]
    colours = palette.means(torch.from_numpy(store.array("frames", entry).copy())).flatten(0, 1).round().unique(dim=0)
    palette.colours_V3[: len(colours)] = colours[: config.model.vocab_size]
    return palette


register_tokenizer("palette", Palette, PaletteConfig, train)
'''

DYNAMICS = '''
"""A Markov chain: the next frame from the present one and the action, with a task for the training loop."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from genie_env.config import DynamicsConfig
from genie_env.models.registry import register_dynamics
from training.data.dataset import TokenDataset
from training.engine.loop import fit
from training.engine.optimization import seeded


@dataclass(frozen=True)
class ChainConfig(DynamicsConfig):
    hidden: int = 8


@dataclass
class Seen:
    count_B: torch.Tensor

    def clone(self):
        return Seen(self.count_B.clone())

    def take(self, rows):
        return Seen(self.count_B[rows])


class Chain(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, self.mask_token = config, config.vocab_size
        self.embed = nn.Embedding(config.vocab_size, config.hidden)
        self.act = nn.Embedding(config.num_actions, config.hidden)
        self.mix = nn.Linear(config.tokens.num_tokens * config.hidden, config.tokens.num_tokens * config.hidden)
        self.out = nn.Linear(config.hidden, config.vocab_size)

    @property
    def device(self):
        return self.out.weight.device

    def empty_cache(self, rows):
        return Seen(torch.zeros(rows, dtype=torch.long))

    def prefill(self, cache, rows_R, tokens_RTN, actions_RT):
        cache.count_B = cache.count_B.index_fill(0, rows_R, tokens_RTN.shape[1])

    def step(self, cache, tokens_BN, actions_B):
        cache.count_B = cache.count_B + 1
        return self.features(tokens_BN, actions_B)

    def features(self, tokens, actions):
        x = self.embed(tokens) + self.act(actions)[..., None, :]
        return F.silu(self.mix(x.flatten(-2))).view(x.shape)

    def decode(self, features, decided_BN):
        return self.out(features)

    def stay_logits(self, head_out):
        return torch.zeros(head_out.shape[:-1])

    def log_probs(self, head_out, current):
        return head_out.log_softmax(-1)


class ChainTask:
    def __init__(self, config, store):
        with seeded(config.loop.seed):
            self.model = Chain(config.model)
        self.config, self.data = config, TokenDataset(store, "train")

    def loss(self, step, rng, generator):
        clip = self.data.clips(rng, self.config.loop.batch_size, self.config.clip_length)
        said = self.model.decode(self.model.features(clip.tokens_BTN[:, :-1], clip.actions_BT), None)
        return F.cross_entropy(said.flatten(0, 2), clip.tokens_BTN[:, 1:].flatten()), {}

    def evaluate(self, model):
        return {}, {}


def train(config, store):
    return fit(ChainTask(config, store), config.loop, config.out, "chain", config)


register_dynamics("chain", Chain, ChainConfig, train)
'''

RECIPE = """
[record]
env = "Square-v0"
steps = 400
shard_steps = 200
[tokenizer]
kind = "palette"
vocab_size = 4
brightness = 0.5
[latent_action]
num_actions = 2
image_size = 16
channels = 8
n_updates = 2
batch_size = 4
naming = false
[dynamics]
kind = "chain"
hidden = 6
n_updates = 30
batch_size = 8
muon_rate = 0.0
clip_length = 5
[outcome]
rewards = [0, 1]
context_frames = 2
n_updates = 2
batch_size = 8
dreams = 10
[sampling]
max_changed = 64
[export]
num_starts = 4
"""

USE = """
import sys
import gymnasium as gym
import my_tokenizer, my_dynamics
import genie_env
env = gym.make("Genie/World-v0", world=sys.argv[1], temperature=0.0)
frame, _ = env.reset(seed=0)
for action in (0, 1, 1, 0):
    frame, reward, *_ = env.step(action)
world = env.unwrapped.world
assert type(world.tokenizer).__name__ == "Palette" and world.config.tokenizer.brightness == 0.5
assert type(world.dynamics).__name__ == "Chain" and world.config.dynamics.hidden == 6
assert frame.shape == (64, 64, 3) and frame.max() in (0, 125)
assert env.unwrapped.get_action_meanings() == ["LEFT", "RIGHT"]
print("stepped")
"""


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_kinds_of_others_go_from_a_recording_to_an_environment(tmp_path: Path) -> None:
    files = {"my_game.py": GAME, "my_tokenizer.py": TOKENIZER, "my_dynamics.py": DYNAMICS, "mine.toml": RECIPE}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    unknown = python(tmp_path, "-m", "training.train", "--recipe", "mine.toml", "--module", "my_game")
    assert unknown.returncode == 2 and unknown.stderr.count("\n") == 1
    assert "mine.toml: not a recipe (tokenizer kind: expected one of" in unknown.stderr
    modules = [text for name in ("my_tokenizer", "my_dynamics", "my_game") for text in ("--module", name)]
    done = python(tmp_path, "-m", "training.train", "--recipe", "mine.toml", *modules)
    assert done.returncode == 0, done.stderr[-2000:]
    bundle = tmp_path / "worlds" / "mine"
    used = python(tmp_path, "-c", USE, str(bundle))
    assert used.stdout == "stepped\n", used.stderr[-2000:]
    # The bundle itself makes nothing be imported, though the modules would be found.
    asking = "import sys, genie_env; genie_env.load_world(sys.argv[1])"
    refused = python(tmp_path, "-c", asking, str(bundle))
    assert refused.returncode == 1 and "my_tokenizer" not in refused.stderr
    for read in (read_config, load_world):
        with pytest.raises(ValueError, match=r"config\.json: .*'palette'; import the module that registers it") as told:
            read(bundle)
        assert "\n" not in str(told.value)
