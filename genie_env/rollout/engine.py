"""The rollout engine: many dreams advanced together, one frame a step.

It knows tokens, actions and rows; it knows nothing of pixels, Gymnasium or NumPy. Tensors go in and come out on the
model's device, so thousands of rows can live there. Everything a dream is made of lies in :class:`RolloutState`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from genie_env.config import SamplingConfig
from genie_env.models.dynamics import Dynamics
from genie_env.models.outcome import OutcomeHead
from genie_env.nn.kv_cache import KVCache
from genie_env.rollout.sampling import LANE_ORDER, LANE_TOKENS, counter_uniform, decide, draw_tokens


@dataclass
class RolloutState:
    """Where every row's dream stands.

    Attributes:
        cache: what the dynamics remembers.
        recent_BCN: the last frames' tokens, oldest first; the last one is the present frame.
        key_B: int64, the row's random key.
        step_B: int64, steps since the row's reset.
    """

    cache: KVCache
    recent_BCN: torch.Tensor
    key_B: torch.Tensor
    step_B: torch.Tensor

    @property
    def tokens_BN(self) -> torch.Tensor:
        """Tokens of the present frame."""
        return self.recent_BCN[:, -1]

    def clone(self) -> RolloutState:
        """An independent copy."""
        return RolloutState(self.cache.clone(), self.recent_BCN.clone(), self.key_B.clone(), self.step_B.clone())


class StepOutput(NamedTuple):
    """What one step brought, per row."""

    tokens_BN: torch.Tensor
    reward_B: torch.Tensor
    terminated_B: torch.Tensor
    entropy_B: torch.Tensor


class RolloutEngine:
    """Advances dreams of a dynamics model and judges them with an outcome head."""

    def __init__(self, dynamics: Dynamics, outcome: OutcomeHead, sampling: SamplingConfig) -> None:
        """Bind the networks; ``sampling`` is how tokens are drawn (temperature is per row and step)."""
        self.dynamics, self.outcome, self.sampling = dynamics, outcome, sampling

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.dynamics.position.device

    @torch.inference_mode()
    def start(self, tokens_BTN: torch.Tensor, actions_BT: torch.Tensor, key_B: torch.Tensor) -> RolloutState:
        """Begin a dream per row from prompts of equal length.

        Args:
            tokens_BTN: int64 prompt; its last frame becomes the present one.
            actions_BT: int64 [B, T-1], latent actions between the prompt's frames.
            key_B: int64 random keys.
        """
        rows = len(tokens_BTN)
        state = RolloutState(
            self.dynamics.empty_cache(rows),
            torch.zeros(
                rows, self.outcome.config.context_frames, tokens_BTN.shape[-1], dtype=torch.long, device=self.device
            ),
            torch.zeros(rows, dtype=torch.long, device=self.device),
            torch.zeros(rows, dtype=torch.long, device=self.device),
        )
        self.reset_rows(state, torch.arange(rows, device=self.device), tokens_BTN, actions_BT, key_B)
        return state

    @torch.inference_mode()
    def reset_rows(
        self,
        state: RolloutState,
        rows_R: torch.Tensor,
        tokens_RTN: torch.Tensor,
        actions_RT: torch.Tensor,
        key_R: torch.Tensor,
    ) -> None:
        """Begin the dreams of ``rows_R`` anew; the other rows do not notice."""
        rows_R, tokens_RTN = rows_R.to(self.device), tokens_RTN.to(self.device)
        self.dynamics.prefill(state.cache, rows_R, tokens_RTN[:, :-1], actions_RT.to(self.device))
        state.recent_BCN = state.recent_BCN.index_copy(0, rows_R, self._recent(tokens_RTN))
        state.key_B = state.key_B.index_copy(0, rows_R, key_R.to(self.device))
        state.step_B = state.step_B.index_fill(0, rows_R, 0)

    @torch.inference_mode()
    def step(self, state: RolloutState, actions_B: torch.Tensor, temperature_B: torch.Tensor) -> StepOutput:
        """Play one latent action per row and draw the next frame. Updates ``state``.

        Args:
            state: the dreams.
            actions_B: int64 latent actions.
            temperature_B: float32; 0 takes the most likely tokens.
        """
        current_BN = state.tokens_BN
        features_BGD = self.dynamics.step(state.cache, current_BN, actions_B)
        tokens_BN, entropy_B = draw_frame(
            self.dynamics, self.sampling, features_BGD, current_BN, temperature_B, state.key_B, state.step_B
        )
        state.recent_BCN = torch.cat([state.recent_BCN[:, 1:], tokens_BN[:, None]], dim=1)
        state.step_B = state.step_B + 1
        reward_B, terminated_B = self.outcome.judge(state.recent_BCN)
        return StepOutput(tokens_BN, reward_B, terminated_B, entropy_B)

    def _recent(self, tokens_RTN: torch.Tensor) -> torch.Tensor:
        """The prompt's last frames; its first one repeats where it is shorter."""
        context = self.outcome.config.context_frames
        missing = max(0, context - tokens_RTN.shape[1])
        first = tokens_RTN[:, :1].expand(-1, missing, -1)
        return torch.cat([first, tokens_RTN[:, -context:]], dim=1)


def draw_frame(
    dynamics: Dynamics,
    sampling: SamplingConfig,
    features_BGD: torch.Tensor,
    current_BN: torch.Tensor,
    temperature_B: torch.Tensor,
    key_B: torch.Tensor,
    step_B: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the tokens of the next frame in ``decode_steps`` passes of the head.

    Only the ``max_changed`` tokens that are least likely to stay are drawn; the others stay. Of Pong's 64 tokens
    about four change in a frame, and the vocabulary is most of the cost of drawing one.

    Args:
        dynamics: whose head is asked.
        sampling: nucleus, passes and ``max_changed``.
        features_BGD: of the trunk, for the present frame.
        current_BN: int64 tokens of the present frame.
        temperature_B: float32; 0 takes the most likely tokens.
        key_B: int64 random key of each row.
        step_B: int64, which of the key's random numbers to use.

    Returns:
        tokens int64 [B, N], and mean entropy per token [B] in the first pass, in nats before temperature (tokens
        that are not drawn count as certain).
    """
    passes, num_tokens = sampling.decode_steps, current_BN.shape[1]
    num_drawn = min(sampling.max_changed, num_tokens)
    decided_BN = torch.full_like(current_BN, dynamics.mask_token)
    first_entropy_B = torch.zeros_like(temperature_B)
    for index in range(passes):
        said_BNE = dynamics.decode(features_BGD, decided_BN)
        open_BN = decided_BN == dynamics.mask_token
        stay_BN = dynamics.stay_logits(said_BNE).masked_fill(~open_BN, torch.inf)
        _, where_BM = stay_BN.topk(num_drawn, dim=-1, largest=False, sorted=False)
        said_BME = said_BNE.gather(1, where_BM[..., None].expand(-1, -1, said_BNE.shape[-1]))
        log_probs_BMV = dynamics.log_probs(said_BME, current_BN.gather(1, where_BM))
        uniform_BN = counter_uniform(key_B, step_B, LANE_TOKENS + index * num_tokens, num_tokens)
        draw = draw_tokens(log_probs_BMV, temperature_B, sampling.top_p, uniform_BN.gather(1, where_BM))
        tokens_BN = current_BN.scatter(1, where_BM, draw.tokens_BM)
        # What was decided in an earlier pass stays.
        tokens_BN = torch.where(open_BN, tokens_BN, decided_BN)
        if index == 0:
            first_entropy_B = draw.entropy_BM.sum(-1) / num_tokens
        if index + 1 < passes:
            order_BN = counter_uniform(key_B, step_B, LANE_ORDER + index * num_tokens, num_tokens)
            sure_BN = torch.ones_like(open_BN).scatter(1, where_BM, draw.sure_BM) | ~open_BN
            # Few at first: the first draw, of a ball's place say, settles most of the others.
            kept_BN = decide(sure_BN, order_BN, ((index + 1) / passes) ** 2)
            decided_BN = torch.where(kept_BN, tokens_BN, dynamics.mask_token)
    return tokens_BN, first_entropy_B


def roll_out(
    model: Dynamics,
    tokens_BTN: torch.Tensor,
    actions_BT: torch.Tensor,
    frames: int,
    sampling: SamplingConfig,
    keys_B: torch.Tensor,
) -> torch.Tensor:
    """Dream the last ``frames`` frames of every row from the real ones before.

    Args:
        model: that dreams.
        tokens_BTN: int64 real frames.
        actions_BT: int64 action taken at each frame; the last frame's, which leads out of the clip, may be missing.
        frames: to dream, fewer than T.
        sampling: how they are drawn.
        keys_B: int64 random key of each row.
    """
    rows, steps, _ = tokens_BTN.shape
    first = steps - frames
    cache, everyone = model.empty_cache(rows), torch.arange(rows, device=tokens_BTN.device)
    model.prefill(cache, everyone, tokens_BTN[:, : first - 1], actions_BT[:, : first - 1])
    heat_B = torch.full((rows,), sampling.temperature, device=tokens_BTN.device)
    history = [tokens_BTN[:, first - 1]]
    for t in range(first, steps):
        features = model.step(cache, history[-1], actions_BT[:, t - 1])
        drawn, _ = draw_frame(model, sampling, features, history[-1], heat_B, keys_B, torch.full_like(keys_B, t))
        history.append(drawn)
    return torch.cat([tokens_BTN[:, :first], torch.stack(history[1:], 1)], 1)
