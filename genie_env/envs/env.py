"""The single environment: a thin Gymnasium adapter over one row of dreams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from genie_env.effect_names import ActionEffect
from genie_env.envs.action_names import action_effects, action_keys, noop_action
from genie_env.envs.dream_batch import Snapshot, action_space, observation_space
from genie_env.envs.dream_env import DreamEnv, whole_fps
from genie_env.envs.episode_counts import EpisodeCounts
from genie_env.envs.infos import reset_values, step_values
from genie_env.envs.options import check_reset_options

if TYPE_CHECKING:
    from genie_env.envs.env_window import EnvWindow


@dataclass(frozen=True)
class EnvSnapshot:
    """Everything that decides how an environment goes on, and where its episode stands."""

    dreams: Snapshot
    counts: EpisodeCounts


class GenieEnv(DreamEnv, gym.Env[np.ndarray, np.int64]):
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
    steps for the registered ids), by Gymnasium's ``TimeLimit``; and where ``max_uncertainty`` is exceeded.

    ## Information
    ``action``: the executed action (after action diversity), in the environment's action space;
    ``latent_action``: its latent action; ``entropy``: mean entropy of the frame's tokens in nats; ``step``: steps
    since the reset. After a reset both actions are -1. Of an ensemble also ``uncertainty``: how far its members
    disagree about the frame, in nats (mutual information between member and tokens), 0 after a reset; and, with
    ``max_uncertainty``, ``too_uncertain``: whether the step was truncated for it.

    ## Arguments
    | option | meaning | default |
    |---|---|---|
    | ``world`` | Bundled name, folder or hf:// address. | the id's own |
    | ``temperature`` | Sampling temperature; 0 takes the most likely tokens; None takes the world's own. | ``None`` |
    | ``top_p`` | Nucleus from which tokens are drawn, in (0, 1]; None takes the world's own. | ``None`` |
    | ``decode_steps`` | Passes per frame: more draw tokens one after another; None takes the world's own. | ``None`` |
    | ``action_diversity`` | Probability that a step plays one of the least used recent actions instead. | ``0.0`` |
    | ``diversity_window`` | Number of recent actions that action diversity looks at. | ``5`` |
    | ``action_type`` | Kind of actions: real (the game's own) or latent (codes); None: real where mapped. | ``None`` |
    | ``obs_type`` | Kind of observations: rgb, grayscale or tokens. | ``"rgb"`` |
    | ``runtime`` | Program that steps: torch, onnx (on the CPU, faster), or auto: onnx where it can. | ``"auto"`` |
    | ``device`` | Torch device; auto is CUDA where there is one. | ``"auto"`` |
    | ``compile`` | Compile the step (a GPU: capture it): slow to begin, faster to run, other rounding. | ``False`` |
    | ``members`` | Members of an ensemble that predict, from the first on; None: all of them. | ``None`` |
    | ``max_uncertainty`` | Nats a frame of the members' disagreement above which a step truncates. | ``None`` |
    | ``uncertainty_penalty`` | Subtracted from a step's reward for each nat of its disagreement. | ``0.0`` |
    | ``render_mode`` | What render does: "rgb_array" returns pictures, "human" shows a window. | ``None`` |

    ``reset(options=…)`` also takes ``temperature`` and ``action_diversity`` for the episode, and ``starts``
    (:class:`~genie_env.world.Prompts`), beginnings to draw from at this and every later reset.

    ``env.unwrapped.temperature`` and ``env.unwrapped.action_diversity`` may be set at any time, and stay set;
    ``env.set_wrapper_attr("temperature", 0.0)`` does so through wrappers. ``env.temperature = 0.0`` on a wrapper would
    be lost and raises at the next step.

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

    def __init__(self, world: str | Path | None = None, *, render_mode: str | None = None, **options: Any) -> None:
        """Check the options; weights are loaded at the first reset.

        Args:
            world: bundled name, folder or ``hf://`` address.
            render_mode: None, ``"rgb_array"`` or ``"human"``.
            options: fields of :class:`~genie_env.envs.options.EnvOptions`.

        Raises:
            MissingWorldError: without a world.
            ValueError: if an option or the world's bundle is not as expected.
            TypeError: if there is no such option.
        """
        self._open(world, 1, options)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(
                f"render_mode: expected None or one of {self.metadata['render_modes']}, got {render_mode!r}"
            )
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": whole_fps(self.config)}
        self.observation_space = observation_space(self.config, self.options.obs_type)
        self.action_space = action_space(self.config, self.options.action_type)
        self.show_hud = True
        self._counts = EpisodeCounts()
        self._window: EnvWindow | None = None
        self._sealed = type(self) is GenieEnv

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a new dream.

        Args:
            seed: seeds the environment's generator; None goes on with the present one.
            options: ``frames``, ``start``, ``starts``, ``temperature``, ``action_diversity`` (see the class).

        Raises:
            ValueError: if an option is unknown or its value not as expected; the dream before goes on.
        """
        self._refuse_hidden_settings()
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
        self._counts = self._counts.begun()
        if self.render_mode == "human":
            self.render()
        return self._dreams.observations()[0], reset_values(self.options)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Dream one frame further.

        Raises:
            ValueError: if ``action`` is not in the action space.
        """
        self._refuse_hidden_settings()
        if not self.action_space.contains(action):
            raise ValueError(f"action: expected a member of {self.action_space}, got {action!r}")
        result = self._dreams.step(np.array([action]))
        reward = float(result.reward_B[0])
        info = {name: value[0].item() for name, value in step_values(result, self._dreams.step_B).items()}
        self._counts = self._counts.stepped(reward, info)
        if self.render_mode == "human":
            self.render()
        truncated = bool(info.get("too_uncertain", False))
        return self._dreams.observations()[0], reward, bool(result.terminated_B[0]), truncated, info

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
        if self._window is None:
            # Imported here: who sees no window needs no pygame.
            from genie_env.envs.env_window import EnvWindow

            self._window = EnvWindow(f"Genie Env: {self.config.name}", self.config.source.fps)
        self._window.show(self, frame_HWC, self.show_hud)
        return None

    def close(self) -> None:
        """Close the window, if there is one. May be called again."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy opens a window of its own.
        return {**self.__dict__, "_window": None}

    @property
    def counts(self) -> EpisodeCounts:
        """Where the episode stands: its number, steps, rewards, last action and entropy."""
        return self._counts

    @property
    def noop_action(self) -> int | None:
        """The action that does nothing, or the latent action it maps to; None where every action does something."""
        return noop_action(self.config, self.options.action_type)

    @property
    def action_effects(self) -> tuple[ActionEffect, ...]:
        """What each latent action does to the picture; empty for real actions, and where it was not measured."""
        return action_effects(self.config, self.options.action_type)

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Which keys (pygame's codes) play which action, for :mod:`gymnasium.utils.play` and ``genie-env play``."""
        from genie_env.window.keyboard import key_code

        keys = action_keys(self.config, self.options.action_type)
        return {tuple(map(key_code, held)): action for held, action in keys.items()}

    def snapshot(self) -> EnvSnapshot:
        """Everything that decides how the dream goes on; give it to :meth:`restore`, any number of times."""
        return EnvSnapshot(self._dreams.snapshot(), self._counts)

    def restore(self, state: EnvSnapshot) -> None:
        """Go back to a snapshot, generator and counts included.

        Raises:
            ValueError: if it was not made by an environment of this world, diversity window and number of members.
        """
        if not isinstance(state, EnvSnapshot):
            raise ValueError(f"snapshot: expected what snapshot() returned, got {state!r}")
        self._dreams.restore(state.dreams)
        self._counts = state.counts
        generator = self._dreams.generators[0]
        assert generator is not None
        self.np_random = generator


def as_clip(frames: Any) -> np.ndarray:
    """A clip [T, H, W, 3] from a clip or a single picture [H, W, 3]."""
    frames = np.asarray(frames)
    return frames[None] if frames.ndim == 3 else frames
