"""Documents name only what exists: files, sections, commands, flags, rooms and names of the code."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import runpy
import shlex
import sys
import warnings
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

import genie_env.cli
from genie_env.games.registry import known_games
from tests.helpers.paths import ROOT
from tests.test_architecture import FLOORS
from training.recipes import find_recipe

CARDS = sorted((ROOT / "genie_env" / "worlds").glob("*/README.md"))
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
"""What describes the project as it is; the changelog also names what it was."""
DOCUMENTS = [*GUIDES, *(ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY", "LICENSES")), *CARDS]
PACKAGES = ("genie_env", "training", "agents")
COMMAND = re.compile(r"(?:^|/|\s|`)(?:python -m (?=genie_env|training|agents)|(?=genie-env )|-m (?=training|agents))")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """Without fenced blocks and code spans."""
    return re.sub(r"`[^`]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def snippets(text: str) -> Iterator[str]:
    """Lines of shell blocks, continued ones joined, and code spans, which may break over lines."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
    for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        yield " ".join(span.split())


def commands(path: Path) -> Iterator[list[str]]:
    """Words of every command of the project that a document shows, its name first; ``…`` and comments left out."""
    for snippet in snippets(path.read_text()):
        if match := COMMAND.search(snippet):
            yield shlex.split(snippet[match.end() :].replace("…", " "), comments=True)


def sections(path: Path) -> set[str]:
    """Anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def defined(path: Path) -> set[str]:
    """Names at the top of a module, and ``Class.name`` of what classes hold."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        for name in _names(node):
            found.add(name)
            if isinstance(node, ast.ClassDef):
                found |= {f"{name}.{inner}" for part in node.body for inner in _names(part)}
    return found


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return [node.name]
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [target.id for target in targets if isinstance(target, ast.Name)]
    return []


@cache
def flags(*command: str) -> frozenset[str]:
    """Flags that a command's ``--help`` lists, read in this process; it must end with status 0."""
    argv, module = [*command, "--help"], command[0]
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), warnings.catch_warnings():
        patch.setattr(sys, "argv", argv)
        patch.setenv("COLUMNS", "200")
        # Other tests imported the module before, of which runpy warns.
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(SystemExit) as stopped:
            if module == "genie-env":
                raise SystemExit(genie_env.cli.main(argv[1:]))
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    # Help for an unknown subcommand is that of the whole program.
    assert not stopped.value.code and out.getvalue().split()[: len(command) + 1] == ["usage:", *command], argv
    return frozenset(re.findall(r"--[a-z][\w-]*(?:\.[a-z][\w-]*)*", out.getvalue()))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_and_pictures_lead_to_files_and_sections_that_exist(path: Path) -> None:
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)):
        if re.match(r"https?://|mailto:", target):
            continue
        file, _, section = target.partition("#")
        where = path.parent / file if file else path
        if not where.exists() or (section and section not in sections(where)):
            missing.append(target)
    assert not missing


def test_readme_leads_to_every_document() -> None:
    text = (ROOT / "README.md").read_text()
    assert not [name_of(path) for path in (ROOT / "docs").glob("*.md") if f"({name_of(path)})" not in text]


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("path", GUIDES, ids=name_of)
def test_commands_exist_and_have_the_flags_that_documents_show(path: Path) -> None:
    wrong = []
    for words in commands(path):
        # genie-env runs the commands of the other packages too.
        words = words[1:] if words[0] == "genie-env" and "." in "".join(words[1:2]) else words
        command = words[: 2 if words[0] == "genie-env" else 1]
        given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        wrong += [f"{' '.join(command)}: {flag}" for flag in sorted(given - flags(*command) - {"--help"})]
    assert not wrong


@pytest.mark.parametrize("path", GUIDES, ids=name_of)
def test_files_and_modules_that_documents_name_exist(path: Path) -> None:
    text = path.read_text()
    files = set(re.findall(r"\b((?:genie_env|training|agents|tests|examples)/[\w/]+\.py)\b", text))
    assert not {name for name in files if not (ROOT / name).is_file()}
    modules = {name.rstrip(".") for name in re.findall(r"`((?:training|agents)(?:\.[a-z_0-9]+)+)", text)}
    unknown = {name for name in modules if not _is_module_or_name(name)}
    assert not unknown


def _is_module_or_name(dotted: str) -> bool:
    path = ROOT / dotted.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module = path.parent.with_suffix(".py")
    return module.is_file() and path.name in defined(module)


def test_names_beside_a_file_in_the_tables_of_the_architecture_are_defined_in_it() -> None:
    rows = re.findall(
        r"^\|.*?\| `([\w/]+\.py)` \| (`[^|]*`) \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE
    )
    assert len(rows) > 20
    unknown = [
        (file, name)
        for file, names in rows
        for name in re.findall(r"`([\w.]+)`", names)
        if name not in defined(ROOT / file)
    ]
    assert not unknown


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tree_in_the_architecture_has_a_line_for_every_room(package: str) -> None:
    tree = re.search(r"```text\n(genie_env/\n.*?)```", (ROOT / "docs" / "architecture.md").read_text(), re.DOTALL)
    assert tree
    part = re.split(rf"^{package}/\n", tree[1], flags=re.MULTILINE)[1]
    part = re.split(r"^\w", part, flags=re.MULTILINE)[0]
    shown = {line.split()[0].rstrip("/").removesuffix(".py") for line in part.splitlines()}
    rooms = {room for floor in FLOORS[package] for room in floor} - {"__init__", "COMMANDS"}
    files = {path.stem for path in (ROOT / package).glob("*.py")} - rooms - {"__init__"}
    assert {name for name in files if not any(fnmatch(name, pattern) for pattern in part.split())} == set()
    assert rooms - shown == set() and {name for name in shown - {"*"} if not _exists(package, name)} == set()


def _exists(package: str, room: str) -> bool:
    return (ROOT / package / room).is_dir() or (ROOT / package / f"{room}.py").is_file()


def test_the_new_game_that_the_architecture_shows_is_a_recipe_and_a_game(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for kind in ("toml", "python"):
        (block,) = re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
        (tmp_path / f"game.{kind}").write_text(block)
    monkeypatch.setattr("genie_env.games.registry._GAMES", {})
    runpy.run_path(str(tmp_path / "game.python"))
    assert known_games() == [find_recipe(str(tmp_path / "game.toml")).env]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_no_document_names_a_path_of_a_machine(path: Path) -> None:
    assert not re.findall(r"(?<![\w.])/(?:work|tmp|home|root|Users|mnt|opt|usr|var)\b[^\s`)]*", path.read_text())


@pytest.mark.parametrize("path", GUIDES, ids=name_of)
def test_documents_use_plain_words(path: Path) -> None:
    unwanted = r"\b(anew|told|nobody|likewise|foretells?|said)\b"
    assert not re.findall(unwanted, prose(path.read_text()), re.IGNORECASE)


def test_glossary_explains_each_word_once_in_one_sentence() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)[1:]
    words = [word for word, _ in rows]
    assert 15 <= len(words) == len(set(words)) <= 30
    assert [word for word, meaning in rows if not re.fullmatch(r"[A-Z][^.]*(\.\w[^.]*)*\.", meaning.strip())] == []


@cache
def messages() -> list[str]:
    """Every text in the code that is long enough to be known again; of one with gaps, what stands between them."""
    nodes = (node for package in PACKAGES for path in (ROOT / package).rglob("*.py") for node in _nodes(path))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in texts if len(text) >= 12]


def _nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def test_errors_in_the_faq_are_what_the_code_prints() -> None:
    errors = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "faq.md").read_text(), re.MULTILINE)
    assert len(errors) > 25
    assert not [error for error in errors if not any(text in error or error in text for text in messages())]
