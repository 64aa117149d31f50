"""Where the project lies, for tests that start programs in it or read its files."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
