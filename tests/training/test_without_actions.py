"""A world of pictures alone invents nothing, from the recording through training to play, page and report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from genie_env.bundle import load_world, open_bundle
from genie_env.config import SourceConfig
from genie_env.data.checks import actions_problem, outcomes_problem
from genie_env.data.episodes import EpisodeWriter
from genie_env.describe import describe
from genie_env.model_card import model_card
from genie_env.web.site import weights
from tests.helpers.tiny_game import ENV_ID
from tests.helpers.worlds import NUM_ACTIONS, TINY_RECIPE, random_config
from training.data.tokenize_episodes import TokenizeConfig, tokenize
from training.evaluate import EvaluateConfig, evaluate
from training.record import RecordConfig, record
from training.sources.reader import unlabelled
from training.train import make_world

UNKNOWN = SourceConfig(image_size=64, fps=30.0, has_actions=False, has_outcomes=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of a recording of the tiny game, and nothing else."""
    folder = tmp_path_factory.mktemp("unlabelled") / "data"
    kwargs = TINY_RECIPE.env_kwargs
    store = record(RecordConfig(folder.parent / "played", ENV_ID, 1200, env_kwargs=kwargs, workers=1))
    writer = EpisodeWriter(folder, UNKNOWN)
    writer.write_shard(0, [unlabelled(np.array(store.array("frames", entry))) for entry in store.manifest.episodes])
    writer.finish(1)
    return folder


@pytest.fixture(scope="module")
def bundle(data: Path) -> Path:
    short, root = dataclasses.replace, data.parent
    recipe = short(
        TINY_RECIPE,
        env="",
        label_fraction=0.0,
        has_outcomes=False,
        latent_action_training={"naming_updates": 20},
        latent_action_loop=short(TINY_RECIPE.latent_action_loop, n_updates=40),
        dynamics_loop=short(TINY_RECIPE.dynamics_loop, n_updates=30),
    )
    make_world(recipe, data, root / "run", root / "bundle")
    assert not (root / "run" / "outcome").exists()
    return root / "bundle"


def test_nothing_is_invented_in_the_bundle(bundle: Path) -> None:
    world = load_world(bundle, "cpu")
    config = world.config
    assert config.networks == ("tokenizer", "latent_action", "dynamics")
    assert not (bundle / "outcome.safetensors").exists()
    assert config.outcome is None and config.action_map is None and config.source == UNKNOWN
    card, facts = model_card(world), str(list(describe(world)))
    assert "Not known: which actions were played" in card and "outcome head" not in card and "real action" not in facts


def test_it_is_played_with_latent_actions_earns_nothing_and_goes_on(bundle: Path) -> None:
    env = gym.make("Genie/World-v0", world=str(bundle))
    assert env.action_space == gym.spaces.Discrete(NUM_ACTIONS)
    env.reset(seed=0)
    for step in range(60):
        _, reward, terminated, _, info = env.step(step % NUM_ACTIONS)
        assert reward == 0.0 and isinstance(reward, float) and terminated is False and "action" in info
    with pytest.raises(ValueError, match="action map"):
        gym.make("Genie/World-v0", world=str(bundle), action_type="real")
    envs = gym.make_vec("Genie/World-v0", num_envs=3, world=str(bundle))
    envs.reset(seed=0)
    _, rewards, terminated, _, _ = envs.step(np.array([0, 1, 2]))
    assert rewards.tolist() == [0, 0, 0] and not terminated.any()


def test_its_graph_dreams_the_same_and_needs_no_outcome_head(bundle: Path) -> None:
    options = {"world": str(bundle), "obs_type": "tokens", "temperature": 0.0}
    envs = [gym.make("Genie/World-v0", runtime=runtime, **options) for runtime in ("torch", "onnx")]
    first, second = (env.reset(seed=3)[0] for env in envs)
    assert (first == second).all()
    for step in range(12):
        ours, theirs = (env.step(step % NUM_ACTIONS) for env in envs)
        assert (ours[0] == theirs[0]).mean() > 0.97 and ours[1:3] == theirs[1:3] == (0.0, False)
    assert weights(open_bundle(bundle).config)["step.onnx"] == ["dynamics.safetensors"]


def test_it_is_measured_without_figures_that_need_what_is_not_known(bundle: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    found = {one.metric for one in evaluate(EvaluateConfig(str(bundle), data, out=out, quick=True, sweeps=False))}
    assert {"changed_token_accuracy", "foreground_psnr", "decoder_delta_psnr"} <= found
    assert not {"hungarian_accuracy", "nmi", "reward_f1", "termination_f1", "effect_recall"} & found


def test_recorded_actions_cannot_be_asked_of_it(data: Path, bundle: Path, tmp_path: Path) -> None:
    tokenizer = bundle.parent / "run" / "tokenizer"
    with pytest.raises(ValueError, match="has no recorded actions"):
        tokenize(TokenizeConfig(data, tmp_path / "tokens", tokenizer, recorded_actions=True))
    with pytest.raises(ValueError, match="expected none without actions"):
        dataclasses.replace(UNKNOWN, action_meanings=("NOOP",), effects=(0,))
    with pytest.raises(ValueError, match="none where it is false"):
        random_config(source=UNKNOWN, action_map=None)


def test_a_recording_that_says_it_knows_nothing_holds_nothing(data: Path, tmp_path: Path) -> None:
    assert actions_problem(np.array([-1, -1]), UNKNOWN) == "" and actions_problem(np.array([-1, 2]), UNKNOWN)
    assert outcomes_problem(np.zeros(2), False, UNKNOWN) == "" and outcomes_problem(np.ones(2), False, UNKNOWN)
    assert outcomes_problem(np.zeros(2), True, UNKNOWN)
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    writer = EpisodeWriter(tmp_path / "data", UNKNOWN)
    with pytest.raises(ValueError, match="no action is known"):
        writer.write_shard(0, [dataclasses.replace(unlabelled(frames), actions_T=np.zeros(3, int))])
    with pytest.raises(ValueError, match="expected rewards of 0"):
        writer.write_shard(0, [dataclasses.replace(unlabelled(frames), rewards_T=np.ones(3))])
