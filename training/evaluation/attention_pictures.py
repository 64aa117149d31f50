"""Pictures of what the dynamics looks at when it predicts a frame: within the frame, and at earlier ones.

Owns how attention is taken from a network and drawn over frames. Knows nothing of what makes a dream good.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from genie_env.games.sprites import SpriteColours, find_sprites
from genie_env.models.dynamics import Dynamics, parallel_log_probs
from genie_env.models.ensemble import trunks_and_heads
from training.evaluation.held_out import Clips, HeldOutPlay

INCH = 1.5


class Attention(NamedTuple):
    """Weights that the last frame of a clip gives; each row of weights sums to one."""

    space: list[np.ndarray]
    """Weights of each block of trunk and head [heads, G, G]: what each position looks at within the frame."""
    time: list[np.ndarray]
    """Weights of each block of the trunk [G, heads, T]: at which frames each position looks."""


@torch.inference_mode()
def take_attention(model: Dynamics, tokens_TN: torch.Tensor, actions_T: torch.Tensor) -> Attention:
    """Let the model predict what follows T frames and take all weights of the last one.

    Args:
        model: the dynamics.
        tokens_TN: int64 tokens of the frames.
        actions_T: int64, the action taken at each frame.
    """
    found, hooks = Attention([], []), []

    def keep_space(block: nn.Module) -> None:
        def hook(_module: nn.Module, _inputs: object, normed: torch.Tensor) -> None:
            found.space.append(block.space.weights(normed.flatten(0, -3))[-1].cpu().numpy())  # type: ignore[operator]

        hooks.append(block.norm_space.register_forward_hook(hook))  # type: ignore[union-attr]

    def keep_time(block: nn.Module) -> None:
        def hook(_module: nn.Module, _inputs: object, normed: torch.Tensor) -> None:
            found.time.append(block.time.weights(normed)[0, :, :, -1].cpu().numpy())  # type: ignore[operator]

        hooks.append(block.norm_time.register_forward_hook(hook))  # type: ignore[union-attr]

    for block in [*model.blocks, *model.head]:
        keep_space(block)
    for block in model.blocks:
        keep_time(block)
    try:
        device = model.device
        parallel_log_probs(model, tokens_TN[None].to(device), actions_T[None].to(device))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def draw_attention(folder: Path, play: HeldOutPlay, clips: Clips, clip: int) -> list[Path]:
    """Draw the attention behind the first predicted frame of one of the clips, and return the pictures' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    world = play.world
    tokens_TN, actions_T = clips.tokens_CTN[clip, : clips.context], clips.actions_CT[clip, : clips.context]
    # Of an ensemble: its first member's.
    found = take_attention(trunks_and_heads(world.dynamics)[0][0], tokens_TN, actions_T)
    side = world.config.dynamics.side // world.config.dynamics.group
    place = moving_place(tokens_TN, clips.tokens_CTN[clip, clips.context], side)
    shades_THW = _shades(clips.frames_CTHWC[clip, : clips.context], play.background_HWC)
    paths = [folder / "attention_space.png", folder / "attention_time.png"]
    _draw_space(paths[0], shades_THW[-1], found.space, place, side, len(found.time))
    _draw_time(paths[1], shades_THW, found.time, place, side)
    return paths


def most_changed_clip(clips: Clips, colours: SpriteColours | None) -> int:
    """The clip that changes most in its first predicted frame, of those with every sprite in sight before it."""
    last = clips.context - 1
    changes_C = (clips.tokens_CTN[:, last] != clips.tokens_CTN[:, last + 1]).sum(-1).numpy().astype(float)
    if colours is not None:
        whole_C = find_sprites(clips.frames_CTHWC[:, last : last + 2], colours).present.all((1, 2))
        changes_C[~whole_C] -= clips.tokens_CTN.shape[-1] + 1
    return int(changes_C.argmax())


def moving_place(tokens_TN: torch.Tensor, next_N: torch.Tensor, side: int) -> int:
    """The position, of ``side``² in a frame, most of whose tokens change next; of equals the most restless so far."""
    rows = int(tokens_TN.shape[1] ** 0.5)
    changes = (torch.cat([tokens_TN[1:], next_N[None]]) != tokens_TN).float()
    by_place = changes.view(-1, side, rows // side, side, rows // side).sum((2, 4)).flatten(1)
    return int((by_place[-1] + by_place.mean(0) / 100).argmax())


def _draw_space(
    path: Path, shade_HW: np.ndarray, space: list[np.ndarray], place: int, side: int, num_blocks: int
) -> None:
    """A row for each block: the mean over heads of all positions, then what ``place`` looks at, head by head."""
    columns = ["all positions", "the marked one", *(f"head {h + 1}" for h in range(space[0].shape[0]))]
    figure, grid = _figure(len(space), len(columns))
    for index, (weights, row) in enumerate(zip(space, grid, strict=True)):
        maps = [weights.mean((0, 1)), weights[:, place].mean(0), *weights[:, place]]
        for axes, name, values in zip(row, columns, maps, strict=True):
            _overlay(axes, shade_HW, values.reshape(side, side), values.max())
            if name != columns[0]:
                mark(axes, place, side, shade_HW.shape[0])
            if index == 0:
                axes.set_title(name, fontsize=8)
        block = f"trunk {index + 1}" if index < num_blocks else f"head {index + 1 - num_blocks}"
        row[0].set_ylabel(block, fontsize=8)
    figure.suptitle("Attention within the frame; each picture is scaled to its own largest weight", fontsize=9)
    figure.savefig(path, dpi=100)


def _draw_time(path: Path, shades_THW: np.ndarray, time: list[np.ndarray], place: int, side: int) -> None:
    """A row for each block: every frame of the window with the weight that each position gives its own past there."""
    figure, grid = _figure(len(time), len(shades_THW))
    for index, (weights, row) in enumerate(zip(time, grid, strict=True)):
        maps_TG = weights.mean(1).T
        for age, (axes, shade_HW, values) in enumerate(zip(row, shades_THW, maps_TG, strict=True)):
            _overlay(axes, shade_HW, values.reshape(side, side), maps_TG.max())
            mark(axes, place, side, shade_HW.shape[0])
            if index == 0:
                axes.set_title(f"t - {len(shades_THW) - 1 - age}", fontsize=8)
        row[0].set_ylabel(f"trunk {index + 1}", fontsize=8)
    figure.suptitle(
        "Attention over time, mean of the heads: how much each position of the newest frame looks at itself then; "
        "each row is scaled to its largest weight",
        fontsize=9,
    )
    figure.savefig(path, dpi=100)


def _figure(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(INCH * columns, INCH * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _shades(frames_THWC: np.ndarray, background_HWC: np.ndarray) -> np.ndarray:
    """How much of each pixel is to be white, float [T, H, W]: what moves wholly, the rest faintly."""
    moves_THW = np.abs(frames_THWC.astype(np.float32) - background_HWC).max(-1) / 255
    return np.clip(frames_THWC.mean(-1) / 255 * 0.3 + 2.5 * moves_THW, 0.0, 1.0)


def _overlay(axes: Axes, shade_HW: np.ndarray, weights_YX: np.ndarray, most: float) -> None:
    """Weights as colour, with the frame in white over them."""
    size = shade_HW.shape[0] // weights_YX.shape[0]
    heat_HWC = colormaps["viridis"](np.kron(weights_YX, np.ones((size, size))) / max(most, 1e-9))[..., :3]
    axes.imshow(heat_HWC * (1 - shade_HW[..., None]) + shade_HW[..., None])
    axes.set_xticks([])
    axes.set_yticks([])


def mark(axes: Axes, place: int, side: int, size: int) -> None:
    """Frame one of ``side``² places of a picture of ``size`` pixels in red."""
    y, x = divmod(place, side)
    edge = size / side
    axes.add_patch(Rectangle((x * edge - 0.5, y * edge - 0.5), edge, edge, fill=False, edgecolor="red", linewidth=1))
