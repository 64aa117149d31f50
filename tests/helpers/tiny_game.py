"""The game the tests train on: two paddles and a ball in 64x64 pixels, with exact ground truth.

Owns its rules and its picture. Knows nothing about worlds, models or Atari; needs numpy and Gymnasium only.
"""

from __future__ import annotations

from math import nan
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

ENV_ID = "TinyPong-v0"
NOOP, UP, DOWN = 0, 1, 2

SIZE = 64
BALL_SIZE = 2
PADDLE_WIDTH = 2
PADDLE_HEIGHT = 10
OWN_LEFT = 60
OPP_LEFT = 2
LOWEST_BALL = SIZE - BALL_SIZE
LOWEST_PADDLE = SIZE - PADDLE_HEIGHT

BALL_SPEED_X = 2
SERVE_LEFT = 32
# The columns where the ball touches a paddle. It moves by two pixels from an even column, so it always
# stops exactly here and never shares a column with a paddle: no sprite ever hides another.
TOUCH_OWN = OWN_LEFT - BALL_SIZE
TOUCH_OPP = OPP_LEFT + PADDLE_WIDTH

BACKGROUND_COLOUR = (24, 28, 70)
BALL_COLOUR = (236, 236, 236)
OWN_COLOUR = (92, 186, 92)
OPP_COLOUR = (213, 130, 74)


class TinyPong(gym.Env[np.ndarray, np.int64]):
    """A small Pong whose every frame is known to the pixel.

    ## Description
    The player's paddle is on the right; the opponent's, on the left, follows the ball but is too slow for
    the steepest balls. A paddle sends the ball up when it meets it above its middle and down below its
    middle, and every hit makes the ball one pixel per step steeper, until ``max_speed``, then flat again.
    Two frames and the action therefore determine the next frame; only serves are random.

    ## Action Space
    ``Discrete(3)``: 0 NOOP, 1 UP, 2 DOWN. UP and DOWN move the paddle by ``paddle_speed`` pixels.

    ## Observation Space
    ``Box(0, 255, (64, 64, 3), uint8)``: the picture.

    ## Rewards
    +1 when the opponent misses, -1 when the player misses, in the step whose frame shows the ball gone.

    ## Starting State
    Both paddles in the middle, the ball in the middle column with a random height, direction and slope. It
    is in play at once, because Gymnasium's ``check_env`` compares the first infos and NaN equals nothing.

    ## Episode End
    Terminates when one side has ``points`` points. Never truncates by itself.

    ## Information
    ``info["truth"]``: the floats ball_x, ball_y, own_x, own_y, opp_x and opp_y, the centres in pixels of
    what the returned picture shows (a 2-pixel ball in columns 32 and 33 has ball_x 32.5), NaN when absent.

    Args:
        points: how many points win the game.
        max_speed: the steepest ball, in rows per step.
        paddle_speed: rows per step of the player's paddle.
        opponent_speed: rows per step of the opponent's paddle.
        serve_delay: frames without a ball after each point.
        render_mode: None or "rgb_array".

    Raises:
        ValueError: if an argument is out of its range.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(
        self,
        points: int = 5,
        max_speed: int = 3,
        paddle_speed: int = 2,
        opponent_speed: int = 1,
        serve_delay: int = 6,
        render_mode: str | None = None,
    ) -> None:
        for name, value, low, high in (
            ("points", points, 1, 99),
            ("max_speed", max_speed, 1, 8),
            ("paddle_speed", paddle_speed, 1, LOWEST_PADDLE),
            ("opponent_speed", opponent_speed, 0, LOWEST_PADDLE),
            ("serve_delay", serve_delay, 1, 99),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name}: expected {low} to {high}, got {value}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f'render_mode: expected None or "rgb_array", got {render_mode!r}')
        self.points = points
        self.max_speed = max_speed
        self.paddle_speed = paddle_speed
        self.opponent_speed = opponent_speed
        self.serve_delay = serve_delay
        self.render_mode = render_mode
        self.action_space = spaces.Discrete(3)
        self.observation_space = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)

    def get_action_meanings(self) -> list[str]:
        """Return the names of the actions, in their order."""
        return ["NOOP", "UP", "DOWN"]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a game at 0:0 with a serve."""
        super().reset(seed=seed)
        self._own_top = self._opp_top = LOWEST_PADDLE // 2
        self._own_points = self._opp_points = 0
        self._serve()
        return self._picture(), {"truth": self._truth()}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the paddles, then the ball.

        Raises:
            ValueError: if ``action`` is none of the three.
        """
        if not self.action_space.contains(action):
            raise ValueError(f"expected an action 0, 1 or 2, got {action!r}")
        self._move_paddles(int(action))
        reward = self._move_ball()
        self._own_points += reward > 0
        self._opp_points += reward < 0
        terminated = max(self._own_points, self._opp_points) >= self.points
        return self._picture(), float(reward), terminated, False, {"truth": self._truth()}

    def render(self) -> np.ndarray | None:
        """Return the current picture, uint8 [64, 64, 3], or None without a render mode."""
        return self._picture() if self.render_mode == "rgb_array" else None

    def _serve(self) -> None:
        self._in_play = True
        self._left = SERVE_LEFT
        self._top = int(self.np_random.integers(8, SIZE - 8))
        self._speed_x = int(self.np_random.choice((-BALL_SPEED_X, BALL_SPEED_X)))
        slope = int(self.np_random.integers(1, self.max_speed + 1))
        self._speed_y = slope * int(self.np_random.choice((-1, 1)))

    def _move_paddles(self, action: int) -> None:
        own_step = {NOOP: 0, UP: -self.paddle_speed, DOWN: self.paddle_speed}[action]
        self._own_top = min(max(self._own_top + own_step, 0), LOWEST_PADDLE)
        if self._in_play:
            wanted = self._top + (BALL_SIZE - PADDLE_HEIGHT) // 2 - self._opp_top
            opp_step = min(max(wanted, -self.opponent_speed), self.opponent_speed)
            self._opp_top = min(max(self._opp_top + opp_step, 0), LOWEST_PADDLE)

    def _move_ball(self) -> int:
        """Move the ball by one step, or wait for the serve, and return the player's reward."""
        if not self._in_play:
            self._wait -= 1
            if self._wait == 0:
                self._serve()
            return 0
        at_own = self._left == TOUCH_OWN and self._speed_x > 0
        at_opp = self._left == TOUCH_OPP and self._speed_x < 0
        if (at_own and not self._hit(self._own_top)) or (at_opp and not self._hit(self._opp_top)):
            self._in_play = False
            self._wait = self.serve_delay
            return -1 if at_own else 1
        # Turning before the wall instead of being mirrored at it keeps the slope visible in every step.
        if not 0 <= self._top + self._speed_y <= LOWEST_BALL:
            self._speed_y = -self._speed_y
        self._top += self._speed_y
        self._left += self._speed_x
        return 0

    def _hit(self, paddle_top: int) -> bool:
        """Send the ball back if the paddle whose first row is ``paddle_top`` meets it."""
        if not paddle_top - BALL_SIZE < self._top < paddle_top + PADDLE_HEIGHT:
            return False
        offset = self._top - paddle_top - (PADDLE_HEIGHT - BALL_SIZE) // 2
        slope = abs(self._speed_y) % self.max_speed + 1
        direction = offset or self._speed_y
        self._speed_y = slope if direction > 0 else -slope
        self._speed_x = -self._speed_x
        return True

    def _picture(self) -> np.ndarray:
        picture_HWC = np.empty((SIZE, SIZE, 3), np.uint8)
        picture_HWC[:] = BACKGROUND_COLOUR
        _paint(picture_HWC, self._own_top, OWN_LEFT, PADDLE_HEIGHT, PADDLE_WIDTH, OWN_COLOUR)
        _paint(picture_HWC, self._opp_top, OPP_LEFT, PADDLE_HEIGHT, PADDLE_WIDTH, OPP_COLOUR)
        if self._in_play:
            _paint(picture_HWC, self._top, self._left, BALL_SIZE, BALL_SIZE, BALL_COLOUR)
        return picture_HWC

    def _truth(self) -> dict[str, float]:
        return {
            "ball_x": _centre(self._left, BALL_SIZE) if self._in_play else nan,
            "ball_y": _centre(self._top, BALL_SIZE) if self._in_play else nan,
            "own_x": _centre(OWN_LEFT, PADDLE_WIDTH),
            "own_y": _centre(self._own_top, PADDLE_HEIGHT),
            "opp_x": _centre(OPP_LEFT, PADDLE_WIDTH),
            "opp_y": _centre(self._opp_top, PADDLE_HEIGHT),
        }


def _paint(picture_HWC: np.ndarray, top: int, left: int, height: int, width: int, colour: tuple[int, int, int]) -> None:
    picture_HWC[top : top + height, left : left + width] = colour


def _centre(first_pixel: int, num_pixels: int) -> float:
    return first_pixel + (num_pixels - 1) / 2


if ENV_ID not in gym.registry:
    gym.register(id=ENV_ID, entry_point="tests.helpers.tiny_game:TinyPong")
