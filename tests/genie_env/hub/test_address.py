"""An address names a repository and a revision, and nothing else gets through."""

from __future__ import annotations

from pathlib import Path

import pytest

from genie_env.hub.address import HubAddress, HubError, is_hub_address, parse_address


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/3", "a-branch_2", "0" * 40])
def test_an_address_is_read_as_it_is_printed(revision: str) -> None:
    address = HubAddress("some-body/no.ise_2", revision)
    assert parse_address(str(address)) == address
    assert parse_address(Path(str(address))) == address, "a path keeps one slash of two"


def test_the_revision_is_main_where_none_is_named() -> None:
    assert parse_address("hf://a/b") == HubAddress("a/b", "main")


@pytest.mark.parametrize(
    "text",
    [
        "hf://",
        "hf://a",
        "hf://a/b/c",
        "hf://../b",
        "hf://a/..",
        "hf://a/b@",
        "hf://a/b@../../x",
        "hf://a/b@/etc/passwd",
        "hf://a/b@x/../y",
        "hf://a/b@x//y",
        "hf://a/b@main.lock",
        "hf://a/b@c d",
        "hf://a/b\n",
        "hf://a/b?x=1",
        "hf://a--b/c",
        "hf://.a/b",
        "hf://ä/b",
        "hf://a/" + "b" * 200,
    ],
)
def test_what_could_lead_elsewhere_is_refused_in_one_line(text: str) -> None:
    assert is_hub_address(text)
    with pytest.raises(HubError, match="expected") as error:
        parse_address(text)
    assert "\n" not in str(error.value).replace("hf://a/b\n", "")


@pytest.mark.parametrize("name", ["pong", "worlds/my_game", "./hf", "C:/worlds", "https://huggingface.co/a/b"])
def test_other_names_are_no_addresses(name: str) -> None:
    assert not is_hub_address(name)
