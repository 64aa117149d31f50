"""Learn to play inside a dream: ``python -m agents.train_ppo --env Genie/Pong-v0``.

The agent never acts in the real game while it learns; with ``--real-games`` its policies are only scored there, side
by side with the dream, and the checkpoint is chosen by dreams alone (see :mod:`agents.dream_vs_real`). For comparison
``--env ALE/Pong-v5`` lets the same learner train in the real game. Run the same command again to go on after a stop.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from agents.sb3.callback import EvalCheckpointCallback
from agents.sb3.checkpoint_choice import REPORT, publish_policy
from agents.sb3.evaluate_policy import Evaluator, dream_evaluator, evaluate_learner
from agents.sb3.make_envs import make_dreams, make_real_games, recorded_starts, usual_entropy
from agents.sb3.networks import TokenNet, policy_settings
from agents.sb3.policy_io import ALGORITHMS
from agents.sb3.run_folder import RunFolder
from genie_env.bundle import bundled_worlds, load_world, pin_world, read_config
from genie_env.command import Interrupted, StopRequest, on_stop_signal, run
from genie_env.files.atomic import hold_folder
from genie_env.policies.config import PolicyConfig, policy_config
from genie_env.policies.spec import PolicySpec, make_policy_spec
from genie_env.registration import ANY, BUNDLED
from genie_env.world import World

DREAMS = (*BUNDLED, ANY)


@dataclass(frozen=True)
class TrainAgentConfig:
    """Train an agent in a dream (or, for comparison, in the real game)."""

    env: str = "Genie/Pong-v0"
    """Id of a bundled world, ``Genie/World-v0`` (with ``--world``), or the id of the world's real game."""
    world: str = ""
    """Bundled world or folder: the dream, or what makes the real game look like it. The default is the id's own, or
    that whose real game ``--env`` is."""
    out: Path = Path("runs/ppo")
    """Folder of the run."""
    algo: Literal["ppo", "a2c", "dqn"] = "ppo"
    """Algorithm of stable-baselines3."""
    policy: Literal["cnn", "small_cnn", "tokens"] = "cnn"
    """Network: NatureCNN on grey pictures, a smaller one, or a table look-up on the world's tokens."""
    action_type: Literal["real", "latent"] = "real"
    """``real``: the game's actions, those of equal effect merged; ``latent``: the codes learned without labels."""
    steps: int = 1_000_000
    """Environment steps of all rows together."""
    n_envs: int = 32
    """Rows that learn at once."""
    n_steps: int = 64
    """PPO, A2C: steps of each row between updates."""
    batch_size: int = 256
    """PPO, DQN: transitions of a gradient step."""
    n_epochs: int = 4
    """PPO: passes over the collected transitions in each update."""
    learning_rate: float = 5e-4
    """Learning rate at the beginning; it falls linearly to zero."""
    gamma: float = 0.99
    """Discount of rewards for each step, in [0, 1]."""
    gae_lambda: float = 0.95
    """PPO, A2C: lambda of generalised advantage estimation, in [0, 1]."""
    ent_coef: float = 0.01
    """PPO, A2C: weight of the policy's entropy at the beginning; it falls linearly to zero."""
    clip_range: float = 0.1
    """PPO: largest change of an action's probability ratio in an update."""
    frame_stack: int = 4
    """Frames that make the policy's observation."""
    horizon: int = 500
    """Steps after which a dream is cut off, with a bootstrapped value; a new one begins elsewhere."""
    starts: Path | None = None
    """Recording whose training episodes dreams begin in; the default is the world's own beginnings."""
    num_starts: int = 2048
    """Beginnings drawn from that recording."""
    entropy_percentile: float | None = None
    """Cut dreams off where their token entropy exceeds this percentile of predictions on real data, such as 99."""
    temperature: float | None = None
    """Temperature of the dream; default: the world's own. The best agent so far learned at 0.5, but seeds differ by
    more than temperatures do (see docs/experiments.md)."""
    repeat_action_probability: float = 0.0
    """Probability with which a row of the dream repeats its last action instead, as the sticky actions of the real
    games do. An agent that learns so relies less on what a key does in a single frame, where a dream may be wrong."""
    eval_every: int = 100_000
    """Steps between evaluations; each saves a policy."""
    eval_steps: int = 1000
    """Steps of each of the 16 dreams in which policies are evaluated."""
    eval_world: str | None = None
    """World whose dreams policies are evaluated in; the default is the same one under another seed."""
    real_games: int = 4
    """Real games in every evaluation, for the side-by-side curve only (0: none)."""
    seed: int = 0
    """Seed of the network, the policy and the dreams."""
    device: str = "auto"
    """Torch device, or ``auto``."""
    compile: bool = False
    """Compile the dream that is learned in: half a minute at the start, faster steps after it. On a GPU it is captured
    as a CUDA graph, at once, and steps are several times as fast."""

    def __post_init__(self) -> None:
        if not 0 <= self.repeat_action_probability < 1:
            raise ValueError(
                f"repeat_action_probability: expected a number in [0, 1), got {self.repeat_action_probability}"
            )
        if self.repeat_action_probability and not self.in_dream:
            raise ValueError("repeat_action_probability: expected 0 in the real game, whose actions are its own")

    @property
    def in_dream(self) -> bool:
        """Whether the agent learns in a dream."""
        return self.env in DREAMS


LATER = {"repeat_action_probability": 0.0}
"""Settings that older runs do not name, and what they had."""
NOT_PART_OF_THE_RUN = ("out", "steps", "eval_every", "eval_steps", "real_games", "device", "compile")
"""Settings that may differ when a run goes on."""


def train(config: TrainAgentConfig) -> Path:
    """Train, or go on training, and return the folder of the policy chosen.

    Raises:
        ValueError: if world, environment or run do not fit, or a setting is not as expected.
        ImportError: if the real game is asked for and not installed.
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP, after a checkpoint was written.
    """
    config = dataclasses.replace(config, world=_world_of(config))
    world = _open_world(config)
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in NOT_PART_OF_THE_RUN}
    settings = {k: v for k, v in settings.items() if k not in LATER or v != LATER[k]}
    spec = make_policy_spec(world.config, _obs_type(config), config.action_type, config.frame_stack)
    policy = policy_config(world.config, config.world, config.algo, config.policy, spec)
    trained = {"env": config.env, "steps": config.steps, "seed": config.seed}
    policy = dataclasses.replace(policy, trained=trained, temperature=config.temperature)
    stop = StopRequest()
    with hold_folder(config.out), on_stop_signal(stop.ask):
        folder = RunFolder(config.out, {k: str(v) if isinstance(v, Path) else v for k, v in settings.items()})
        venv = _learning_env(config, world, spec)
        learner = make_learner(config, venv, world)
        folder.load_checkpoint(learner)
        try:
            _learn(config, folder, learner, policy, _evaluators(config, world, spec), stop)
        except Interrupted:
            folder.save_checkpoint(learner)
            raise
        finally:
            venv.close()
        return publish_policy(folder.folder)


def _learn(
    config: TrainAgentConfig,
    folder: RunFolder,
    learner: BaseAlgorithm,
    policy: PolicyConfig,
    evaluators: tuple[Evaluator, Evaluator | None],
    stop: StopRequest,
) -> None:
    if learner.num_timesteps >= config.steps:
        return
    learner.set_logger(configure(str(folder.folder / "tensorboard"), ["tensorboard"]))
    callback = EvalCheckpointCallback(folder, policy, config.steps, config.eval_every, *evaluators, stop)
    learner.learn(config.steps - learner.num_timesteps, callback=callback, reset_num_timesteps=False)


def make_learner(config: TrainAgentConfig, venv: VecEnv, world: World) -> BaseAlgorithm:
    """The algorithm, untrained."""
    common: dict[str, Any] = {
        "learning_rate": lambda left: config.learning_rate * max(left, 0.01),
        "gamma": config.gamma,
        "policy_kwargs": policy_settings(config.policy, world.config.tokenizer.num_tokens),
        "seed": config.seed,
        "device": config.device,
    }
    on_policy = {"n_steps": config.n_steps, "gae_lambda": config.gae_lambda, "ent_coef": config.ent_coef}
    own: dict[str, dict[str, Any]] = {
        "ppo": {
            **on_policy,
            "batch_size": config.batch_size,
            "n_epochs": config.n_epochs,
            "clip_range": config.clip_range,
        },
        "a2c": on_policy,
        # One gradient step for every four transitions, as in Mnih et al. 2015.
        "dqn": {
            "batch_size": config.batch_size,
            "buffer_size": 50_000,
            "learning_starts": min(10_000, config.steps // 10),
            "train_freq": 1,
            "gradient_steps": max(1, config.n_envs // 4),
            "target_update_interval": 10_000,
        },
    }
    learner = ALGORITHMS[config.algo]("CnnPolicy", venv, **common, **own[config.algo])
    for module in learner.policy.modules():
        if isinstance(module, TokenNet):
            module.init_from_descriptors(world.tokenizer.descriptors())
    return learner


def _world_of(config: TrainAgentConfig) -> str:
    """The world that is meant where none is named."""
    own = BUNDLED.get(config.env)
    if own is not None and config.world not in ("", own):
        raise ValueError(f"{config.env} is a bundled world; with --world {config.world} use --env {ANY}")
    games = {read_config(name).source.env_id: name for name in bundled_worlds()}
    found = config.world or own or games.get(config.env)
    if not found:
        raise ValueError(f"world: expected --world with --env {config.env}, which is no bundled world or its game")
    return str(pin_world(found))


def _open_world(config: TrainAgentConfig) -> World:
    world = load_world(config.world, config.device)
    if not config.in_dream and config.env != world.config.source.env_id:
        raise ValueError(
            f"env: expected one of {list(DREAMS)} or the world's own game {world.config.source.env_id!r}, "
            f"got {config.env!r}"
        )
    return world


def _obs_type(config: TrainAgentConfig) -> str:
    return "tokens" if config.policy == "tokens" else "grayscale"


def _learning_env(config: TrainAgentConfig, world: World, spec: PolicySpec) -> VecEnv:
    if not config.in_dream:
        return VecMonitor(make_real_games(world, spec, config.n_envs))
    starts = None
    if config.starts is not None:
        starts = recorded_starts(world, config.starts, config.num_starts, seed=config.seed)
    most = math.inf
    if config.entropy_percentile is not None:
        most = usual_entropy(world, starts or world.starts, config.entropy_percentile)
    return VecMonitor(
        make_dreams(
            config.world,
            spec,
            config.n_envs,
            horizon=config.horizon,
            starts=starts,
            max_entropy=most,
            temperature=config.temperature,
            repeat_action_probability=config.repeat_action_probability,
            device=config.device,
            compile=config.compile,
        )
    )


def _evaluators(config: TrainAgentConfig, world: World, spec: PolicySpec) -> tuple[Evaluator, Evaluator | None]:
    """Play in dreams that the agent does not learn in, and, where asked for, in the real game."""
    where = config.eval_world or config.world
    dream = dream_evaluator(where, spec, config.starts, config.eval_steps, device=config.device)
    if not config.real_games:
        return dream, None
    try:
        games = make_real_games(world, spec, min(config.real_games, 4))
    except ImportError as error:
        raise ImportError(f"{error}; or score in dreams alone with --real-games 0") from error
    return dream, partial(evaluate_learner, games, games=config.real_games)


def main(config: TrainAgentConfig) -> None:
    """Command line."""
    # Rows times steps need not be a multiple of the batch; the last batch is then smaller, which does no harm.
    warnings.filterwarnings("ignore", message=".*mini-batch size.*")
    folder = train(config)
    print((config.out / REPORT).read_text(encoding="utf-8"))
    print(f"policy: {folder}")


if __name__ == "__main__":
    raise SystemExit(run(main, TrainAgentConfig, description=__doc__))
