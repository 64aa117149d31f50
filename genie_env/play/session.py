"""A game while a person plays it: commands, pause, episodes, films, apart from window and clock.

Knows Gymnasium's API and the extras of ``GenieEnv`` (its snapshots, say); a recorder and the real game beside the
dream are handed in, and so is a policy that plays until a person takes over. Knows nothing of models or tokens.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np

from genie_env.envs.env_window import hud_of
from genie_env.files.video import FilmWriter, write_png
from genie_env.frames import side_by_side
from genie_env.window.hud import Hud
from genie_env.window.keyboard import Command, HeldKeys, action_of, command_of, key_table
from genie_env.window.renderer import BACKGROUND, GAP, Renderer

if TYPE_CHECKING:
    import pygame

    from genie_env.play.play_recorder import PlayRecorder
    from genie_env.play.real_game import RealGameBeside, RealGamePlace
    from genie_env.play.watched_agent import AgentState, WatchedAgent

HINT = "R reset   P pause   [ ] temperature   ; ' diversity   V film   H hide   Esc quit"
AGENT_HINT = "agent plays: any key of the game takes over   R reset   P pause   V film   H hide   Esc quit"
PERSON_HINT = "you play: G gives back to the agent   R reset   P pause   V film   H hide   Esc quit"
GAME_OVER_SECONDS, NOTICE_SECONDS = 2.0, 2.0
# Where the game runs unpaced: the rate of films, and of the loop while the game stands still.
UNPACED_FPS = 30.0


class _Bookmark(NamedTuple):
    """A snapshot of the environment, whether its episode was over, the place of the real game and the policy's."""

    state: Any
    over: bool
    real_game: RealGamePlace | None
    agent: AgentState | None


class PlaySession:
    """A game being played, apart from its window and clock: ``handle`` events and ``tick`` once a frame."""

    def __init__(
        self,
        env: gym.Env[Any, Any],
        out: Path,
        fps: float,
        scale: int = 8,
        seed: int | None = None,
        recorder: PlayRecorder | None = None,
        real_game: RealGameBeside | None = None,
        agent: WatchedAgent | None = None,
    ) -> None:
        """Begin the first episode.

        Args:
            env: a Genie environment with ``render_mode="rgb_array"``.
            out: folder for screenshots and films.
            fps: ticks per second, for films and for how long messages stay.
            scale: of films.
            seed: of the first reset.
            recorder: receives every step.
            real_game: the real game; every dream then begins with its beginning, and it plays along.
            agent: plays until a key of the game is pressed; the environment's observations are then tokens.

        Raises:
            ValueError: if the environment renders no pictures.
        """
        if env.render_mode != "rgb_array":
            raise ValueError(f"play: expected render_mode='rgb_array', got {env.render_mode!r}")
        self.env, self.out, self.fps, self.scale = env, out, fps, scale
        self.recorder, self.real_game, self.agent = recorder, real_game, agent
        self.game: Any = env.unwrapped
        self.keys = key_table(self.game.get_keys_to_action(), self.game.get_action_meanings())
        self.held = HeldKeys()
        self.num_steps = 0
        self.over = self.paused = self.finished = False
        self.show_hud = True
        self._single = self._screenshot = False
        self._bookmark: _Bookmark | None = None
        self._film: FilmWriter | None = None
        self._notice, self._notice_ticks = "", 0
        self._reset(seed)

    @property
    def idle(self) -> bool:
        """Whether the game stands still."""
        return self.paused or self.over

    def handle(self, event: pygame.event.Event) -> None:
        """Take in one event of the window."""
        import pygame

        if event.type in (pygame.QUIT, pygame.WINDOWCLOSE):
            self.run(Command.QUIT)
        elif event.type == pygame.KEYDOWN:
            name = pygame.key.name(event.key)
            command = command_of(name, event.unicode)
            if command is None:
                self.held.press(name)
                self._take_over(name)
            else:
                self.run(command)
        elif event.type == pygame.KEYUP:
            self.held.release(pygame.key.name(event.key))
        elif event.type == pygame.WINDOWFOCUSLOST:
            # The key-up goes to another window; without this the key would stay down for good.
            self.held.clear()

    def run(self, command: Command) -> None:
        """Carry out a command."""
        match command:
            case Command.RESET:
                self._reset()
            case Command.PAUSE:
                self.paused = not self.paused
            case Command.STEP:
                self._single = self.paused
            case Command.QUIT:
                self.finished = True
            case Command.COOLER | Command.WARMER:
                self._tune("temperature", 0.1 if command is Command.WARMER else -0.1)
            case Command.LESS_DIVERSE | Command.MORE_DIVERSE:
                self._tune("action_diversity", 0.1 if command is Command.MORE_DIVERSE else -0.1)
            case Command.SNAPSHOT:
                place = self.real_game.snapshot() if self.real_game else None
                agent = self.agent.snapshot() if self.agent else None
                self._bookmark = _Bookmark(self.game.snapshot(), self.over, place, agent)
                self._notify("snapshot taken: F9 comes back to it")
            case Command.RESTORE:
                self._restore()
            case Command.SCREENSHOT:
                self._screenshot = True
            case Command.FILM:
                self._toggle_film()
            case Command.HUD:
                self.show_hud = not self.show_hud
            case Command.AGENT:
                self._give_back()

    def tick(self) -> None:
        """Advance by one frame of time: a step of the game unless it stands still."""
        self._notice_ticks -= 1
        moves = not self.idle or (self._single and not self.over)
        # Where every action does something, the game waits for a key.
        if moves and (action := self._chosen()) is not None:
            self._step(action)
            self.held.frame_done()
        elif self.over and not self.paused:
            self._over_ticks += 1
            if self._over_ticks >= self._ticks(GAME_OVER_SECONDS):
                self._reset()
        self._single = False

    def hud(self, fps: float) -> Hud:
        """What the bar shows now."""
        shown = hud_of(self.game, fps, *self._message())
        if self.agent is not None:
            shown = dataclasses.replace(shown, player="agent" if self.agent.plays else "you")
        if self.real_game is not None:
            shown = dataclasses.replace(shown, real_total=self.real_game.total)
        return shown

    def draw(self, canvas: Renderer, fps: float) -> None:
        """Show where the game stands, beside the real one if there is one."""
        hud = self.hud(fps) if self.show_hud else None
        if self.real_game is None:
            self.shown(canvas.draw(self.frame_HWC, hud))
        else:
            self.shown(canvas.draw_pair(self.real_game.frame_HWC, self.frame_HWC, hud))

    def shown(self, picture_HWC: np.ndarray) -> None:
        """Take note of the picture the person sees: a screenshot, if one is asked for, is of this."""
        if self._screenshot:
            self._screenshot = False
            path = self._free_path().with_suffix(".png")
            try:
                write_png(path, picture_HWC)
                self._notify(f"saved {path.name}")
            except OSError as error:
                self._notify(f"not saved: {error}")

    def close(self) -> None:
        """Finish a film that still runs."""
        if self._film is not None:
            self._toggle_film()

    def _reset(self, seed: int | None = None) -> None:
        clip = {"frames": self.real_game.reset(seed)} if self.real_game else None
        observation, _ = self.env.reset(seed=seed, options=clip)
        self._arrive(over=False)
        if self.agent is not None:
            self.agent.begin(observation, self._real_frame())
        if self.recorder is not None:
            self.recorder.begin(self.frame_HWC)

    def _restore(self) -> None:
        if self._bookmark is None:
            self._notify("no snapshot yet: F5 takes one")
            return
        self.game.restore(self._bookmark.state)
        if self.real_game is not None and self._bookmark.real_game is not None:
            self.real_game.restore(self._bookmark.real_game)
        if self.agent is not None and self._bookmark.agent is not None:
            self.agent.restore(self._bookmark.agent)
        self._arrive(self._bookmark.over)
        if self.recorder is not None:
            self.recorder.begin(self.frame_HWC)
        self._notify("back at the snapshot")

    def _arrive(self, over: bool) -> None:
        """The environment stands somewhere else now."""
        self.over, self._over_ticks = over, 0
        self.frame_HWC = np.asarray(self.env.render())

    def _step(self, action: int) -> None:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.num_steps += 1
        real_action = None
        if self.real_game is not None:
            alone = self.agent is not None and self.agent.plays
            real_action = self.agent.act_in_real_game() if self.agent and alone else int(info["action"])
            self.real_game.step(real_action)
        self._arrive(terminated or truncated)
        if self.agent is not None:
            self.agent.see(int(info["action"]), observation, real_action, self._real_frame())
        if self.recorder is not None:
            self.recorder.add(int(info["action"]), self.frame_HWC, float(reward), bool(terminated))
        if self._film is not None:
            try:
                self._film.add(self._filmed())
            except OSError as error:
                self._film = None
                self._notify(f"not filmed: {error}")

    def _chosen(self) -> int | None:
        """The action of whoever plays; None: a person who presses nothing where every action does something."""
        if self.agent is not None and self.agent.plays:
            return self.agent.act()
        return action_of(self.held.names, self.keys, self.game.noop_action)

    def _take_over(self, key: str) -> None:
        """The person plays from now on, if that is a key of the game."""
        if self.agent is not None and self.agent.plays and any(key in keys for keys in self.keys):
            self.agent.plays = False
            self._notify("you play: G gives back to the agent")

    def _give_back(self) -> None:
        if self.agent is None:
            self._notify("no agent: start with --watch")
        else:
            self.agent.plays = True
            self._notify("the agent plays: any key of the game takes over")

    def _real_frame(self) -> np.ndarray | None:
        return None if self.real_game is None else self.real_game.frame_HWC

    def _tune(self, name: str, change: float) -> None:
        highest = 1.0 if name == "action_diversity" else 9.9
        setattr(self.game, name, min(highest, max(0.0, round(getattr(self.game, name) + change, 1))))

    def _toggle_film(self) -> None:
        if self._film is None:
            self._film = FilmWriter(self._free_path(), self.fps or UNPACED_FPS, self.scale)
            return
        film, self._film = self._film, None
        try:
            names = [path.name for path in film.close()]
            self._notify(f"saved {' and '.join(names)}" if names else "nothing filmed")
        except OSError as error:
            self._notify(f"not saved: {error}")

    def _filmed(self) -> np.ndarray:
        """The picture for a film: the dream, right of the real game if there is one."""
        if self.real_game is None:
            return self.frame_HWC
        return side_by_side([self.real_game.frame_HWC, self.frame_HWC], GAP // 2, BACKGROUND)

    def _free_path(self) -> Path:
        """The first of ``genie-001``, ``genie-002``, … under which there is no file yet."""
        number = 1
        while any(self.out.glob(f"genie-{number:03d}.*")):
            number += 1
        return self.out / f"genie-{number:03d}"

    def _ticks(self, seconds: float) -> int:
        return round(seconds * (self.fps or UNPACED_FPS))

    def _notify(self, notice: str) -> None:
        self._notice, self._notice_ticks = notice, self._ticks(NOTICE_SECONDS)

    def _message(self) -> tuple[str, bool]:
        """The line below the figures, and whether it stands out."""
        if self._notice_ticks > 0:
            return self._notice, True
        if self.over:
            return "game over: press R", True
        if self.paused:
            return "paused: P goes on, N plays one step", True
        if self._film is not None:
            return "filming: V stops", True
        if self.agent is not None:
            return (AGENT_HINT if self.agent.plays else PERSON_HINT), False
        return (HINT if self.recorder is None else f"recording   {HINT}"), False
