"""Waiting for a page, without a browser."""

from __future__ import annotations

from typing import Any

import pytest

from genie_env.web.chromium import BrowserError, Tab


def tab_that_says(*answers: Any) -> Tab:
    """A tab whose scripts have these values, one after the other; errors are raised."""
    tab, left = Tab.__new__(Tab), iter(answers)
    tab.errors = []

    def run(script: str) -> Any:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    tab.run = run
    return tab


def test_a_page_that_is_being_left_does_not_hold_yet() -> None:
    between = BrowserError("Runtime.evaluate: {'message': 'Cannot find default execution context'}")
    tab_that_says(False, between, True).wait_for("ready", 30)
    with pytest.raises(BrowserError, match="ready did not hold within 0 s"):
        tab_that_says(between, between, between).wait_for("ready", 0)


def test_other_errors_of_the_browser_end_the_wait() -> None:
    with pytest.raises(BrowserError, match="gone"):
        tab_that_says(BrowserError("the browser is gone, or does not answer")).wait_for("ready", 30)
