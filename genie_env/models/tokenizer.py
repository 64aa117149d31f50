"""Video tokenizers: frame <-> discrete tokens. Each frame is drawn from its own tokens alone.

Two kinds behind one interface: a codebook of whole patches (near lossless for sprite games, a table look-up to
decode) and a network with finite scalar quantisation (for every other picture).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from genie_env.config import ENCODER_DEPTH, TokenizerConfig
from genie_env.frames import to_float, to_uint8
from genie_env.models.protocols import VideoTokenizer
from genie_env.nn.embeddings import smooth_functions
from genie_env.nn.quantize import FSQ

FRAMES_AT_ONCE = 512
"""Frames of a clip that are encoded together."""


class Tokenizer(nn.Module):
    """What both kinds do. ``encode`` and ``decode`` are uint8 on the outside."""

    config: TokenizerConfig

    def encode(self, frames_BHWC: torch.Tensor) -> torch.Tensor:
        """uint8 [B, H, W, 3] -> int64 tokens [B, N], row by row from the top left patch."""
        raise NotImplementedError

    def decode(self, tokens_BN: torch.Tensor) -> torch.Tensor:
        """int64 tokens [B, N] -> uint8 [B, H, W, 3]."""
        raise NotImplementedError

    def descriptors(self) -> torch.Tensor:
        """float [V, K]: what each token looks like, in any coordinates in which alike tokens are near."""
        raise NotImplementedError


class PatchCodebook(Tokenizer):
    """Each token is a patch; encoding picks the nearest one (arXiv 2502.01591 used such a codebook for Craftax)."""

    patches_VK: torch.Tensor

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        size = 3 * config.patch_size**2
        self.register_buffer("patches_VK", torch.zeros(config.vocab_size, size, dtype=torch.uint8))

    @torch.no_grad()
    def encode(self, frames_BHWC: torch.Tensor) -> torch.Tensor:
        """See :class:`Tokenizer`."""
        patches_MK = rearrange(to_patches(frames_BHWC, self.config.patch_size), "b n k -> (b n) k")
        # Games repeat their patches: searching the distinct ones only is a hundred times less work.
        distinct_UK, where_M = unique_rows(patches_MK)
        codes_VK = self.patches_VK.float()
        norms_V = codes_VK.square().sum(1)
        nearest = [(norms_V - 2 * chunk.float() @ codes_VK.T).argmin(1) for chunk in distinct_UK.split(8192)]
        return torch.cat(nearest)[where_M].view(len(frames_BHWC), -1)

    def decode(self, tokens_BN: torch.Tensor) -> torch.Tensor:
        """See :class:`Tokenizer`."""
        size = self.config.patch_size
        return rearrange(
            self.patches_VK[tokens_BN], "b (y x) (h w c) -> b (y h) (x w) c", y=self.config.side, h=size, w=size
        ).contiguous()

    def descriptors(self) -> torch.Tensor:
        """The patches themselves."""
        return self.patches_VK.float() / 255.0


class FSQTokenizer(Tokenizer):
    """Autoencoder with finite scalar quantisation (arXiv 2309.15505) between its halves; the drawing one convolves."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        halvings = config.patch_size.bit_length() - 1
        if 2**halvings != config.patch_size:
            raise ValueError(f"fsq: expected a patch_size that is a power of two, got {config.patch_size}")
        widths = [config.channels * 2**i for i in range(halvings)]
        up: list[nn.Module] = []
        for i, width in enumerate(widths):
            narrower = widths[i - 1] if i else config.channels
            up[:0] = [_Residual(width), nn.Conv2d(width, 4 * narrower, 3, 1, 1), nn.PixelShuffle(2), nn.SiLU()]
        self.quantizer = FSQ(config.levels)
        self.encoder = (
            PatchEncoder(config.patch_size, config.encoder_width, len(config.levels))
            if config.encoder == "patches"
            else _overlapping_encoder(widths, len(config.levels))
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(len(config.levels), widths[-1], 3, 1, 1), *up, nn.Conv2d(config.channels, 3, 3, 1, 1)
        )

    @property
    def last_layer(self) -> nn.Parameter:
        """Weights that draw the pixels."""
        weight = self.decoder[-1].weight
        assert isinstance(weight, nn.Parameter)
        return weight

    def reconstruct(self, frames_BCHW: torch.Tensor) -> torch.Tensor:
        """float [B, 3, H, W] -> float [B, 3, H, W] through the quantiser, with straight-through gradients."""
        return self.draw(self.latents(frames_BCHW))

    def latents(self, frames_BCHW: torch.Tensor) -> torch.Tensor:
        """float [B, 3, H, W] -> latents [B, h, w, L] before they are bounded and rounded."""
        return rearrange(self.encoder(frames_BCHW), "b c h w -> b h w c")

    def draw(self, latents_BHWL: torch.Tensor) -> torch.Tensor:
        """Latents [B, h, w, L] -> float [B, 3, H, W] through the quantiser."""
        return self.decoder(rearrange(self.quantizer(latents_BHWL), "b h w c -> b c h w"))

    @torch.no_grad()
    def encode(self, frames_BHWC: torch.Tensor) -> torch.Tensor:
        """See :class:`Tokenizer`."""
        return self.quantizer.to_tokens(self._latents_of(frames_BHWC))

    @torch.no_grad()
    def encode_clips(self, frames_BTHWC: torch.Tensor) -> torch.Tensor:
        """See :func:`encode_clips`. Each latent stays on its level until it is clearly nearer to another (a Schmitt
        trigger): the noise of a compressed film would otherwise change tokens of patches that show the same.
        """
        parts = [self._latents_of(part) for part in frames_BTHWC.flatten(0, 1).split(FRAMES_AT_ONCE)]
        bounded_BTNL = self.quantizer.bound(torch.cat(parts)).unflatten(0, frames_BTHWC.shape[:2])
        rounded_BTNL, reach = bounded_BTNL.round(), 0.5 + self.config.steadiness
        for t in range(1, frames_BTHWC.shape[1]):
            stays_BNL = (bounded_BTNL[:, t] - rounded_BTNL[:, t - 1]).abs() < reach
            rounded_BTNL[:, t] = torch.where(stays_BNL, rounded_BTNL[:, t - 1], rounded_BTNL[:, t])
        return self.quantizer.number(rounded_BTNL)

    def _latents_of(self, frames_BHWC: torch.Tensor) -> torch.Tensor:
        """uint8 frames -> latents [B, N, L]."""
        if not isinstance(self.encoder, PatchEncoder):
            return rearrange(self.encoder(to_float(frames_BHWC)), "b c h w -> b (h w) c")
        size = self.config.patch_size
        distinct_UK, where_M = unique_rows(to_patches(frames_BHWC, size).flatten(0, 1))
        # Games repeat their patches; each distinct one is read once, as a frame of one patch.
        patches_UCHW = to_float(rearrange(distinct_UK, "u (h w c) -> u h w c", h=size, w=size))
        return self.encoder(patches_UCHW).flatten(1)[where_M].unflatten(0, (len(frames_BHWC), -1))

    @torch.no_grad()
    def decode(self, tokens_BN: torch.Tensor) -> torch.Tensor:
        """See :class:`Tokenizer`."""
        latents = rearrange(self.quantizer.from_tokens(tokens_BN), "b (h w) c -> b c h w", h=self.config.side)
        return to_uint8(self.decoder(latents))

    def descriptors(self) -> torch.Tensor:
        """Smooth functions of the quantised latents."""
        return smooth_functions(self.config.levels).to(self.quantizer.basis_L.device)


def _overlapping_encoder(widths: list[int], num_latents: int) -> nn.Module:
    layers: list[nn.Module] = []
    for into, width in zip([3, *widths], widths, strict=False):
        layers += [nn.Conv2d(into, width, 4, 2, 1), nn.SiLU(), _Residual(width)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], num_latents, 1))


class PatchEncoder(nn.Module):
    """Each patch by itself -> its latents.

    Convolutions that overlap see more, and so tokens change with what moves near them: twice as many of them in
    Boxing, for no better pictures (docs/experiments.md).
    """

    def __init__(self, patch_size: int, width: int, num_latents: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.enter = nn.Linear(3 * patch_size**2, width)
        self.blocks = nn.ModuleList([_Perceptron(width) for _ in range(ENCODER_DEPTH)])
        self.leave = nn.Linear(width, num_latents)

    def forward(self, frames_BCHW: torch.Tensor) -> torch.Tensor:
        """float [B, 3, H, W] in [-1, 1] -> latents [B, L, h, w]."""
        size = self.patch_size
        x_BYXD = self.enter(rearrange(frames_BCHW, "b c (y h) (x w) -> b y x (h w c)", h=size, w=size))
        for block in self.blocks:
            x_BYXD = block(x_BYXD)
        return rearrange(self.leave(x_BYXD), "b y x l -> b l y x")


class _Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.outer(F.silu(self.inner(self.norm(x))))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.conv_in = nn.Conv2d(width, width, 3, 1, 1)
        self.conv_out = nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_out(F.silu(self.conv_in(self.norm(x))))


def encode_clips(tokenizer: VideoTokenizer, frames_BTHWC: torch.Tensor) -> torch.Tensor:
    """uint8 clips [B, T, H, W, 3] -> int64 tokens [B, T, N].

    A tokenizer that has an ``encode_clips`` of its own may look at the frames before; of others each frame stands
    alone.
    """
    of_clips = getattr(tokenizer, "encode_clips", None)
    if of_clips is not None:
        return of_clips(frames_BTHWC)
    parts = [tokenizer.encode(part) for part in frames_BTHWC.flatten(0, 1).split(FRAMES_AT_ONCE)]
    return torch.cat(parts).unflatten(0, frames_BTHWC.shape[:2])


def to_patches(frames_BHWC: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 [B, H, W, 3] -> uint8 [B, N, size * size * 3], row by row from the top left."""
    return rearrange(frames_BHWC, "b (y h) (x w) c -> b (y x) (h w c)", h=size, w=size).contiguous()


def unique_rows(rows_MK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distinct rows of a uint8 matrix [M, K] and, for each row, which distinct one it is.

    Rows are compared by a random 62-bit fingerprint: sorting M integers is far cheaper than sorting M rows, and
    two different patches among a million collide with a probability below 1e-6.
    """
    generator = torch.Generator().manual_seed(0)
    weights_K = torch.randint(1, 2**62, (rows_MK.shape[1],), generator=generator).to(rows_MK.device)
    prints_M = (rows_MK.long() * weights_K).sum(1)
    distinct, where_M = prints_M.unique(return_inverse=True)
    first_U = torch.empty(len(distinct), dtype=torch.long, device=rows_MK.device)
    first_U[where_M] = torch.arange(len(rows_MK), device=rows_MK.device)
    return rows_MK[first_U], where_M
