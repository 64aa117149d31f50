"""A world: the four networks together, and what they do with frames. Nothing about it changes once it is made."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from genie_env.config import NETWORKS, SamplingConfig, WorldConfig
from genie_env.frames import check_frames
from genie_env.models.latent_action import LatentActionModel
from genie_env.models.outcome import OutcomeHead, UnknownOutcome
from genie_env.models.registry import make_dynamics, make_tokenizer
from genie_env.models.tokenizer import encode_clips
from genie_env.rollout.action_inference import most_likely_actions
from genie_env.rollout.engine import RolloutEngine


class Prompts(NamedTuple):
    """Recorded beginnings: tokens int64 [S, P, N] and the latent actions between them, int64 [S, P-1]."""

    tokens_SPN: torch.Tensor
    actions_SP: torch.Tensor


class World(nn.Module):
    """Tokenizer, latent action model (where it needs one), dynamics and outcome head (where one is known) of one game.

    Frames are uint8 [B, T, H, W, 3] on the outside; tensors or arrays go in, tensors come out. Several environments
    may share a world: :meth:`replace` makes another one instead of changing it.
    """

    def __init__(self, config: WorldConfig, starts: Prompts) -> None:
        """Build the networks, with random weights.

        Args:
            config: of the world.
            starts: recorded beginnings, of which a reset draws one.

        Raises:
            ValueError: if ``starts`` are not this world's tokens and latent actions.
        """
        super().__init__()
        self._config, self._starts = config, check_prompts(starts, config)
        self.tokenizer = make_tokenizer(config.tokenizer)
        self.latent_action = None if config.latent_action is None else LatentActionModel(config.latent_action)
        self.dynamics = make_dynamics(config.dynamics)
        self.outcome = UnknownOutcome() if config.outcome is None else OutcomeHead(config.outcome)
        self.requires_grad_(False).eval()

    @property
    def config(self) -> WorldConfig:
        """Everything about the world but its weights and starts."""
        return self._config

    @property
    def starts(self) -> Prompts:
        """Recorded beginnings."""
        return self._starts

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.dynamics.device

    def replace(self, *, config: WorldConfig | None = None, starts: Prompts | None = None) -> World:
        """Another world with the same networks; what is not given stays.

        Args:
            config: with the same sizes of all networks.
            starts: recorded beginnings.

        Raises:
            ValueError: if the configuration is that of other networks, or the starts are not this world's.
        """
        config = config or self.config
        for network in NETWORKS:
            expected, given = getattr(self.config, network), getattr(config, network)
            if given != expected:
                raise ValueError(f"config.{network}: expected that of the world's network, {expected}, got {given}")
        other = copy.copy(self)
        other._config, other._starts = config, check_prompts(starts or self.starts, config)
        return other

    @torch.inference_mode()
    def encode(self, frames_BTHWC: np.ndarray | torch.Tensor) -> torch.Tensor:
        """uint8 clips [B, T, H, W, 3] -> int64 tokens [B, T, N]; frames of a clip follow each other.

        Raises:
            ValueError: if the frames have another size or type.
        """
        return encode_clips(self.tokenizer, self._check(frames_BTHWC))

    @torch.inference_mode()
    def decode(self, tokens_BTN: torch.Tensor) -> torch.Tensor:
        """int64 tokens [B, T, N] -> uint8 [B, T, H, W, 3].

        Raises:
            ValueError: if shape or range are not those of this world's tokens.
        """
        tokens = torch.as_tensor(tokens_BTN)
        c = self.config.tokenizer
        if tokens.dtype != torch.int64 or tokens.ndim != 3 or tokens.shape[-1] != c.num_tokens:
            raise ValueError(f"expected int64 tokens [B, T, {c.num_tokens}], got {tokens.dtype} {list(tokens.shape)}")
        if tokens.numel() and not (int(tokens.min()) >= 0 and int(tokens.max()) < c.vocab_size):
            raise ValueError(
                f"expected tokens from 0 to {c.vocab_size - 1}, got {int(tokens.min())} to {int(tokens.max())}"
            )
        return self.tokenizer.decode(tokens.to(self.device).flatten(0, 1)).unflatten(0, tokens.shape[:2])

    @torch.inference_mode()
    def infer_actions(self, frames_BTHWC: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Actions of the dynamics int64 [B, T-1]; the one at t moved frame t to frame t+1.

        The latent action model says which; a world without one asks the dynamics (:func:`most_likely_actions`).

        Raises:
            ValueError: if the frames have another size or type, or there are fewer than two.
        """
        frames = self._check(frames_BTHWC)
        if frames.shape[1] < 2:
            raise ValueError(f"expected at least two frames to infer an action, got {frames.shape[1]}")
        if self.latent_action is None:
            return most_likely_actions(self.dynamics, self.encode(frames))
        return self.latent_action.infer(frames)

    def prompts(self, frames_BTHWC: np.ndarray | torch.Tensor) -> Prompts:
        """Turn clips (or single pictures, T = 1) into prompts for :class:`~genie_env.rollout.engine.RolloutEngine`."""
        tokens_BTN = self.encode(frames_BTHWC)
        if tokens_BTN.shape[1] == 1:
            return Prompts(tokens_BTN, tokens_BTN.new_zeros(len(tokens_BTN), 0))
        return Prompts(tokens_BTN, self.infer_actions(frames_BTHWC))

    def engine(self, sampling: SamplingConfig | None = None, members: int | None = None) -> RolloutEngine:
        """A rollout engine over this world's networks.

        Args:
            sampling: how tokens are drawn; None: as suits the world.
            members: how many members of an ensemble predict, from the first on; None: all.

        Raises:
            ValueError: if the world has not so many members.
        """
        all_of_them = self.config.members
        if members is not None and not 1 <= members <= all_of_them:
            raise ValueError(f"members: expected an integer from 1 to {all_of_them}, got {members!r}")
        dynamics = self.dynamics if members in (None, all_of_them) else self.dynamics.first(members)
        return RolloutEngine(dynamics, self.outcome, sampling or self.config.sampling)

    def push_to_hub(
        self,
        repo: str,
        *,
        revision: str = "main",
        private: bool = False,
        message: str = "Upload with genie-env",
        license: str | None = None,
    ) -> str:
        """Put this world on the Hugging Face Hub, with a card, its measured values and an animation.

        Args:
            repo: ``user/repo``; it is made if there is none.
            revision: branch that gets the commit.
            private: keep a repository that is made now to its owner.
            message: of the commit.
            license: of the weights, as the Hub names it (``"mit"``, ``"cc-by-4.0"``, …); None: not stated.

        Returns:
            The address of the commit: ``load_world`` of it opens this very world.

        Raises:
            HubError: if the Hub refuses or cannot be reached; nothing is changed there then.
            ImportError: without huggingface_hub (extra ``hub``).
        """
        # Imported here: only who publishes needs it, and it imports this module.
        from genie_env.hub.upload import PushSettings
        from genie_env.publish import push_world

        return str(push_world(self, repo, PushSettings(revision, private, message, license)))

    def _check(self, frames_BTHWC: np.ndarray | torch.Tensor) -> torch.Tensor:
        return check_frames(frames_BTHWC, self.config.tokenizer.image_size).to(self.device)


def check_prompts(prompts: Prompts, config: WorldConfig) -> Prompts:
    """``prompts`` as :class:`Prompts`, or say what is wrong with them.

    Raises:
        ValueError: if they are not int64 tokens [S, P, N] and latent actions [S, P-1] of such a world, S and P >= 1.
    """
    if not isinstance(prompts, tuple) or len(prompts) != 2 or not all(torch.is_tensor(part) for part in prompts):
        raise ValueError(f"starts: expected Prompts (tokens and actions), got {type(prompts).__name__}")
    tokens, actions = prompts
    shape = tokens.shape[0], tokens.shape[1] if tokens.ndim > 1 else 0, config.tokenizer.num_tokens
    if (
        {tokens.dtype, actions.dtype} != {torch.int64}
        or tokens.shape != shape
        or 0 in shape
        or actions.shape != (shape[0], shape[1] - 1)
    ):
        raise ValueError(
            f"starts: expected int64 tokens [S, P, {shape[2]}] and actions [S, P-1], got {tokens.dtype} "
            f"{list(tokens.shape)} and {actions.dtype} {list(actions.shape)}"
        )
    for name, values, stop in (
        ("tokens", tokens, config.tokenizer.vocab_size),
        ("actions", actions, config.dynamics.num_actions),
    ):
        if values.numel() and not (int(values.min()) >= 0 and int(values.max()) < stop):
            raise ValueError(f"starts: expected {name} from 0 to {stop - 1}, got {values.min()} to {values.max()}")
    return Prompts(tokens, actions)
