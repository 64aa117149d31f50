"""What is in the cache is whole and what was asked for, whatever the Hub sends and whenever it fails."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from huggingface_hub import constants, get_session, hf_hub_download, scan_cache_dir, snapshot_download

from agents.real_env import make_real_env
from agents.train_ppo import TrainAgentConfig, _world_of
from genie_env.bundle import find_own_world, find_world, load_world, open_bundle, pin_world
from genie_env.hub.address import HubError
from genie_env.hub.client import HubUnreachableError
from tests.genie_env.hub.conftest import REPO
from tests.helpers.hub_server import Answer, HubServer
from tests.helpers.worlds import fingerprint

HF = f"hf://{REPO}"
BUNDLE = {"config.json", "README.md", "starts.safetensors"} | {
    f"{network}.safetensors" for network in ("tokenizer", "latent_action", "dynamics", "outcome")
}


def cached_files(cache: Path) -> set[str]:
    """Names of all files in the cache but references and locks."""
    files = [path for path in cache.rglob("*") if path.is_file() and "refs" not in path.parts]
    return {path.name for path in files if path.suffix != ".lock"}


def tampered(server: HubServer, where: str, change: Callable[[Answer], Answer]) -> None:
    server.tamper = lambda path, answer: change(answer) if where in path else answer


def test_a_world_of_the_hub_dreams_what_its_bundle_dreams(published: HubServer, random_world: Path) -> None:
    assert fingerprint(HF) == fingerprint(random_world)


def test_only_the_files_of_a_bundle_are_asked_for_and_kept(published: HubServer, cache: Path) -> None:
    find_world(HF)
    assert cached_files(cache) == BUNDLE
    asked = {request.split("/resolve/")[1].split("/", 1)[1] for request in published.requests if "/resolve/" in request}
    assert asked == BUNDLE


def test_a_commit_is_read_once_and_then_without_any_request(published: HubServer) -> None:
    pinned = pin_world(HF)
    published.requests.clear()
    env = gym.make("Genie/World-v0", world=pinned)
    env.reset(seed=0)
    load_world(pinned, "cpu")
    assert published.requests == []


def test_an_environment_keeps_its_commit_when_the_branch_moves_on(published: HubServer, random_world: Path) -> None:
    env = gym.make("Genie/World-v0", world=HF)
    published.commit(REPO, {"README.md": b"gone"})
    env.reset(seed=0)
    assert env.spec is not None and env.spec.kwargs["world"] == HF


def test_a_branch_follows_its_commits_and_an_old_commit_stays(published: HubServer, random_world: Path) -> None:
    old = pin_world(HF)
    files = {path.name: path.read_bytes() for path in random_world.iterdir() if path.is_file()}
    new = published.commit(REPO, {**files, "README.md": b"# Second\n"})
    assert (find_world(HF) / "README.md").read_bytes() == b"# Second\n" and str(pin_world(HF)).endswith(new)
    assert (find_world(old) / "README.md").read_bytes() == files["README.md"]


@pytest.mark.parametrize("offline", ["down", "variable", "gone"])
def test_what_was_read_once_opens_without_a_network(
    published: HubServer, monkeypatch: pytest.MonkeyPatch, offline: str
) -> None:
    before = find_world(HF)
    if offline == "variable":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif offline == "gone":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    published.down = offline == "down"
    assert find_world(HF) == before
    with pytest.raises(HubUnreachableError, match=r"nobody/else.*not in the cache"):
        find_world("hf://nobody/else")


def test_environment_variables_of_the_hub_choose_server_cache_and_offline_mode(
    published: HubServer, tmp_path: Path
) -> None:
    code = (
        f"import gymnasium as gym, genie_env; gym.make('Genie/World-v0', world='{HF}').reset(seed=0); print('dreams')"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": published.url}
    env.pop("HF_HUB_CACHE", None)
    for more in ({}, {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}):
        done = subprocess.run([sys.executable, "-c", code], env=env | more, capture_output=True, text=True, check=False)
        assert done.stdout == "dreams\n", done.stderr
    assert cached_files(tmp_path / "home" / "hub") == BUNDLE


def test_the_hubs_own_library_finds_our_downloads_and_we_find_its(published: HubServer, cache: Path) -> None:
    commit = str(pin_world(HF)).split("@")[1]
    published.requests.clear()
    path = hf_hub_download(REPO, "dynamics.safetensors", revision=commit)
    assert Path(path) == find_world(f"{HF}@{commit}") / "dynamics.safetensors" and published.requests == []
    (repository,) = scan_cache_dir(cache).repos
    assert repository.repo_id == REPO and {one.commit_hash for one in repository.revisions} == {commit}
    shutil.rmtree(cache)
    theirs = snapshot_download(REPO, allow_patterns=["*.safetensors", "*.json", "README.md"])
    published.requests.clear()
    assert find_world(f"{HF}@{commit}") == Path(theirs) and published.requests == []


def test_a_download_that_another_program_left_half_done_is_completed(published: HubServer, cache: Path) -> None:
    commit = str(pin_world(HF)).split("@")[1]
    folder = find_world(HF)
    (folder / "dynamics.safetensors").unlink()
    (folder / "starts.safetensors").write_bytes(b"half")
    (folder.with_name(f"{commit}.partial")).mkdir()
    load_world(HF, "cpu")
    assert cached_files(cache) == BUNDLE and not list(folder.parent.glob("*.partial"))


def cut(answer: Answer) -> Answer:
    return dataclasses.replace(answer, body=answer.body[:-100], length=len(answer.body))


def short(answer: Answer) -> Answer:
    return dataclasses.replace(answer, body=answer.body[:-100])


def longer(answer: Answer) -> Answer:
    return dataclasses.replace(answer, body=answer.body + b"\0" * 2**20)


def other(answer: Answer) -> Answer:
    return dataclasses.replace(answer, body=b"\x80" + answer.body[1:])


def zipped(answer: Answer) -> Answer:
    bomb = gzip.compress(b"\0" * 2**26)
    return Answer(200, {**answer.headers, "Content-Encoding": "gzip"}, bomb)


@pytest.mark.parametrize("name", ["config.json", "/uploads/", "README.md"])
@pytest.mark.parametrize("change", [cut, short, longer, other, zipped])
def test_files_that_are_not_as_listed_leave_the_cache_as_it_was(
    published: HubServer, cache: Path, name: str, change: Callable[[Answer], Answer]
) -> None:
    tampered(published, name, change)
    for world in (HF, f"{HF}@{published.branches[REPO]['main']}"):
        with pytest.raises(HubError, match=f"^{HF}") as error:
            load_world(world, "cpu")
        assert "\n" not in str(error.value)
        assert cached_files(cache) == set()
    published.tamper = lambda path, answer: answer
    load_world(HF, "cpu")
    assert cached_files(cache) == BUNDLE


def listed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Answer], Answer]:
    """A change of the listing."""

    def apply(answer: Answer) -> Answer:
        content = json.loads(answer.body)
        return dataclasses.replace(answer, body=json.dumps(change(content) or content).encode())

    return apply


def sizes(size: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for file in content["siblings"]:
            file["size"] = size
            file.pop("lfs", None)

    return change


HOSTILE_LISTINGS: dict[str, Callable[[Answer], Answer]] = {
    "no_json": lambda answer: Answer(200, {}, b"<html>"),
    "a_list": lambda answer: Answer(200, {}, b"[]"),
    "deep": lambda answer: Answer(200, {}, b"[" * 100_000),
    "endless": lambda answer: Answer(200, {}, b" " * 2**23),
    "no_files": listed(lambda content: content.pop("siblings") and None),
    "no_commit": listed(lambda content: content.update(sha="../../../evil")),
    "numbers_for_names": listed(lambda content: content.update(siblings=[{"rfilename": 3}])),
    "huge": listed(sizes(2**62)),
    "large_config": listed(sizes(2**30)),
    "negative": listed(sizes(-1)),
    "no_size": listed(sizes(None)),
    "size_of_text": listed(sizes("12")),
    "small": listed(sizes(3)),
    "climbing": listed(lambda c: [f.update(rfilename="../../" + f["rfilename"]) for f in c["siblings"]] and None),
    "absolute": listed(lambda c: [f.update(rfilename="/tmp/" + f["rfilename"]) for f in c["siblings"]] and None),
}


@pytest.mark.parametrize("kind", HOSTILE_LISTINGS)
def test_hostile_listings_are_one_line_and_write_nothing(published: HubServer, cache: Path, kind: str) -> None:
    tampered(published, "/api/models/", HOSTILE_LISTINGS[kind])
    with pytest.raises(HubError, match=f"^{HF}") as error:
        find_world(HF)
    assert "\n" not in str(error.value)
    assert cached_files(cache) == set()
    assert not [request for request in published.requests if "/uploads/" in request], "nothing large was asked for"


def test_a_commit_that_answers_as_another_one_is_refused(published: HubServer) -> None:
    commit = published.branches[REPO]["main"]
    tampered(published, "/api/models/", listed(lambda content: content.update(sha="1" * 40)))
    with pytest.raises(HubError, match="another commit"):
        find_world(f"{HF}@{commit}")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("config.json", None, "expected the file 'config.json'"),
        ("dynamics.safetensors", None, "expected the file 'dynamics.safetensors'"),
        ("config.json", b"{}", "format_version"),
        ("config.json", b"\xff", "config.json"),
        ("dynamics.safetensors", b"other weights", "sha256"),
        ("dynamics.safetensors", pickle.dumps(print), "sha256"),
    ],
)
def test_a_repository_that_is_no_world_says_why_and_leaves_nothing(
    published: HubServer, cache: Path, name: str, content: bytes | None, problem: str
) -> None:
    files = dict(published.files(REPO))
    files.pop(name)
    published.commit(REPO, files if content is None else {**files, name: content})
    with pytest.raises(HubError, match=problem):
        find_world(HF)
    assert cached_files(cache) == set()


def test_weights_that_fit_their_checksum_but_not_the_world_are_refused_by_the_loader(published: HubServer) -> None:
    files = dict(published.files(REPO))
    config = json.loads(files["config.json"])
    config["sha256"]["outcome.safetensors"] = config["sha256"]["dynamics.safetensors"]
    changed = {"config.json": json.dumps(config).encode(), "outcome.safetensors": files["dynamics.safetensors"]}
    published.commit(REPO, {**files, **changed})
    with pytest.raises(ValueError, match=r"outcome\.safetensors"):
        load_world(HF, "cpu")


@pytest.mark.parametrize(
    ("world", "problem"),
    [(f"{HF}@no-such-branch", "no revision 'no-such-branch'"), ("hf://nobody/nothing", "is not there, or you may not")],
)
def test_unknown_revisions_and_repositories_are_named(
    published: HubServer, cache: Path, world: str, problem: str
) -> None:
    find_world(HF)
    with pytest.raises(HubError, match=problem):
        find_world(world)
    assert cached_files(cache) == BUNDLE


def test_a_file_that_vanishes_between_listing_and_download_is_named(published: HubServer, cache: Path) -> None:
    tampered(published, "outcome.safetensors", lambda answer: Answer(404, {"X-Error-Code": "EntryNotFound"}))
    with pytest.raises(HubError, match="not there"):
        find_world(HF)
    assert cached_files(cache) == set()


def test_the_token_is_sent_to_the_hub_and_not_to_the_host_that_keeps_large_files(
    published: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str | None] = {}
    session = get_session()
    send = session._send_single_request

    def note(request: Any) -> Any:
        seen[request.url.host] = request.headers.get("authorization")
        return send(request)

    monkeypatch.setattr(session, "_send_single_request", note)
    find_world(HF)
    assert seen == {"127.0.0.1": "Bearer hf_of_a_test", "localhost": None}


@pytest.mark.parametrize(
    "location", ["/uploads/loop", "file:///etc/passwd", "http://[bad", "http://127.0.0.1:9/x", "\x00", ""]
)
def test_redirects_that_lead_nowhere_are_one_line(published: HubServer, cache: Path, location: str) -> None:
    def redirect(path: str, answer: Answer) -> Answer:
        away = path.startswith("/uploads/loop") or answer.status == 302
        return Answer(302, {**answer.headers, "Location": location.replace("\x00", "%00")}) if away else answer

    published.tamper = redirect
    with pytest.raises(HubError, match=f"^{HF}") as error:
        find_world(HF)
    assert "\n" not in str(error.value) and cached_files(cache) == set()


@pytest.mark.parametrize("endpoint", ["no address", "ftp://example.org", "http://[bad", ""])
def test_a_wrong_endpoint_is_one_line(server: HubServer, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    with pytest.raises(HubError, match=f"^{HF}") as error:
        find_world(HF)
    assert "\n" not in str(error.value)


def test_a_commit_that_many_open_at_once_is_downloaded_once(published: HubServer) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(find_world, [HF] * 8))
    asked = [request for request in published.requests if "/resolve/" in request]
    assert len(set(folders)) == 1 and len(asked) == len(set(asked)) == len(BUNDLE)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"genie-env\[hub\]"):
        find_world(HF)


def test_agents_remember_the_commit_that_they_learned_in(published: HubServer, random_world: Path) -> None:
    config = TrainAgentConfig(env="Genie/World-v0", world=HF)
    assert _world_of(config) == pin_world(HF) != HF
    assert make_real_env(HF).observation_space == make_real_env(random_world).observation_space


def test_a_world_of_the_hub_is_not_written_to(published: HubServer) -> None:
    with pytest.raises(ValueError, match=r"genie-env pull .* --out FOLDER"):
        find_own_world(HF)


def test_a_damaged_file_in_the_cache_is_downloaded_again(published: HubServer) -> None:
    folder = find_world(HF)
    for damage in (b"", b"\0" * 100):
        (folder / "tokenizer.safetensors").write_bytes(damage)
        load_world(HF, "cpu")
    assert open_bundle(HF).folder == folder
