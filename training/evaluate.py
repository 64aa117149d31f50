"""Measure a world on held-out play: ``python -m training.evaluate pong --data data/pong --out report``.

Writes ``metrics.json``, ``report.md`` and pictures. Every figure stands beside what costs nothing (repeating the last
frame, the median background) or beside the real game played by the same policy.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
import tyro
from tqdm import tqdm

import genie_env  # noqa: F401 (registers the ids)
from genie_env.bench import measure
from genie_env.bundle import load_world
from genie_env.config import SamplingConfig
from genie_env.episodes import EpisodeStore
from genie_env.source_game import make_source_game
from genie_env.world_model import World
from training.action_agreement import hungarian_accuracy, normalised_mutual_information
from training.dataset import FrameDataset, background, effect_labels
from training.games import Game, game_for, merged_effects
from training.report import (
    WORLD,
    Evaluation,
    Figure,
    Figures,
    Pictures,
    Section,
    interval,
    mean,
    median,
    psnr,
    ratio,
    write_report,
)
from training.sprites import Sightings, detect, kept_pixels, longest_repeat, obedience, position_errors
from training.train_latent_action import agreement
from training.train_outcome import F1, judge_episode
