"""What is pushed comes back as it was; a push that fails changes nothing."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from PIL import Image

from agents.push_policy import PushPolicyConfig, push_policy
from agents.sb3.policy_io import build_policy, load_policy, save_policy
from genie_env.bundle import find_world, load_world, read_config
from genie_env.cli import main
from genie_env.files.errors import FileError
from genie_env.files.tensors import weights_of
from genie_env.hub.address import HubError, parse_address
from genie_env.measurement import WORLD, Measurement, Metric, stored_measurements
from genie_env.model_card import set_measurements
from genie_env.policies.config import TENSORS, own_folder, policy_config
from genie_env.policies.spec import make_policy_spec
from genie_env.publish import hub_card
from tests.helpers.hub_server import Answer, HubServer
from tests.helpers.worlds import fingerprint

# The library's own way of sending large files.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")


@pytest.fixture
def policy(random_world: Path, tmp_path: Path) -> Path:
    config = read_config(random_world)
    spec = make_policy_spec(config, "tokens", "real")
    about = policy_config(config, str(random_world), "ppo", "tokens", spec)
    save_policy(tmp_path / "policy", build_policy(about), about)
    return tmp_path / "policy"


def test_a_pushed_world_dreams_what_it_dreamed(server: HubServer, random_world: Path) -> None:
    address = load_world(random_world, "cpu").push_to_hub("me/noise", license="mit")
    assert parse_address(address).is_commit and fingerprint(address) == fingerprint(random_world)
    for path in random_world.glob("*.safetensors"):
        assert server.files("me/noise")[path.name] == path.read_bytes()


def test_a_second_push_is_a_second_commit_and_the_first_one_stays(server: HubServer, random_world: Path) -> None:
    world = load_world(random_world, "cpu")
    first, second = (world.push_to_hub("me/noise", message=text) for text in ("one", "two"))
    assert fingerprint(first) == fingerprint("hf://me/noise") == fingerprint(second)


def test_the_card_has_the_measured_values_in_the_hubs_own_format(random_world: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(random_world, tmp_path / "world")
    found = [
        Measurement.of(Metric.PSNR, 40.5, experiment="tokenizer"),
        Measurement.of(Metric.CHANGED_TOKEN_ACCURACY, 0.9, experiment="dream", horizon=20),
        Measurement.of(Metric.PSNR, 12.0, experiment="dream", source="copying"),
    ]
    set_measurements(folder, found)
    world = load_world(folder, "cpu")
    data = ModelCard(hub_card(world, "me/noise", "mit")).data
    assert data.library_name == "genie-env" and data.license == "mit" and "world-model" in data.tags
    assert [(one.metric_type, one.metric_value, one.metric_name) for one in data.eval_results or []] == [
        ("psnr", 40.5, "tokenizer: PSNR, dB"),
        ("changed_token_accuracy", 0.9, "dream: changed-token accuracy, h = 20"),
    ]
    assert {one.dataset_name for one in data.eval_results or []} == {world.config.source.env_id}


def test_bundled_worlds_have_a_card_with_all_their_values() -> None:
    world = load_world("pong", "cpu")
    kept = [one for one in stored_measurements(world.config.metrics) if one.source == WORLD]
    assert len(ModelCard(hub_card(world, "me/pong")).data.eval_results or []) == len(kept)


def test_the_card_shows_an_animation_that_is_in_the_repository(server: HubServer, random_world: Path) -> None:
    load_world(random_world, "cpu").push_to_hub("me/noise")
    files = server.files("me/noise")
    assert b"](dream.gif)" in files["README.md"]
    with Image.open(io.BytesIO(files["dream.gif"])) as picture:
        assert getattr(picture, "n_frames", 1) > 1


@pytest.mark.parametrize("where", ["/api/repos/create", "/preupload/", "/info/lfs/", "/commit/", "/uploads/"])
@pytest.mark.parametrize("answer", [Answer(403), Answer(200, {}, b"{}"), Answer(200, {}, b"<html>")])
def test_a_refused_push_is_one_error_and_no_commit(
    server: HubServer, random_world: Path, where: str, answer: Answer
) -> None:
    if where == "/uploads/" and answer.status == 200:
        pytest.skip("an upload needs no content in its answer")
    before = server.commit("me/noise", {"README.md": b"mine"})
    server.tamper = lambda path, usual: answer if where in path else usual
    if where == "/commit/":
        # The refusal comes before anything is stored.
        server._commit = lambda repo, branch, body: answer  # type: ignore[method-assign]
    try:
        load_world(random_world, "cpu").push_to_hub("me/noise")
    except ValueError:
        assert server.branches["me/noise"] == {"main": before}
    else:
        assert where == "/api/repos/create", "the repository was there already"


def test_a_push_without_a_network_says_so(server: HubServer, random_world: Path) -> None:
    server.down = True
    with pytest.raises(HubError, match=r"^hf://me/noise"):
        load_world(random_world, "cpu").push_to_hub("me/noise")


def test_commands_push_and_pull_a_world(
    server: HubServer, random_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(random_world), "me/noise", "--private"]) == 0
    address = capsys.readouterr().out.strip()
    assert main(["pull", "hf://me/noise", "--out", str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out.startswith(address)
    assert fingerprint(tmp_path / "mine") == fingerprint(random_world)
    assert main(["pull", "hf://me/noise", "--out", str(tmp_path / "mine")]) == 2, "nothing is overwritten"
    assert main(["pull", "me/nothing"]) == 2 and "hf://me/nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["rollout", "--steps", "3", "--world"], ["info", "--world"], ["export"]], ids=lambda words: words[0]
)
def test_commands_take_a_world_of_the_hub(
    published: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*command, "hf://somebody/noise"]) == 0
    assert {path.name for path in find_world("hf://somebody/noise").iterdir()} >= {"config.json"}


def test_a_pushed_policy_comes_back_and_plays_alike(server: HubServer, policy: Path) -> None:
    address = push_policy(PushPolicyConfig(policy, "me/player"))
    loaded, about = load_policy(str(address))
    original, about_original = load_policy(policy)
    assert about == about_original
    assert all((weights_of(loaded)[name] == value).all() for name, value in weights_of(original).items())
    assert load_policy(Path(str(address)))[1] == about, "as commands pass it"
    assert ModelCard(server.files("me/player")["README.md"].decode()).data.library_name == "genie-env"
    with pytest.raises(ValueError, match="out: expected a folder"):
        own_folder(Path(str(address)))


def test_a_policy_is_refused_where_a_world_is_expected_and_the_other_way(
    published: HubServer, policy: Path, tmp_path: Path
) -> None:
    push_policy(PushPolicyConfig(policy, "me/player"))
    with pytest.raises(HubError, match="is no world"):
        find_world("hf://me/player")
    with pytest.raises(HubError, match="is no policy"):
        load_policy("hf://somebody/noise")


def test_a_damaged_policy_is_not_pushed(server: HubServer, policy: Path) -> None:
    (policy / TENSORS).write_bytes(b"damaged")
    with pytest.raises(FileError):
        push_policy(PushPolicyConfig(policy, "me/player"))
    assert server.requests == []
