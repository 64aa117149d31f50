"""A stand-in for the Hugging Face Hub on this machine: repositories in memory, and answers that can be tampered with.

Speaks what huggingface_hub asks for: listings, trees, files (small ones directly, large ones by a redirect with their
checksum), new repositories, checks of cards, uploads of both kinds of files, commits.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import pytest

LARGE = ".safetensors", ".gif"
"""Endings of the files that are kept as large ones."""
MAIN = "main"


@dataclass
class Answer:
    """What the server is about to send."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    """Length to announce; None: that of the body."""


Tamper = Callable[[str, Answer], Answer]


def blob_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class HubServer:
    """Repositories by name, each a dict of commits to files and of branches to commits."""

    commits: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Method and path of everything that was asked for."""
    tamper: Tamper = lambda path, answer: answer
    """Changes answers before they are sent."""
    down: bool = False
    """Whether the server answers nothing but 503."""
    url: str = ""

    def commit(self, repo: str, files: dict[str, bytes], branch: str = MAIN) -> str:
        """Add a commit that holds exactly these files."""
        commits = self.commits.setdefault(repo, {})
        sha = hashlib.sha1(f"{repo}{len(commits)}{sorted(files)}".encode()).hexdigest()
        commits[sha] = dict(files)
        self.branches.setdefault(repo, {})[branch] = sha
        return sha

    def files(self, repo: str, revision: str = MAIN) -> dict[str, bytes]:
        return self.commits[repo][self.branches[repo].get(revision, revision)]

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        path = unquote(urlsplit(target).path)
        parts = path.strip("/").split("/")
        if self.down:
            return Answer(503)
        if path.startswith("/uploads/"):
            return self._upload(method, parts[1], body)
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if repo in self.commits:
                return _json({"url": f"{self.url}/{repo}", "error": "exists"}, 409)
            self.commit(repo, {".gitattributes": b""})
            return _json({"url": f"{self.url}/{repo}"})
        if path == "/api/validate-yaml":
            return _json({"errors": [], "warnings": []})
        if path.startswith("/api/models/"):
            return self._api("/".join(parts[2:4]), parts[4:], body)
        if path.endswith("/info/lfs/objects/batch"):
            objects = [{**one, "actions": self._action(one["oid"])} for one in json.loads(body)["objects"]]
            return _json({"transfer": "basic", "objects": objects})
        if len(parts) > 4 and parts[2] == "resolve":
            return self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return Answer(404)

    def _api(self, repo: str, rest: list[str], body: bytes) -> Answer:
        if repo not in self.commits:
            return Answer(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if rest[0] == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": _mode(f["path"]), "shouldIgnore": False} for f in files]
            return _json({"files": modes})
        revision = "/".join(rest[1:]) or MAIN
        sha = self.branches[repo].get(revision, revision)
        if sha not in self.commits[repo]:
            return Answer(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
        if rest[0] == "commit":
            return self._commit(repo, revision, body)
        files = self.commits[repo][sha]
        if rest[0] == "tree":
            entries = [{"type": "file", "path": n, "size": len(d), "oid": blob_name(d)} for n, d in files.items()]
            return _json([{**e, **_tree_lfs(e["path"], files[e["path"]])} for e in entries])
        siblings = [{"rfilename": n, "size": len(d), "blobId": blob_name(d), **_lfs(n, d)} for n, d in files.items()]
        return _json({"id": repo, "modelId": repo, "sha": sha, "private": False, "siblings": siblings})

    def _file(self, repo: str, revision: str, name: str) -> Answer:
        sha = self.branches.get(repo, {}).get(revision, revision)
        files = self.commits.get(repo, {}).get(sha)
        if files is None or name not in files:
            code = "RepoNotFound" if files is None else "EntryNotFound"
            return Answer(404, {"X-Error-Code": code, "X-Repo-Commit": sha})
        data = files[name]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob_name(data)}"'}
        if name.endswith(LARGE):
            oid = hashlib.sha256(data).hexdigest()
            self.uploads[oid] = data
            linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(data))}
            # Another name of this machine: like the Hub, another host keeps what is large.
            storage = self.url.replace("127.0.0.1", "localhost")
            return Answer(302, {**headers, **linked, "Location": f"{storage}/uploads/{oid}"})
        return Answer(200, headers, data)

    def _upload(self, method: str, oid: str, body: bytes) -> Answer:
        if method == "PUT":
            self.uploads[oid] = body
            return Answer(200)
        return Answer(200, {"ETag": f'"{oid}"'}, self.uploads[oid]) if oid in self.uploads else Answer(404)

    def _action(self, oid: str) -> dict[str, Any]:
        return {"upload": {"href": f"{self.url}/uploads/{oid}", "header": {}}}

    def _commit(self, repo: str, branch: str, body: bytes) -> Answer:
        files = dict(self.files(repo, branch))
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.uploads[value["oid"]]
        sha = self.commit(repo, files, branch)
        return _json({"commitUrl": f"{self.url}/{repo}/commit/{sha}", "commitOid": sha})


@contextmanager
def serving() -> Iterator[HubServer]:
    """A server on a free port of this machine, until the end of the block."""
    hub = HubServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            hub.requests.append(f"{self.command} {unquote(self.path)}")
            answer = hub.tamper(unquote(self.path), hub.answer(self.command, self.path, body))
            self.send_response(answer.status)
            headers = {"Content-Length": str(len(answer.body) if answer.length is None else answer.length)}
            for name, value in {**headers, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                # A client that saw enough is gone.
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(answer.body)
            if answer.length is not None:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = _handle

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def listen(hub: HubServer, cache: Path, patch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub speak with a stand-in, and keep what it downloads in ``cache``."""
    from huggingface_hub import constants

    patch.setattr(constants, "ENDPOINT", hub.url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    # The stand-in takes large files as Git LFS does.
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setenv("HF_TOKEN", "hf_of_a_test")


def _json(content: Any, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


def _mode(path: str) -> str:
    return "lfs" if path.endswith(LARGE) else "regular"


def _lfs(name: str, data: bytes) -> dict[str, Any]:
    if not name.endswith(LARGE):
        return {}
    return {"lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}}


def _tree_lfs(name: str, data: bytes) -> dict[str, Any]:
    if not name.endswith(LARGE):
        return {}
    return {"lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}}
