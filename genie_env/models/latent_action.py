"""Latent action model (LAM): which of a handful of discrete actions turned one frame into the next.

Learned on pixels without action labels, as in Genie (arXiv 2402.15391): an encoder looks at past and next frame
and names a code; a decoder must draw the next frame from the past and that code alone. What the past already tells
(a ball's flight, the opponent) needs no code, so the code is left with what the player did.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from genie_env.config import LatentActionConfig
from genie_env.frames import to_float
from genie_env.nn.quantize import VectorQuantizer


class LatentActionOutput(NamedTuple):
    """What the LAM says about a batch of transitions."""

    prediction_BCHW: torch.Tensor
    """Next frame drawn from the past and the code, in [-1, 1]."""
    codes_B: torch.Tensor
    logits_BA: torch.Tensor


class LatentActionModel(nn.Module):
    """Encoder, vector quantiser and decoder over ``context_frames`` past frames and the next one."""

    def __init__(self, config: LatentActionConfig) -> None:
        super().__init__()
        self.config = config
        c, past = config.channels, 3 * config.context_frames
        self.encoder = _encoder(config)
        self.quantizer = VectorQuantizer(config.num_actions, config.code_dim)
        self.down1 = nn.Conv2d(past, c, 4, 2, 1)
        self.down2 = nn.Conv2d(c, 2 * c, 4, 2, 1)
        self.down3 = nn.Conv2d(2 * c, 2 * c, 4, 2, 1)
        self.film3 = nn.Linear(config.code_dim, 4 * c)
        self.film2 = nn.Linear(config.code_dim, 4 * c)
        self.film1 = nn.Linear(config.code_dim, 2 * c)
        self.up3 = nn.Conv2d(2 * c, 2 * c, 3, 1, 1)
        self.up2 = nn.Conv2d(4 * c, 2 * c, 3, 1, 1)
        self.up1 = nn.Conv2d(3 * c, c, 3, 1, 1)
        self.out = nn.Conv2d(c, 4 * 3, 3, 1, 1)

    def forward(self, frames_BTCHW: torch.Tensor) -> LatentActionOutput:
        """Infer a code for the last transition of each row and draw its next frame.

        Args:
            frames_BTCHW: float [B, context_frames + 1, 3, H, W] in [-1, 1]; the last frame is the next one.
        """
        frames_BTCHW = self.shrink(frames_BTCHW)
        logits_BA = self.logits(frames_BTCHW)
        quantized_BD, codes_B = self.quantizer(logits_BA)
        return LatentActionOutput(self._decode(frames_BTCHW[:, :-1], quantized_BD[:, None])[:, 0], codes_B, logits_BA)

    def logits(self, frames_BTCHW: torch.Tensor) -> torch.Tensor:
        """Score of each code [B, A] for the last transition of each row; the argmax is the latent action."""
        return self.quantizer.logits(self.encoder(_motion(self.shrink(frames_BTCHW))))

    def predict(self, past_BTCHW: torch.Tensor, codes_B: torch.Tensor) -> torch.Tensor:
        """Draw the next frame [B, 3, H, W] from ``context_frames`` past frames and a given code."""
        return self.predict_under(past_BTCHW, codes_B[:, None])[:, 0]

    def predict_each(self, past_BTCHW: torch.Tensor) -> torch.Tensor:
        """Draw the next frame under every code: [B, A, 3, H, W]."""
        codes_BA = torch.arange(self.config.num_actions, device=past_BTCHW.device).expand(len(past_BTCHW), -1)
        return self.predict_under(past_BTCHW, codes_BA)

    def predict_under(self, past_BTCHW: torch.Tensor, codes_BK: torch.Tensor) -> torch.Tensor:
        """Draw the next frame under each of K codes: [B, K, 3, H, W]. The past is looked at once."""
        return self._decode(self.shrink(past_BTCHW), self.quantizer.embed(codes_BK))

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.out.weight.device

    def see(self, frames_BTHWC: torch.Tensor) -> torch.Tensor:
        """Clips as the model takes them: uint8 [B, T, H, W, 3] -> float [B, T, 3, h, w], small, on its device."""
        return self.shrink(to_float(frames_BTHWC.to(self.device)))

    def shrink(self, frames_BTCHW: torch.Tensor) -> torch.Tensor:
        """Average frames down to ``image_size``, in which all predictions are drawn."""
        factor = frames_BTCHW.shape[-1] // self.config.image_size
        if factor == 1:
            return frames_BTCHW
        pooled = F.avg_pool2d(frames_BTCHW.flatten(0, 1), factor)
        return pooled.unflatten(0, frames_BTCHW.shape[:2])

    @torch.no_grad()
    def infer(self, frames_BTHWC: torch.Tensor, chunk: int = 512) -> torch.Tensor:
        """Latent actions of a clip: uint8 [B, T, H, W, 3] -> int64 [B, T-1].

        The action at index t moved frame t to frame t+1. Before the clip began its first frame is repeated.
        """
        rows, steps = frames_BTHWC.shape[0], frames_BTHWC.shape[1] - 1
        context = self.config.context_frames
        padded = torch.cat([frames_BTHWC[:, :1].expand(-1, context - 1, -1, -1, -1), frames_BTHWC], dim=1)
        codes = []
        for start in range(0, steps, chunk):
            stop = min(start + chunk, steps)
            seen = self.see(padded[:, start : stop + context])
            windows = seen.unfold(1, context + 1, 1)
            flat = rearrange(windows, "b s c h w t -> (b s) t c h w")
            codes.append(self.logits(flat).argmax(-1).view(rows, stop - start))
        return torch.cat(codes, dim=1)

    def _decode(self, past_BTCHW: torch.Tensor, actions_BKD: torch.Tensor) -> torch.Tensor:
        """The next frame under each of K actions: [B, K, 3, H, W]."""
        rows, each = actions_BKD.shape[:2]
        action_MD = actions_BKD.flatten(0, 1)
        d1 = F.silu(self.down1(_motion(past_BTCHW)))
        d2 = F.silu(self.down2(d1))
        d3 = F.silu(self.down3(d2))
        d1, d2, up3 = (x.repeat_interleave(each, 0) for x in (d1, d2, self.up3(d3)))
        u3 = _upsample(F.silu(_film(up3, self.film3(action_MD))))
        u2 = _upsample(F.silu(_film(self.up2(torch.cat([u3, d2], 1)), self.film2(action_MD))))
        u1 = F.silu(_film(self.up1(torch.cat([u2, d1], 1)), self.film1(action_MD)))
        # The decoder draws what changes; an unchanged picture costs it nothing.
        return past_BTCHW[:, None, -1] + F.pixel_shuffle(self.out(u1), 2).unflatten(0, (rows, each))


def _encoder(config: LatentActionConfig) -> nn.Module:
    c, frames = config.channels, config.context_frames + 1
    first: list[nn.Module] = [nn.Conv2d(3 * frames, c, 4, 2, 1), nn.SiLU()]
    if config.pooled:
        width = 4 * c
        rest = [
            nn.Conv2d(c, 2 * c, 3, 1, 1),
            nn.SiLU(),
            nn.Conv2d(2 * c, 2 * c, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(2 * c, 2 * c, 3, 1, 1),
            nn.SiLU(),
            _Pool(),
        ]
    else:
        width = c // 2 * (config.image_size // 8) ** 2
        rest = [
            nn.Conv2d(c, 2 * c, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(2 * c, 2 * c, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(2 * c, c // 2, 1),
            nn.Flatten(),
        ]
    # What moves is a few pixels: without this norm the background drowns them and no code is learned.
    last = [nn.LayerNorm(width), nn.Linear(width, 128), nn.SiLU(), nn.Linear(128, config.code_dim)]
    return nn.Sequential(*first, *rest, *last)


class _Pool(nn.Module):
    """[B, C, H, W] -> mean and maximum over the picture: [B, 2 * C]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


def _motion(frames_BTCHW: torch.Tensor) -> torch.Tensor:
    """Differences between consecutive frames, then the last frame: [B, T * 3, H, W]."""
    moves = 2.0 * (frames_BTCHW[:, 1:] - frames_BTCHW[:, :-1])
    return rearrange(torch.cat([moves, frames_BTCHW[:, -1:]], dim=1), "b t c h w -> b (t c) h w")


def _upsample(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _film(x: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
    """Scale and shift channels by the action (Perez et al. 2018, arXiv 1709.07871)."""
    scale, shift = parameters[..., None, None].chunk(2, dim=1)
    return x * (1 + scale) + shift
