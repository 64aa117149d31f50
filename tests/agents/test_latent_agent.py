"""An agent of a world made from pictures alone: latent actions in the dream, a map of 200 labels into the real game."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from agents import fit_action_map
from agents.fit_action_map import FitActionMapConfig
from agents.sb3.make_envs import make_real_games
from agents.sb3.policy_io import load_policy
from agents.ship_policy import ShipPolicyConfig, ship_policy
from agents.train_ppo import TrainAgentConfig, train
from agents.transfer import TransferConfig, transfer
from genie_env.bundle import load_world, read_config
from genie_env.bundled_policy import policy_of
from genie_env.games.source_game import SourceGame
from genie_env.play.commands import Play, _make
from genie_env.play.watching import find_watchable
from tests.helpers.worlds import NUM_ACTIONS, make_random_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world without a map, which then gets one from 200 labelled transitions of the real game."""
    folder = make_random_world(tmp_path_factory.mktemp("latent") / "world", action_map=None)
    with pytest.raises(ValueError, match="has no action map"):
        train(TrainAgentConfig(env="Genie/World-v0", world=str(folder), action_type="latent", out=folder.parent / "no"))
    fit_action_map.main(FitActionMapConfig(str(folder), labels=200, held_out=20, write=True))
    return folder


@pytest.fixture(scope="module")
def policy(small: TrainAgentConfig, world: Path) -> Path:
    out = world.parent / "ppo"
    train(dataclasses.replace(small, world=str(world), out=out, action_type="latent"))
    return out / "policy"


def test_the_map_rests_on_200_labels(world: Path) -> None:
    mapped = read_config(str(world)).action_map
    assert mapped is not None and mapped.num_labels == 200 and len(mapped.latent_to_real) == NUM_ACTIONS


def test_it_learns_latent_actions_and_plays_the_real_game_through_the_map(
    world: Path, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, about = load_policy(policy)
    mapped = read_config(str(world)).action_map
    assert mapped is not None
    assert about.spec.action_type == "latent" and about.spec.real_actions == mapped.latent_to_real
    played: list[int] = []
    step = SourceGame.step

    def noted(self: SourceGame, action: int):
        played.append(int(action))
        return step(self, action)

    monkeypatch.setattr(SourceGame, "step", noted)
    games = make_real_games(load_world(world, "cpu"), about.spec, 1, random_starts=False)
    games.seed(0)
    obs = games.reset()
    chosen = []
    for _ in range(12):
        action = learned.predict(obs, deterministic=False)[0]
        chosen.append(int(action[0]))
        obs = games.step(action)[0]
    games.close()
    if not mapped.latent_to_real_after:
        assert played == [mapped.latent_to_real[code] for code in chosen]
    assert set(played) <= {*mapped.latent_to_real, *np.ravel(mapped.latent_to_real_after).astype(int)}
    found = transfer(
        TransferConfig(policy, episodes=2, out=tmp_path, dream_steps=5, gif_steps=0, scripted=False, device="cpu")
    )
    assert {one.where for one in found} == {"real game", "dream"}
    assert all(len(one.scores.games) == 2 for one in found if one.where == "real game")


def test_it_is_shipped_with_its_world_and_watched_in_latent_actions(world: Path, policy: Path) -> None:
    ship_policy(ShipPolicyConfig(policy, str(world)))
    shipped = policy_of(world)
    assert shipped is not None and shipped.config.spec.action_type == "latent"
    args = Play(world=str(world))
    watched = find_watchable(args.world, (), args.environment)
    assert watched.actions == tuple(range(NUM_ACTIONS))
    env = _make(args.world, args.environment, watched)
    assert env.action_space.n == NUM_ACTIONS and env.unwrapped.options.action_type == "latent"  # type: ignore[attr-defined]
    env.close()
