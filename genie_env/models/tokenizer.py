"""Video tokenizers: frame <-> discrete tokens, one frame at a time so that resets and prompts stay exact.

Two kinds behind one interface: a codebook of whole patches (near lossless for sprite games, a table look-up to
decode) and a convolutional network with finite scalar quantisation (for every other picture).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from genie_env.config import TokenizerConfig
from genie_env.frames import to_float, to_uint8
from genie_env.nn.embeddings import smooth_functions
from genie_env.nn.quantize import FSQ


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
    """Convolutional autoencoder with finite scalar quantisation (arXiv 2309.15505) between its halves."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        halvings = config.patch_size.bit_length() - 1
        if 2**halvings != config.patch_size:
            raise ValueError(f"fsq: expected a patch_size that is a power of two, got {config.patch_size}")
        widths = [config.channels * 2**i for i in range(halvings)]
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for i, width in enumerate(widths):
            down += [nn.Conv2d(3 if i == 0 else widths[i - 1], width, 4, 2, 1), nn.SiLU(), _Residual(width)]
            narrower = widths[i - 1] if i else config.channels
            up[:0] = [_Residual(width), nn.Conv2d(width, 4 * narrower, 3, 1, 1), nn.PixelShuffle(2), nn.SiLU()]
        self.quantizer = FSQ(config.levels)
        self.encoder = nn.Sequential(*down, nn.Conv2d(widths[-1], len(config.levels), 1))
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
        latents = rearrange(self.encoder(to_float(frames_BHWC)), "b c h w -> b (h w) c")
        return self.quantizer.to_tokens(latents)

    @torch.no_grad()
    def decode(self, tokens_BN: torch.Tensor) -> torch.Tensor:
        """See :class:`Tokenizer`."""
        latents = rearrange(self.quantizer.from_tokens(tokens_BN), "b (h w) c -> b c h w", h=self.config.side)
        return to_uint8(self.decoder(latents))

    def descriptors(self) -> torch.Tensor:
        """Smooth functions of the quantised latents."""
        return smooth_functions(self.config.levels).to(self.quantizer.basis_L.device)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.conv_in = nn.Conv2d(width, width, 3, 1, 1)
        self.conv_out = nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_out(F.silu(self.conv_in(self.norm(x))))


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
