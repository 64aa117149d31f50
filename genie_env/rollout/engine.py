"""The rollout engine: many dreams advanced together, one frame a step.

It knows tokens, actions and rows; it knows nothing of pixels, Gymnasium or NumPy. Tensors go in and come out on the
model's device, so thousands of rows can live there. Everything a dream is made of lies in :class:`RolloutState`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from genie_env.config import SamplingConfig
from genie_env.models.ensemble import disagreement, mixture
from genie_env.models.outcome import OutcomeHead, UnknownOutcome
from genie_env.models.protocols import TokenWorldModel, is_mixture
from genie_env.rollout.beam import search
from genie_env.rollout.sampling import LANE_ORDER, LANE_TOKENS, counter_uniform, decide, draw_tokens
from genie_env.rollout.state import Rollout, RolloutState


class StepOutput(NamedTuple):
    """What one step brought, per row."""

    tokens_BN: torch.Tensor
    reward_B: torch.Tensor
    terminated_B: torch.Tensor
    entropy_B: torch.Tensor
    uncertainty_B: torch.Tensor | None = None
    """float32, disagreement of an ensemble's members in nats; None where the dynamics has no members."""


class DrawnFrame(NamedTuple):
    """The next frame of every row."""

    tokens_BN: torch.Tensor
    entropy_B: torch.Tensor
    """Mean entropy per token in the first pass, in nats before temperature; tokens not drawn count as certain."""
    uncertainty_B: torch.Tensor | None
    """Mutual information between member and token in the first pass, summed over the tokens, in nats; tokens not drawn
    count as agreed on. None where the dynamics has no members."""


class RolloutEngine:
    """Advances dreams of a dynamics model and reads rewards and ends with an outcome head."""

    def __init__(
        self, dynamics: TokenWorldModel, outcome: OutcomeHead | UnknownOutcome | None, sampling: SamplingConfig
    ) -> None:
        """Bind the networks.

        Args:
            dynamics: draws frames.
            outcome: reads rewards and ends from them; without one there is :meth:`roll` but no :meth:`step`.
            sampling: how tokens are drawn.
        """
        self.dynamics, self.outcome, self.sampling = dynamics, outcome, sampling

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.dynamics.device

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
            torch.zeros(rows, self._context, tokens_BTN.shape[-1], dtype=torch.long, device=self.device),
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
        """Restart the dreams of ``rows_R`` from prompts; other rows are unaffected."""
        rows_R, tokens_RTN = rows_R.to(self.device), tokens_RTN.to(self.device)
        self.dynamics.prefill(state.cache, rows_R, tokens_RTN[:, :-1], actions_RT.to(self.device))
        state.recent_BCN = state.recent_BCN.index_copy(0, rows_R, self._recent(tokens_RTN))
        state.key_B = state.key_B.index_copy(0, rows_R, key_R.to(self.device))
        state.step_B = state.step_B.index_fill(0, rows_R, 0)

    @torch.inference_mode()
    def step(
        self, state: RolloutState, actions_B: torch.Tensor, temperature_B: torch.Tensor | None = None
    ) -> StepOutput:
        """Play one latent action per row, draw the next frame and read its outcome. Updates ``state``.

        Args:
            state: the dreams.
            actions_B: int64 latent actions.
            temperature_B: float32; 0 takes the most likely tokens. None: the sampling's temperature in every row.

        Raises:
            ValueError: if the engine has no outcome head.
        """
        if self.outcome is None:
            raise ValueError("step: expected an engine with an outcome head; use roll() without one")
        drawn = self.advance(state, actions_B, self._temperatures(temperature_B, len(actions_B)))
        outcome = self.outcome.predict(state.recent_BCN)
        return StepOutput(drawn.tokens_BN, *outcome, drawn.entropy_B, drawn.uncertainty_B)

    @torch.inference_mode()
    def roll(
        self,
        prompt_BPN: torch.Tensor,
        prompt_actions_BP: torch.Tensor,
        actions_BT: torch.Tensor,
        *,
        keys_B: torch.Tensor,
        temperature_B: torch.Tensor | None = None,
        force_BTN: torch.Tensor | None = None,
        first_step: int = 0,
        beam: int | None = None,
    ) -> Rollout:
        """Dream T frames in every row from prompts and given actions.

        Args:
            prompt_BPN: int64 prompts, as in :meth:`start`.
            prompt_actions_BP: int64 [B, P-1], latent actions between the prompts' frames.
            actions_BT: int64 latent actions; the first is taken at the prompt's last frame.
            keys_B: int64 random keys.
            temperature_B: as in :meth:`step`.
            force_BTN: int64 real frames that replace the drawn ones as context (teacher forcing).
            first_step: which of the keys' random numbers the first frame uses.
            beam: keep so many dreams of each row and return the most likely one (:mod:`genie_env.rollout.beam`);
                nothing is drawn then, and a beam of 1 dreams what temperature 0 does. None: no search.

        Raises:
            ValueError: if ``beam`` is not a number of dreams that can be kept, or stands beside a temperature above 0
                or teacher forcing.
        """
        rows, steps = actions_BT.shape
        if beam is not None:
            if force_BTN is not None or (temperature_B is not None and bool((temperature_B > 0).any())):
                raise ValueError("beam: expected temperature 0 and no forced frames beside it, since it draws nothing")
            state = self.start(prompt_BPN, prompt_actions_BP, keys_B)
            return search(self.dynamics, self.outcome, self.sampling, state, actions_BT.to(self.device), beam)[0]
        state = self.start(prompt_BPN, prompt_actions_BP, keys_B)
        state.step_B = state.step_B + first_step
        actions_BT, temperature_B = actions_BT.to(self.device), self._temperatures(temperature_B, rows)
        frames, entropies, uncertainties, rewards, ends = [], [], [], [], []
        for t in range(steps):
            drawn = self.advance(state, actions_BT[:, t], temperature_B)
            frames.append(drawn.tokens_BN)
            entropies.append(drawn.entropy_B)
            if drawn.uncertainty_B is not None:
                uncertainties.append(drawn.uncertainty_B)
            if self.outcome is not None:
                reward_B, ended_B = self.outcome.predict(state.recent_BCN)
                rewards.append(reward_B)
                ends.append(ended_B)
            if force_BTN is not None:
                # The cache takes the present frame in at the next step: what it will remember is then real.
                state.recent_BCN[:, -1] = force_BTN[:, t]
        rewards_BT, ends_BT, uncertainty_BT = (
            torch.stack(x, dim=1) if x else None for x in (rewards, ends, uncertainties)
        )
        tokens_BTN, entropy_BT = torch.stack(frames, dim=1), torch.stack(entropies, dim=1)
        return Rollout(tokens_BTN, rewards_BT, ends_BT, entropy_BT, uncertainty_BT=uncertainty_BT)

    def advance(self, state: RolloutState, actions_B: torch.Tensor, temperature_B: torch.Tensor) -> DrawnFrame:
        """Play one latent action per row and draw the next frame.

        Updates ``state``. The inference mode is the caller's.
        """
        current_BN = state.tokens_BN
        features_BGD = self.dynamics.step(state.cache, current_BN, actions_B)
        drawn = draw_frame(
            self.dynamics, self.sampling, features_BGD, current_BN, temperature_B, state.key_B, state.step_B
        )
        state.recent_BCN = torch.cat([state.recent_BCN[:, 1:], drawn.tokens_BN[:, None]], dim=1)
        state.step_B = state.step_B + 1
        return drawn

    @property
    def _context(self) -> int:
        """Frames that the outcome head reads, the present one included."""
        return 1 if self.outcome is None else self.outcome.context_frames

    def _temperatures(self, temperature_B: torch.Tensor | None, rows: int) -> torch.Tensor:
        if temperature_B is not None:
            return temperature_B
        return torch.full((rows,), self.sampling.temperature, dtype=torch.float32, device=self.device)

    def _recent(self, tokens_RTN: torch.Tensor) -> torch.Tensor:
        """The prompt's last frames; its first one repeats where it is shorter."""
        missing = max(0, self._context - tokens_RTN.shape[1])
        first = tokens_RTN[:, :1].expand(-1, missing, -1)
        return torch.cat([first, tokens_RTN[:, -self._context :]], dim=1)


def draw_frame(
    dynamics: TokenWorldModel,
    sampling: SamplingConfig,
    features_BGD: torch.Tensor,
    current_BN: torch.Tensor,
    temperature_B: torch.Tensor,
    key_B: torch.Tensor,
    step_B: torch.Tensor,
) -> DrawnFrame:
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
    """
    passes, num_tokens = sampling.decode_steps, current_BN.shape[1]
    num_drawn = min(sampling.max_changed, num_tokens)
    decided_BN = torch.full_like(current_BN, dynamics.mask_token)
    first_entropy_B, uncertainty_B = torch.zeros_like(temperature_B), None
    for index in range(passes):
        head_out_BNE = dynamics.decode(features_BGD, decided_BN)
        open_BN = decided_BN == dynamics.mask_token
        stay_BN = dynamics.stay_logits(head_out_BNE).masked_fill(~open_BN, torch.inf)
        _, where_BM = stay_BN.topk(num_drawn, dim=-1, largest=False, sorted=False)
        head_out_BME = head_out_BNE.gather(1, where_BM[..., None].expand(-1, -1, head_out_BNE.shape[-1]))
        current_BM = current_BN.gather(1, where_BM)
        if index == 0 and is_mixture(dynamics):
            log_probs_KBMV = dynamics.member_log_probs(head_out_BME, current_BM)
            log_probs_BMV = mixture(log_probs_KBMV)
            uncertainty_B = disagreement(log_probs_KBMV, log_probs_BMV).sum(-1)
        else:
            log_probs_BMV = dynamics.log_probs(head_out_BME, current_BM)
        uniform_BN = counter_uniform(key_B, step_B, LANE_TOKENS + index * num_tokens, num_tokens)
        draw = draw_tokens(log_probs_BMV, temperature_B, sampling.top_p, uniform_BN.gather(1, where_BM))
        tokens_BN = current_BN.scatter(1, where_BM, draw.tokens_BM)
        # What was decided in an earlier pass stays.
        tokens_BN = torch.where(open_BN, tokens_BN, decided_BN)
        if index == 0:
            first_entropy_B = draw.entropy_BM.sum(-1) / num_tokens
        if index + 1 < passes:
            order_BN = counter_uniform(key_B, step_B, LANE_ORDER + index * num_tokens, num_tokens)
            certain_BN = torch.ones_like(open_BN).scatter(1, where_BM, draw.certain_BM) | ~open_BN
            # Few at first: the first draw, of a ball's place say, settles most of the others.
            kept_BN = decide(certain_BN, order_BN, ((index + 1) / passes) ** 2)
            decided_BN = torch.where(kept_BN, tokens_BN, dynamics.mask_token)
    return DrawnFrame(tokens_BN, first_entropy_B, uncertainty_B)
