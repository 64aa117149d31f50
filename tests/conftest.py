"""Test session set-up: no window, no sound and one torch thread, whatever the machine."""

from __future__ import annotations

import os

# Before any test imports pygame or torch: both read these once.
os.environ["SDL_VIDEODRIVER"] = "dummy"
os.environ["SDL_AUDIODRIVER"] = "dummy"
os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"
# pytest-xdist already keeps every core busy; more threads per worker only fight each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
