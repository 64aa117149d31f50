"""Gameplay that somebody else recorded, as a source to learn from: looked at first, turned into a recording later."""

from __future__ import annotations

from pathlib import Path

from training.planning.plan import Plan, plan_source
from training.sources.choice import open_source
from training.sources.importing import write_recording
from training.sources.reader import Wanted, described


def plan_gameplay(source: str, wanted: Wanted, minutes: float) -> Plan:
    """Look at a film, arrays or a data set, and plan a world of it.

    Raises:
        ValueError: if it cannot become a recording, or there are too few minutes.
    """
    reader = open_source(source, wanted)
    found = f"about {reader.expected_frames:,} frames, {reader.source.fps:g} a second ({reader.report.kind})"
    return plan_source(reader.source, minutes, found)


def import_gameplay(source: str, wanted: Wanted, data: Path) -> None:
    """Turn it into the recording ``data``, and print what was used and what was left out.

    Raises:
        ValueError: if it cannot become a recording.
    """
    reader = open_source(source, wanted)
    settings = {"imported": reader.report.kind, "files": Path(source).name, "fps": reader.source.fps}
    write_recording(reader, data, settings)
    print(described(reader.report), flush=True)
