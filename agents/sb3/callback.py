"""What happens beside learning: progress, curves, checkpoints, and scores in dreams and in the real game."""

from __future__ import annotations

import math
import sys
import time

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from agents.sb3.evaluate_policy import Evaluator
from agents.sb3.run_folder import LogLine, RunFolder
from genie_env.command import Interrupted, StopRequest
from genie_env.policies.config import PolicyConfig


class EvalCheckpointCallback(BaseCallback):
    """Counts the learner's own points, and every so many steps saves, evaluates and logs its policy.

    Evaluation happens between rollouts and draws random numbers of its own, so it changes nothing about what is
    learned. A request to stop raises ``Interrupted`` after the step or the update under way.
    """

    def __init__(
        self,
        run: RunFolder,
        config: PolicyConfig,
        total: int,
        every: int,
        dream: Evaluator,
        real: Evaluator | None,
        stop: StopRequest,
    ) -> None:
        """Prepare.

        Args:
            run: where to save and log.
            config: of the policy.
            total: steps of the whole run.
            every: steps between evaluations.
            dream: plays dreams that are not learned from.
            real: plays the real game; None: it is not played.
            stop: whether a signal asked for a stop.
        """
        super().__init__()
        self._run, self._config, self._total, self._every = run, config, total, every
        self._dream, self._real, self._stop = dream, real, stop

    def _on_training_start(self) -> None:
        self._ent_coef = getattr(self.model, "ent_coef", None)
        # After a stop the steps since the last evaluation count on.
        self._last = max((line.steps for line in self._run.logged()), default=0)
        self._reset_counts()
        self._bar = tqdm(
            total=self._total,
            initial=self.num_timesteps,
            desc="learn",
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )

    def _on_step(self) -> bool:
        rewards_B = self.locals["rewards"]
        self._steps += len(rewards_B)
        self._points += float(np.sign(rewards_B).sum())
        self._bar.update(len(rewards_B))
        self._raise_on_stop()
        return True

    def _on_rollout_start(self) -> None:
        self._raise_on_stop()
        if self._ent_coef is not None:
            # The bonus is large beside rare points: at full weight to the end it would keep the policy's actions noisy.
            share = max(0.0, 1 - self.num_timesteps / self._total)
            self.model.ent_coef = self._ent_coef * share  # type: ignore[attr-defined]
        if self.num_timesteps - self._last >= self._every:
            self.evaluate()

    def _on_training_end(self) -> None:
        if self.num_timesteps > self._last:
            self.evaluate()
        self._bar.close()

    def evaluate(self) -> None:
        """Save the present policy, score it, and write a checkpoint."""
        # Right after a resume there are no steps of the learner's own yet.
        learning = 1000 * self._points / self._steps if self._steps else None
        speed = self._steps / max(1e-9, time.perf_counter() - self._began)
        self._run.save_policy(self.model, self._config)
        dream, real = self._dream(self.model), self._real(self.model) if self._real else None
        line = LogLine(
            steps=self.num_timesteps,
            learning=learning,
            dream=dream.per_1000,
            entropy=dream.entropy if math.isfinite(dream.entropy) else None,
            real=real.per_1000 if real else None,
            real_score=float(real.games.mean()) if real and len(real.games) else None,
            steps_per_second=speed,
        )
        self._run.log(line)
        values = {name: value for name, value in line.to_json().items() if value is not None and name != "steps"}
        for name, value in values.items():
            self.logger.record(f"score/{name}", value)
        self.logger.dump(self.num_timesteps)
        shown = ("learning", "dream", "real", "real_score")
        self._bar.set_postfix({name: f"{values[name]:+.1f}" for name in shown if name in values})
        self._run.save_checkpoint(self.model)
        self._last = self.num_timesteps
        self._reset_counts()

    def _raise_on_stop(self) -> None:
        if self._stop.signum is not None:
            self._bar.close()
            raise Interrupted(f"stopped; run the same command to go on ({self._run.folder})", self._stop.signum)

    def _reset_counts(self) -> None:
        self._points, self._steps, self._began = 0.0, 0, time.perf_counter()
