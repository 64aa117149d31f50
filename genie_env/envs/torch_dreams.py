"""Dreams of an environment in torch, on any device: NumPy arrays in and out of the rollout engine.

Has the same methods as :class:`genie_env.portable.engine.OnnxEngine`. Knows nothing of observations, seeds or the
options of a reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from genie_env.action_map import latent_table
from genie_env.envs.options import ResolvedOptions
from genie_env.rollout.beam import search
from genie_env.rollout.engine import RolloutEngine, RolloutState, StepOutput
from genie_env.rollout.forks import refuse_fork
from genie_env.rollout.records import DreamRoll, DreamStep
from genie_env.rollout.sampling import LANE_ACTION, counter_uniform, diversify
from genie_env.rollout.torch_runtime import compiled_step, suitable_threads
from genie_env.world import World


@dataclass
class TorchState:
    """Where every row's dream stands.

    Attributes:
        rollout: the engine's own state.
        recent_BK: int64, the last executed actions, -1 where there were none.
    """

    rollout: RolloutState
    recent_BK: torch.Tensor

    @property
    def tokens_BN(self) -> np.ndarray:
        """Tokens of the present frame."""
        return self.rollout.tokens_BN.cpu().numpy()

    @property
    def step_B(self) -> np.ndarray:
        """Steps since each row's reset."""
        return self.rollout.step_B.cpu().numpy()

    def show(self, tokens_BN: np.ndarray) -> None:
        """Replace the present frame; the next step remembers it instead of what was drawn."""
        shown_B1N = torch.from_numpy(tokens_BN).to(self.recent_BK.device)[:, None]
        self.rollout.recent_BCN = torch.cat([self.rollout.recent_BCN[:, :-1], shown_B1N], dim=1)

    def take(self, rows_R: np.ndarray, key_R: np.ndarray) -> TorchState:
        """A new state of these rows in this order, any of them more than once, each with a random key of its own."""
        device = self.recent_BK.device
        index_R = torch.from_numpy(rows_R).to(device)
        rollout = self.rollout.take(index_R)
        rollout.key_B = torch.from_numpy(key_R).to(device)
        return TorchState(rollout, self.recent_BK[index_R])

    def clone(self) -> TorchState:
        """An independent copy."""
        return TorchState(self.rollout.clone(), self.recent_BK.clone())


class TorchEngine:
    """A rollout engine with action map and action diversity around it; any number of states may be stepped with it."""

    def __init__(self, world: World, options: ResolvedOptions) -> None:
        self.world, self.options = world, options
        self._engine: RolloutEngine = world.engine(options.sampling, options.members)
        self._to_latent = torch.from_numpy(latent_table(world.config, options.action_type)).to(world.device)
        # Settings that hardly ever change need not travel to the device at every step.
        self._sent: dict[str, tuple[np.ndarray, torch.Tensor]] = {}

    @cached_property
    def _step(self) -> Callable[..., StepOutput]:
        return compiled_step(self._engine) if self.options.compile else self._engine.step

    def start(self, tokens_RPN: np.ndarray, actions_RP: np.ndarray, key_R: np.ndarray) -> TorchState:
        """Begin a dream per row; as :meth:`genie_env.portable.engine.OnnxEngine.start`."""
        refuse_fork()
        rollout = self._engine.start(*map(self._tensor, (tokens_RPN, actions_RP, key_R)))
        shape = len(key_R), self.options.diversity_window
        return TorchState(rollout, torch.full(shape, -1, device=self.world.device))

    def reset_rows(
        self, state: TorchState, rows_R: np.ndarray, tokens_RPN: np.ndarray, actions_RP: np.ndarray, key_R: np.ndarray
    ) -> None:
        """Restart the dreams of ``rows_R``. Other rows are unaffected."""
        refuse_fork()
        self._engine.reset_rows(state.rollout, *map(self._tensor, (rows_R, tokens_RPN, actions_RP, key_R)))
        state.recent_BK[self._tensor(rows_R)] = -1

    def step(
        self, state: TorchState, actions_B: np.ndarray, temperature_B: np.ndarray, diversity_B: np.ndarray
    ) -> DreamStep:
        """Play one action per row and draw the next frame. Updates ``state``.

        Args:
            state: the dreams.
            actions_B: int64, in the environment's own action space.
            temperature_B: float32; 0 takes the most likely tokens. Not changed in place between steps.
            diversity_B: float32, chance that a little-used action is played instead. Not changed in place either.
        """
        refuse_fork()
        action_B, latent_B = self._execute(state, actions_B, diversity_B, state.rollout.step_B)
        with suitable_threads(len(actions_B), self.world.device):
            output = self._step(state.rollout, latent_B, self._send("temperature", temperature_B))
        return DreamStep(
            output.reward_B.cpu().numpy().astype(np.float64),
            output.terminated_B.cpu().numpy().copy(),
            action_B.cpu().numpy(),
            latent_B.cpu().numpy(),
            output.entropy_B.cpu().numpy(),
            None if output.uncertainty_B is None else output.uncertainty_B.cpu().numpy(),
        )

    def roll(self, state: TorchState, actions_BT: np.ndarray, diversity_B: np.ndarray, beam: int) -> DreamRoll:
        """Play actions that are known beforehand; of each row's dreams the most likely one comes true.

        Args:
            state: where the dreams stand; afterwards, where the chosen ones do.
            actions_BT: int64, in the environment's own action space.
            diversity_B: as in :meth:`step`.
            beam: dreams kept of each row (:mod:`genie_env.rollout.beam`).

        Raises:
            ValueError: if so many cannot be kept; ``state`` is as it was then.
        """
        refuse_fork()
        engine, planned = self._engine, TorchState(state.rollout, state.recent_BK)
        latents = [
            self._execute(planned, actions_B, diversity_B, state.rollout.step_B + t)[1]
            for t, actions_B in enumerate(actions_BT.T)
        ]
        with suitable_threads(len(actions_BT) * beam, self.world.device):
            found, rollout = search(
                engine.dynamics, engine.outcome, engine.sampling, state.rollout, torch.stack(latents, dim=1), beam
            )
        state.rollout, state.recent_BK = rollout, planned.recent_BK
        assert found.rewards_BT is not None and found.ends_BT is not None and found.log_prob_B is not None
        frames = self.pictures(found.tokens_BTN.flatten(0, 1).cpu().numpy())
        return DreamRoll(
            frames.reshape(*actions_BT.shape, *frames.shape[1:]),
            found.rewards_BT.cpu().numpy().astype(np.float64),
            found.ends_BT.cpu().numpy().copy(),
            found.log_prob_B.cpu().numpy().copy(),
        )

    def _execute(
        self, state: TorchState, actions_B: np.ndarray, diversity_B: np.ndarray, step_B: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The actions that are executed at these steps, and their latent ones. Remembers them in ``state``."""
        uniform_B2 = counter_uniform(state.rollout.key_B, step_B, LANE_ACTION, 2)
        asked_B, diversity = self._tensor(actions_B), self._send("diversity", diversity_B)
        action_B = diversify(asked_B, state.recent_BK, self._to_latent.shape[1], diversity, uniform_B2)
        latent_B = self._to_latent[state.recent_BK[:, -1], action_B]
        state.recent_BK = torch.cat([state.recent_BK[:, 1:], action_B[:, None]], dim=1)
        return action_B, latent_B

    def pictures(self, tokens_BN: np.ndarray) -> np.ndarray:
        """Fresh pictures uint8 [B, H, W, 3] of tokens int64 [B, N]."""
        with torch.inference_mode():
            return self.world.tokenizer.decode(self._tensor(tokens_BN)).cpu().numpy()

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.world.device)

    def _send(self, name: str, array: np.ndarray) -> torch.Tensor:
        if name not in self._sent or self._sent[name][0] is not array:
            self._sent[name] = array, self._tensor(array)
        return self._sent[name][1]
