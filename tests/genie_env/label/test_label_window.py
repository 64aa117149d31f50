"""The questions of ``genie-env label`` on a real display, with real keys."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from genie_env.bundle import read_config
from genie_env.config import SourceConfig
from genie_env.label.commands import ANSWERS
from tests.genie_env.play.test_play_window import NEEDS_DISPLAY, Desktop, virtual_display, wait_for
from tests.helpers.worlds import make_random_world


@NEEDS_DISPLAY
def test_a_person_answers_in_a_real_window_in_two_sittings(tmp_path: Path) -> None:
    film = make_random_world(tmp_path / "film", source=SourceConfig(image_size=64, has_actions=False), action_map=None)
    answers = tmp_path / "film_labels" / ANSWERS
    code = "import sys; from genie_env.cli import main; raise SystemExit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "label", str(film), "--clips", "4", "--steps", "2", "--scale", "4"]

    def given() -> list[str]:
        return [one["key"] for one in json.loads(answers.read_text())["given"]] if answers.exists() else []

    def sitting(display: str, keys: dict[str, str], last: str | None = None) -> None:
        desk = Desktop(display, command)
        try:
            for key, said in keys.items():
                before = len(given())
                desk.xdotool("key", key)
                wait_for(lambda before=before, said=said: given()[before:] == [said])
            if last is not None:
                desk.xdotool("key", last)
            assert desk.program.wait(60) == 0
        finally:
            desk.close()

    with virtual_display(tmp_path) as display:
        sitting(display, {"Up": "up", "Return": ""}, last="Escape")
        assert read_config(str(film)).action_map is None
        sitting(display, {"BackSpace": "?", "space": "space"})
    assert given() == ["up", "", "?", "space"]
    mapped = read_config(str(film))
    assert mapped.source.action_meanings == ("NOOP", "SPACE", "UP") and mapped.action_map is not None
