"""What ``learn`` says at its end: figures beside those of copying, where the pictures are, and what to type next."""

from __future__ import annotations

from pathlib import Path

from genie_env.measurement import WORLD, Measurement, Metric, select
from genie_env.tables import text_table
from training.planning.progress import Progress

REPORTED = (
    Metric.EFFECT_RECALL,
    Metric.EFFECT_PRECISION,
    Metric.DECIDED_TOKEN_ACCURACY,
    Metric.CHANGED_TOKEN_ACCURACY,
    Metric.FOREGROUND_PSNR,
)
"""What the summary shows, what a player sees first."""


def summary(found: list[Measurement], out: Path, progress: Progress, folder: Path) -> str:
    """Figures beside copying the last frame, where the pictures are, and what to type next."""
    rows = []
    for metric in REPORTED:
        for one in select(found, metric=metric.value, source=WORLD, subset=""):
            if one.experiment not in ("action_effect", "dream") or one.horizon is None:
                continue
            still = select(
                found, metric=one.metric, horizon=one.horizon, experiment=one.experiment, source="copy_last", subset=""
            )
            rows.append([one.label, str(one.horizon), str(one.interval), str(still[0].interval) if still else ""])
    spent = sum(progress.spent.values())
    report = out.parent / f"{out.name}_report"
    return "\n".join(
        [
            text_table(["measured on held-out play", "step", "this world", "copy-last"], rows),
            f"{spent:.1f} of {progress.minutes:g} minutes; report, strips and animations in {report}",
            "play it:       genie-env play --world " + str(out),
            f'in Python:     gym.make("Genie/World-v0", world="{out}")',
        ]
    )
