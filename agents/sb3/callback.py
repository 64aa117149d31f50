"""What happens beside learning: progress, curves, checkpoints, and scores in the dream and in the real game."""

from __future__ import annotations

import sys
import time

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from agents.sb3.evaluate_policy import Judge
from agents.sb3.policy_io import PolicyConfig
from agents.sb3.run_folder import LearningRun


class Watch(BaseCallback):
    """Counts the learner's own points, and every so many steps saves, evaluates and logs its policy.

    Evaluation happens between rollouts, so it changes nothing about what is learned.
    """

    def __init__(
        self, run: LearningRun, config: PolicyConfig, total: int, every: int, judge: Judge, real: Judge | None
    ) -> None:
        """Prepare.

        Args:
            run: where to save and log.
            config: of the policy.
            total: steps of the whole run.
            every: steps between evaluations.
            judge: plays fresh dreams.
            real: plays the real game; None: nobody does.
        """
        super().__init__()
        self._run, self._config, self._total, self._every = run, config, total, every
        self._judge, self._real = judge, real

    def _on_training_start(self) -> None:
        self._ent_coef = getattr(self.model, "ent_coef", None)
        # After a stop the steps since the last evaluation count on.
        self._last = max((line["steps"] for line in self._run.logged()), default=0)
        self._forget_points()
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
        return True

    def _on_rollout_start(self) -> None:
        if hasattr(self.model, "ent_coef"):
            # Of few points the bonus is a large part: a policy that is paid to doubt to the end draws bad actions.
            self.model.ent_coef = self._ent_coef * max(0.0, 1 - self.num_timesteps / self._total)
        if self.num_timesteps - self._last >= self._every:
            self.evaluate()

    def _on_training_end(self) -> None:
        if self.num_timesteps > self._last:
            self.evaluate()
        self._bar.close()

    def evaluate(self) -> None:
        """Save the present policy, score it, and write a checkpoint."""
        # Right after a stop there is nothing new to tell of the learner's own dreams.
        own = 1000 * self._points / self._steps if self._steps else None
        speed = self._steps / max(1e-9, time.perf_counter() - self._began)
        self._run.keep_policy(self.model, self._config)
        judged = self._judge(self.model)
        real = self._real(self.model) if self._real else None
        line = {
            "steps": self.num_timesteps,
            "learning": own,
            "judge": judged.per_1000,
            "entropy": judged.entropy if np.isfinite(judged.entropy) else None,
            "real": real.per_1000 if real else None,
            "real_score": float(real.games.mean()) if real and len(real.games) else None,
            "steps_per_second": speed,
        }
        self._run.log(line)
        for name, value in line.items():
            if value is not None and name != "steps":
                self.logger.record(f"score/{name}", value)
        self.logger.dump(self.num_timesteps)
        shown = {k: f"{line[k]:+.1f}" for k in ("learning", "judge", "real", "real_score") if line[k] is not None}
        self._bar.set_postfix(shown)
        self._run.save(self.model)
        self._last = self.num_timesteps
        self._forget_points()

    def _forget_points(self) -> None:
        self._points, self._steps, self._began = 0.0, 0, time.perf_counter()
