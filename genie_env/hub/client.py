"""Requests to the Hub whose answers are bounded: nothing larger than was expected is read, whatever is sent.

Owns what an answer's status means to a person. Headers, credentials, proxies and the session are huggingface_hub's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

from genie_env.files.errors import FileError
from genie_env.files.reading import JSON_BYTES, parse_json
from genie_env.hub.address import COMMIT, HubAddress, HubError

NOT_NOW = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of a Hub that cannot answer now and may later."""


class HubUnreachableError(HubError):
    """There is no network, the Hub is down, or it may not be asked."""


class RemoteFile(NamedTuple):
    """What the Hub says of a file before it is downloaded."""

    size: int
    """Its bytes."""
    sha256: str
    """Checksum of a large file (Git LFS); empty otherwise."""
    blob: str
    """Git's name of a small file: a SHA-1 of its length and content."""

    def is_named_after(self, content: bytes) -> bool:
        """Whether a downloaded file is the one that was announced."""
        if self.sha256:
            return hashlib.sha256(content).hexdigest() == self.sha256
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == self.blob


class Listing(NamedTuple):
    """The files of one commit."""

    commit: str
    files: dict[str, RemoteFile]


def library() -> Any:
    """The package huggingface_hub.

    Raises:
        ImportError: without it; the message says which extra brings it.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError("hf:// needs huggingface_hub: pip install 'genie-env[hub]'") from error
    return huggingface_hub


def read_listing(address: HubAddress) -> Listing:
    """Commit and files of a revision, as the Hub lists them.

    Raises:
        HubUnreachableError: if the Hub does not answer.
        HubError: if there is no such repository or revision, or the answer is no listing of it.
    """
    revision = quote(address.revision, safe="")
    data = _get(address, f"/api/models/{address.repo}/revision/{revision}?blobs=true", JSON_BYTES)
    try:
        answer = parse_json(data, "the Hub's answer", "a listing")
        commit, siblings = answer["sha"], answer["siblings"]
        if not isinstance(commit, str) or COMMIT.fullmatch(commit) is None:
            raise ValueError("names no commit")
        return Listing(commit, {file["rfilename"]: _remote_file(file) for file in siblings})
    except (FileError, KeyError, TypeError, ValueError):
        raise HubError(address, "the Hub's answer is no listing of a repository; check HF_ENDPOINT") from None


def read_file(address: HubAddress, name: str, file: RemoteFile) -> bytes:
    """The content of a file, compared with what was announced of it.

    Args:
        address: with a commit.
        name: of the file.
        file: as listed; its size was checked by the caller.

    Raises:
        HubUnreachableError: if the Hub does not answer, or stops half way.
        HubError: if the content is longer, shorter or another one.
    """
    content = _get(address, f"/{address.repo}/resolve/{address.revision}/{quote(name)}", file.size)
    if len(content) < file.size:
        raise HubUnreachableError(address, f"{name}: ended after {len(content)} of {file.size} bytes; try again")
    if not file.is_named_after(content):
        raise HubError(address, f"{name}: is not the file that was listed (its checksum differs); try again")
    return content


@contextmanager
def reported(address: HubAddress) -> Iterator[None]:
    """Turn what huggingface_hub raises into a :class:`HubError` of one line."""
    library()
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled:
        raise HubUnreachableError(address, "HF_HUB_OFFLINE is set") from None
    except (HTTPError, InvalidURL) as error:
        answer = getattr(error, "response", None)
        if answer is not None:
            raise _refusal(address, answer) from None
        first = (str(error).splitlines() or [""])[0]
        raise HubUnreachableError(address, f"the Hub cannot be reached ({type(error).__name__}: {first})") from None


def _get(address: HubAddress, path: str, most: int) -> bytes:
    """The content at a path of the Hub, of at most ``most`` bytes."""
    hub = library()
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers

    headers = build_hf_headers(library_name="genie-env") | {"Accept-Encoding": "identity"}
    parts, length = [], 0
    with reported(address):
        session, timeout = hub.get_session(), constants.HF_HUB_DOWNLOAD_TIMEOUT
        with session.stream("GET", constants.ENDPOINT + path, headers=headers, timeout=timeout) as answer:
            if answer.status_code != 200:
                raise _refusal(address, answer)
            for part in answer.iter_raw():
                length += len(part)
                if length > most:
                    raise HubError(address, f"{path.partition('?')[0]}: sends more than the {most} bytes expected")
                parts.append(part)
    return b"".join(parts)


def _refusal(address: HubAddress, answer: Any) -> HubError:
    """What a status other than 200 means."""
    status, code = answer.status_code, answer.headers.get("X-Error-Code", "")
    if status in NOT_NOW:
        return HubUnreachableError(address, f"the Hub cannot answer now (status {status})")
    if code == "RevisionNotFound":
        return HubError(address, f"the repository has no revision {address.revision!r}")
    if code == "GatedRepo":
        return HubError(address, "is gated: ask for access on its page, and log in with `hf auth login`")
    if code == "EntryNotFound":
        return HubError(address, "a file that was listed is not there")
    if status in (401, 403, 404):
        problem = f"is not there, or you may not use it (status {status}); log in with `hf auth login` if it is private"
        return HubError(address, problem)
    return HubError(address, f"the Hub refuses with status {status}")


def _remote_file(file: Any) -> RemoteFile:
    large = file.get("lfs") or {}
    size, sha256, blob = large.get("size", file["size"]), large.get("sha256", ""), file.get("blobId") or ""
    if type(size) is not int or size < 0 or not isinstance(sha256, str) or not isinstance(blob, str):
        raise ValueError("a file without a size")
    return RemoteFile(size, sha256, blob)
