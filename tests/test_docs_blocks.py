"""Every block of code in README and documents is run or parsed, or says beside it why no test does so.

The Python blocks of a document are one program, run in an empty folder; a line before a block,
``<!-- not run: REASON -->``, leaves it out. The lines of shell blocks go through the real commands' own parsers.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import sys
import tomllib
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tyro

import genie_env
import genie_env.cli
from tests.helpers.hub_server import listen, serving
from tests.helpers.paths import ROOT
from tests.helpers.worlds import ensemble_config, make_random_world
from tests.test_docs import DOCUMENTS, name_of
from training.recipes import find_recipe

LANGUAGES = {"python", "sh", "toml", "text"}
"""Languages of blocks. ``text`` is what a person reads: drawings, trees and what a command prints."""
NOT_RUN: list[tuple[str, str]] = []
"""Document and reason of every block that is left out; one more is one to think about."""
OTHERS = {"apt-get", "cd", "git", "hf", "npm", "tensorboard"}
"""Programs of others, whose flags are not ours to check."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


class Block(NamedTuple):
    """A fenced block of a document."""

    document: Path
    line: int
    language: str
    code: str
    reason: str
    """Why it is not run; empty if it is."""

    def __str__(self) -> str:
        return f"{name_of(self.document)}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    text = path.read_text()
    assert text.count("\n```") % 2 == 0, f"{path}: a block does not end"
    found = re.finditer(r"^(?:<!-- not run: (.+?) -->\n)?```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(path, text[: m.start(2)].count("\n") + 1, m[2], m[3], m[1] or "") for m in found]


BLOCKS = [block for path in DOCUMENTS for block in blocks_of(path)]
PROGRAMS = sorted({block.document for block in BLOCKS if block.language == "python" and not block.reason})
COMMANDS = [block for block in BLOCKS if block.language == "sh" and not block.reason]


def test_every_block_has_a_language_and_those_that_are_not_run_say_why() -> None:
    assert not [str(block) for block in BLOCKS if block.language not in LANGUAGES]
    assert sorted((name_of(block.document), block.reason) for block in BLOCKS if block.reason) == NOT_RUN
    # Nothing is lost between the fences of the documents and the blocks that were found.
    assert sum(path.read_text().count("\n```") for path in DOCUMENTS) == 2 * len(BLOCKS) > 50


@dataclass
class Stage:
    """What a document's program finds when it runs."""

    world: Path
    """A world of random weights."""
    patch: pytest.MonkeyPatch
    exits: ExitStack
    names: dict[str, Any] = field(default_factory=dict)
    """What a block uses and another place of the document explains."""
    addresses: dict[str, str] = field(default_factory=dict)
    """Addresses of the document, and those of the stand-ins that answer."""


def _readme(stage: Stage) -> None:
    shutil.copytree(stage.world, "worlds/my_game")
    hub = stage.exits.enter_context(serving())
    hub.commit("user/repo", {p.name: p.read_bytes() for p in stage.world.iterdir()}, branch="revision")
    listen(hub, Path("hub").absolute(), stage.patch)
    stage.names["frames"] = np.zeros([1, 4, 64, 64, 3], np.uint8)


def _remote(stage: Stage) -> None:
    pytest.importorskip("websockets", reason="the extra 'serve' is not installed")
    from genie_env.remote.server import ServeConfig, background_server

    Path("token").write_text("a-token-of-a-test")
    for address, token in (("ws://127.0.0.1:8765", None), ("ws://server:8765", "a-token-of-a-test")):
        config = ServeConfig(str(stage.world), port=0, token=token)
        stage.addresses[address] = stage.exits.enter_context(background_server(config))


def _cluster(stage: Stage) -> None:
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    stage.exits.callback(ray.shutdown)


def _portable(stage: Stage) -> None:
    assert genie_env.cli.main(["export", "pong", "--out", "pong.onnx"]) == 0
    shutil.copy(Path(genie_env.__file__).parent / "worlds" / "pong" / "starts.safetensors", ".")


def _tutorial(stage: Stage) -> None:
    shutil.copytree(stage.world, "worlds/rollout")


def _ensemble(stage: Stage) -> None:
    make_random_world(Path("worlds/pong"), dynamics=ensemble_config())


def _architecture(stage: Stage) -> None:
    stage.patch.setattr("genie_env.games.registry._GAMES", {})


PREPARED: dict[str, Callable[[Stage], None]] = {
    "README.md": _readme,
    "docs/remote.md": _remote,
    "docs/cluster.md": _cluster,
    "docs/portable.md": _portable,
    "docs/architecture.md": _architecture,
    "docs/tutorial.md": _tutorial,
    "docs/beam_ensemble_adversarial.md": _ensemble,
}


@pytest.mark.parametrize("path", PROGRAMS, ids=name_of)
def test_python_blocks_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random_world: Path, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    with ExitStack() as exits:
        stage = Stage(random_world, monkeypatch, exits, {"__name__": "__main__"})
        PREPARED.get(name_of(path), lambda stage: None)(stage)
        for block in BLOCKS:
            if block.document == path and block.language == "python" and not block.reason:
                code = block.code
                for address, answers in stage.addresses.items():
                    code = code.replace(address, answers)
                # Lines of errors are those of the document.
                exec(compile("\n" * block.line + code, str(path), "exec"), stage.names)
        for value in list(stage.names.values()):
            if hasattr(value, "close") and hasattr(value, "reset"):
                value.close()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "toml"], ids=str)
def test_recipes_are_recipes(block: Block, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(block.code)
    assert find_recipe(str(tmp_path / "recipe.toml")).env


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_shell_lines_are_such_as_the_commands_take(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in block.code.replace("\\\n", " ").splitlines():
        for words in split(line):
            check_command(words, monkeypatch)


def split(line: str) -> list[list[str]]:
    """Words of each command of a line; comments and files that take output are left out."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in reader:
        if set(word) <= set("|&;<>()"):
            commands.append([word] if word == ">" else [])
        else:
            commands[-1].append(word)
    return [words for words in commands if words and words[0] != ">"]


def check_command(words: list[str], patch: pytest.MonkeyPatch) -> None:
    """Parse a line of a shell block as its program would; nothing is run."""
    program, rest = Path(words[0]).name, words[1:]
    if program == "genie-env":
        parse(rest, patch)
    elif program in ("python", "torchrun") and "-m" in rest:
        parse_module(rest[rest.index("-m") + 1 :], patch)
    elif program == "python" and rest[0] == "-c":
        compile(rest[1], "-c", "exec")
    elif program == "make":
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in rest if "=" not in word} <= targets, words
    elif program == "pip":
        extras = {e for word in rest for names in re.findall(r"\[(.+)\]", word) for e in names.split(",")}
        assert extras <= set(PROJECT["optional-dependencies"]), words
    else:
        assert program in OTHERS, f"{words}: of which program?"


def parse_module(words: list[str], patch: pytest.MonkeyPatch) -> None:
    module, *rest = words
    if module.partition(".")[0] in genie_env.packages.OURS:
        parse([module, *rest], patch)
    else:
        assert importlib.util.find_spec(module), words


class _Parsed(BaseException):
    """The command's line is right; ends it before it does anything."""


def parse(words: list[str], patch: pytest.MonkeyPatch) -> None:
    """Let a command of this project read its flags."""
    whole = tyro.cli

    def only_parse(*args: Any, **kwargs: Any) -> None:
        whole(*args, **kwargs)
        raise _Parsed

    with patch.context() as inner, warnings.catch_warnings(), pytest.raises(_Parsed):
        # Other tests imported the module before, of which runpy warns.
        warnings.simplefilter("ignore", RuntimeWarning)
        inner.setattr(tyro, "cli", only_parse)
        inner.setattr(sys, "argv", ["genie-env", *words])
        genie_env.cli.main(words)


def test_wrong_lines_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the shell blocks checks something."""
    for line in (
        "genie-env info pong",
        "genie-env play --wrold pong",
        "genie-env rollout --steps many",
        "python -m training.record",
        "python -m training.nothing --help",
        "make nothing",
        "pip install -e '.[nothing]'",
        "frobnicate --all",
    ):
        with pytest.raises((AssertionError, pytest.fail.Exception, SystemExit, ImportError)):
            check_command(shlex.split(line), monkeypatch)
