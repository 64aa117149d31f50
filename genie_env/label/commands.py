"""The command ``genie-env label``: its flags, and the session behind them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from genie_env.config import WorldConfig
    from genie_env.label.answers import Answers
    from genie_env.label.asking import Asker

ANSWERS = "answers.json"


@dataclass(frozen=True)
class Label:
    """Give a world that knows no actions the keys that you would press: it shows clips and asks which key that was.

    Each clip holds one latent action. In a window you press the key; without a display clips are GIFs in a folder and
    the terminal asks. Stop at any time: the same command goes on. At the end the world has an action map.
    """

    world: tyro.conf.Positional[str]
    """Folder of a world of your own."""
    clips: int = 20
    """Clips to ask about; more of them make the map surer, and the same command asks only those that are new."""
    steps: int = 10
    """Steps for which a clip holds its action."""
    out: Path | None = None
    """Folder for the answers and clips; the default is WORLD_labels."""
    window: bool = True
    """Ask in a window where there is a display."""
    scale: int = 8
    """Times that clips are larger than frames."""
    seed: int = 0
    """Seed of the clips."""

    def __post_init__(self) -> None:
        for name in ("clips", "steps", "scale"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number >= 1, got {getattr(self, name)}")


def label_world(args: Label, asker: Asker | None = None) -> bool:
    """Run ``genie-env label``; returns whether all was answered and the map is in the bundle.

    Args:
        args: the flags.
        asker: who asks; None: a window where there is a display, else the terminal.

    Raises:
        ValueError: if the world is none of one's own, has a fitted map of recorded actions, or the answers are of
            another one.
        OSError: if answers or bundle cannot be written.
    """
    from genie_env.bundle import CARD, find_own_world, load_world, save_world
    from genie_env.bundled_policy import policy_folder_of
    from genie_env.files.atomic import hold_folder, require_writable
    from genie_env.files.reading import checksum
    from genie_env.label.answers import Answers, read_answers
    from genie_env.label.mapping import described, with_map

    own = find_own_world(args.world)
    world = load_world(own, "cpu")
    _require_unlabelled(world.config, own)
    folder = args.out or own.parent / f"{own.name}_labels"
    require_writable(own / "config.json")
    count = world.config.dynamics.num_actions
    with hold_folder(folder):
        begun = Answers(checksum(own / "dynamics.safetensors"), args.seed)
        answers = read_answers(folder / ANSWERS, begun, count)
        answers = _ask_all(args, own, folder, answers, count, asker)
        if len(answers.given) < args.clips:
            print(f"{len(answers.given)} of {args.clips} answers are kept in {folder}; the same command goes on")
            return False
        mapped = world.replace(config=with_map(world.config, answers.given[: args.clips]))
        card = (own / CARD).read_text(encoding="utf-8")
        save_world(mapped, own, card=card, replace=True, policy=policy_folder_of(own))
    print(described(mapped.config))
    print(f"play it: genie-env play --world {own}")
    return True


def _ask_all(args: Label, own: Path, folder: Path, answers: Answers, count: int, asker: Asker | None) -> Answers:
    """Ask what was not answered yet, as long as the person likes."""
    import gymnasium as gym

    import genie_env  # noqa: F401 (registers the ids)
    from genie_env.label.answers import Answer, write_answers
    from genie_env.label.asking import Stopped
    from genie_env.label.clips import codes_of, dream_clip

    codes = codes_of(args.clips, count, args.seed)
    missing = range(len(answers.given), args.clips)
    if not missing:
        return answers
    env = gym.make("Genie/World-v0", world=str(own), action_type="latent", render_mode="rgb_array")
    with closing(env), closing(asker or _asker(args, folder, float(env.metadata["render_fps"]))) as person:
        for number in missing:
            clip = dream_clip(env, number, int(codes[number]), args.steps, args.seed)
            try:
                key = person.ask(clip.frames_THWC, number + 1, args.clips)
            except Stopped:
                break
            answers = answers.plus(Answer(clip.code, key))
            write_answers(folder / ANSWERS, answers)
    return answers


def _asker(args: Label, folder: Path, fps: float) -> Asker:
    from genie_env.label.asking import TerminalAsker, WindowAsker
    from genie_env.window.display import has_display

    return WindowAsker(fps, args.scale) if args.window and has_display() else TerminalAsker(folder, fps, args.scale)


def _require_unlabelled(config: WorldConfig, own: Path) -> None:
    if config.source.env_id and config.source.action_meanings:
        raise ValueError(
            f"{own}: the actions of its game {config.source.env_id} are known; `python -m agents.fit_action_map` fits "
            "their map"
        )
    if config.recorded_actions:
        raise ValueError(f"{own}: learned from recorded actions, which need no map")
