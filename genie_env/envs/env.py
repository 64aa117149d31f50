"""The single environment: a thin Gymnasium adapter over one row of dreams."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

import gymnasium as gym
import numpy as np

from genie_env.bundle import read_config
from genie_env.config import WorldConfig
from genie_env.envs.dream_batch import DreamBatch, Snapshot, action_meanings, action_space, observation_space
from genie_env.envs.options import Options, check_reset_options, resolve_options
from genie_env.window.frame_clock import FrameClock
from genie_env.window.keyboard import key_code
from genie_env.window.renderer import Hud, Renderer


class GenieEnv(gym.Env[np.ndarray, np.int64]):
    """A learned world as a Gymnasium environment.

    ## Description
    The environment is a dream: a tokenizer, a latent action model and a dynamics model that watched a game draw
    every next frame from the frames before and the action. ``Genie/Pong-v0`` and ``Genie/Breakout-v0``
    dream those Atari games; ``Genie/World-v0`` dreams whatever world its ``world`` argument names.

    ## Action Space
    ``action_type="real"``: ``Discrete`` over the source game's own actions (Pong: NOOP, FIRE, RIGHT, LEFT,
    RIGHTFIRE, LEFTFIRE), mapped to latent actions by the world's action map. ``action_type="latent"``: ``Discrete``
    over the codes of the latent action model. ``get_action_meanings()`` names both.

    ## Observation Space
    ``obs_type="rgb"``: ``Box(0, 255, (64, 64, 3), uint8)``; ``"grayscale"``: one channel; ``"tokens"``: the frame's
    tokens, ``Box(0, V-1, (64,), int64)``, which never touches pixels.

    ## Rewards
    What the outcome head reads from the dreamed frames, one of the world's reward classes (Pong: -1, 0, 1; Breakout:
    0, 1, 4, 7).

    ## Starting State
    A recorded beginning of the real game, drawn with the environment's generator; ``reset(options={"start": i})``
    picks one, ``reset(options={"frames": …})`` prompts with any clip uint8 [T, 64, 64, 3] or picture [64, 64, 3]:
    its last frame is the first observation.

    ## Episode End
    *Termination*: the outcome head says that the game is over. *Truncation*: after ``max_episode_steps`` (27,000
    steps for the registered ids), by Gymnasium's ``TimeLimit``.

    ## Information
    ``action``: the executed action (after action diversity), in the environment's action space;
    ``latent_action``: its latent action; ``entropy``: mean entropy of the frame's tokens in nats; ``step``: steps
    since the reset. After a reset both actions are -1.

    ## Arguments
    | option | meaning | default |
    |---|---|---|
    | ``world`` | bundled name or folder | the id's own |
    | ``temperature`` | 0 takes the most likely tokens, else drawn from softmax(logits / T) | the world's |
    | ``top_p`` | nucleus from which tokens are drawn | the world's |
    | ``decode_steps`` | passes per frame; more draw uncertain tokens one after another | the world's |
    | ``action_diversity`` | chance that a step replaces the action by one of the least used recent ones | 0.0 |
    | ``diversity_window`` | how many recent actions that looks at | 5 |
    | ``action_type`` | ``"latent"`` or ``"real"`` | ``"real"`` where the world has a map |
    | ``obs_type`` | ``"rgb"``, ``"grayscale"``, ``"tokens"`` | ``"rgb"`` |
    | ``device`` | torch device, or ``"auto"`` | ``"auto"`` |
    | ``compile`` | build the step with ``torch.compile`` | ``False`` |
    | ``render_mode`` | ``None``, ``"rgb_array"``, ``"human"`` | ``None`` |

    ``reset(options=…)`` also takes ``temperature`` and ``action_diversity`` for the episode.

    ## Vectorized environment
    ``gym.make_vec("Genie/Pong-v0", num_envs=64)`` makes a :class:`~genie_env.envs.vector_env.GenieVectorEnv`:
    one batched forward a step for all rows, ended rows handled by ``autoreset_mode`` ``"NextStep"``, ``"SameStep"`` or
    ``"Disabled"``. Gymnasium's own ``vectorization_mode="sync"`` and ``"async"`` work too; processes for ``"async"``
    must be started with ``vector_kwargs={"context": "spawn"}`` or ``"forkserver"``.

    ## Copies
    ``snapshot()`` and ``restore()`` branch a dream; ``copy.deepcopy`` and ``pickle`` give an environment that goes on
    alike, the first sharing the weights and the second opening them again. A snapshot is of the environment itself:
    a wrapper around it, such as ``TimeLimit``, goes on counting; a copy takes the wrappers along.

    ## Version History
    - v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self,
        world: str | Path | None = None,
        *,
        render_mode: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Check the options; weights are loaded at the first reset.

        Args:
            world: bundled name or folder.
            render_mode: None, ``"rgb_array"`` or ``"human"``.
            options: see "Arguments" above.

        Raises:
            ValueError: if an option or the world's bundle is not as expected.
            TypeError: if there is no such option.
        """
        config = read_config(require_world(world))
        resolved = resolve_options(config, **options)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"render_mode: expected None or one of {self.metadata['render_modes']}, got {render_mode!r}"
            )
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": whole_fps(config)}
        self.observation_space = observation_space(config, resolved.obs_type)
        self.action_space = action_space(config, resolved.action_type)
        self.config, self.options = config, resolved
        self._dreams = DreamBatch(str(world), config, resolved, num_rows=1)
        self.show_hud = True
        self._renderer: Renderer | None = None
        self._clock: FrameClock | None = None
        self._episode = 0
        self._total = 0.0
        self._last_reward = 0.0
        self._last_info: dict[str, Any] = {"action": -1, "latent_action": -1, "entropy": 0.0, "step": 0}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin a new dream.

        Args:
            seed: seeds the environment's generator; None goes on with the present one.
            options: ``frames``, ``start``, ``temperature``, ``action_diversity`` (see the class).

        Raises:
            ValueError: if an option is unknown or its value not as expected; the dream before goes on.
        """
        wanted = check_reset_options(options)
        if wanted.get("frames") is not None:
            wanted["frames"] = as_clip(wanted["frames"])[None]
        # A refused reset must not leave the new seed behind.
        generator, known_seed = self._np_random, self._np_random_seed
        super().reset(seed=seed)
        try:
            self._dreams.reset_rows(np.zeros(1, dtype=np.int64), [self.np_random], wanted)
        except Exception:
            self._np_random, self._np_random_seed = generator, known_seed
            raise
        self._episode += 1
        self._total, self._last_reward = 0.0, 0.0
        self._last_info = {"action": -1, "latent_action": -1, "entropy": 0.0, "step": 0}
        if self.render_mode == "human":
            self.render()
        return self._dreams.observations()[0], dict(self._last_info)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Dream one frame further.

        Raises:
            ValueError: if ``action`` is not in the action space.
        """
        if not self.action_space.contains(action):
            raise ValueError(f"action: expected a member of {self.action_space}, got {action!r}")
        result = self._dreams.step(np.array([action]))
        self._last_reward = float(result.reward_B[0])
        self._total += self._last_reward
        self._last_info = {
            "action": int(result.action_B[0]),
            "latent_action": int(result.latent_action_B[0]),
            "entropy": float(result.entropy_B[0]),
            "step": int(self._dreams.state.step_B[0]),
        }
        if self.render_mode == "human":
            self.render()
        terminated = bool(result.terminated_B[0])
        return self._dreams.observations()[0], self._last_reward, terminated, False, dict(self._last_info)

    def render(self) -> np.ndarray | None:
        """Return the present frame (``rgb_array``), or show it and wait until the next is due (``human``).

        The bar of text beneath a shown frame is there while ``show_hud`` is True.
        """
        if self.render_mode is None:
            gym.logger.warn("render() was called without a render_mode; pass render_mode='rgb_array' or 'human'")
            return None
        frame_HWC = self._dreams.frames()[0]
        if self.render_mode == "rgb_array":
            return frame_HWC
        if self._renderer is None or self._clock is None:
            self._renderer = Renderer(title=f"Genie Env: {self.config.name}", window=True)
            self._clock = FrameClock(self.config.source.fps)
        self._renderer.draw(frame_HWC, self._hud(self._clock.rate) if self.show_hud else None)
        self._clock.wait()
        return None

    def close(self) -> None:
        """Close the window, if there is one. May be called again."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = self._clock = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy opens a window of its own.
        return {**self.__dict__, "_renderer": None, "_clock": None}

    @property
    def world(self) -> Any:
        """The opened :class:`~genie_env.world.World`."""
        return self._dreams.world

    @property
    def temperature(self) -> float:
        """Sampling temperature; may be set at any time after a reset."""
        return self._dreams.temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._dreams.temperature = value

    @property
    def action_diversity(self) -> float:
        """Chance that a step's action is replaced; may be set at any time after a reset."""
        return self._dreams.action_diversity

    @action_diversity.setter
    def action_diversity(self, value: float) -> None:
        self._dreams.action_diversity = value

    def get_action_meanings(self) -> list[str]:
        """Names of the actions."""
        return action_meanings(self.config, self.options.action_type)

    @property
    def noop_action(self) -> int:
        """The action that does nothing: the real game's first, or the latent action it maps to."""
        if self.options.action_type == "real" or self.config.action_map is None:
            return 0
        return self.config.action_map.real_to_latent[0]

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Which key (pygame's code) plays which action, for :mod:`gymnasium.utils.play` and ``genie-env play``."""
        mapped, keys = self.config.action_map, self.config.source.keys
        if self.options.action_type == "latent":
            if mapped is not None:
                keys = {key: mapped.real_to_latent[action] for key, action in keys.items()}
            else:
                keys = {str(i + 1): i for i in range(self.config.dynamics.num_actions)}
        return {(key_code(key),): action for key, action in keys.items()}

    def snapshot(self) -> Snapshot:
        """Everything that decides how the dream goes on; give it to :meth:`restore`, any number of times."""
        return self._dreams.snapshot()

    def restore(self, state: Snapshot) -> None:
        """Go back to a snapshot, generator included.

        Raises:
            ValueError: if it was not made by an environment of this world and diversity window.
        """
        self._dreams.restore(state)
        generator = self._dreams.generators[0]
        assert generator is not None
        self.np_random = generator

    def _hud(self, fps: float) -> Hud:
        action = self._last_info["action"]
        name = self.get_action_meanings()[action] if action >= 0 else "–"
        return Hud(
            episode=self._episode,
            step=self._last_info["step"],
            reward=self._last_reward,
            total=self._total,
            action=name,
            temperature=self.temperature,
            action_diversity=self.action_diversity,
            entropy=self._last_info["entropy"],
            fps=fps,
        )


def require_world(world: str | Path | None) -> str | Path:
    """``world``, or ValueError where it is missing."""
    if world is None:
        raise ValueError(
            'world: expected a bundled name or a folder, as in gym.make("Genie/World-v0", world="worlds/my_game")'
        )
    return world


def whole_fps(config: WorldConfig) -> int:
    """The source game's frames per second, as a whole number: ``gymnasium.utils.play`` takes no other."""
    return max(1, round(config.source.fps))


def as_clip(frames: Any) -> np.ndarray:
    """A clip [T, H, W, 3] from a clip or a single picture [H, W, 3]."""
    frames = np.asarray(frames)
    return frames[None] if frames.ndim == 3 else frames
