"""A Hub in this process: enough of its HTTP interface to read models and datasets from it, offline and for real.

    with LocalHub() as hub:
        hub.add("org/tiny", folder)
        hub.add("datasets/org/pictures", folder)
        subprocess.run([...], env=hub.environment(tmp_path))

The client library reads its settings on import, so whatever talks to this server runs in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".onnx")
TOKEN = "hf_local"


@dataclass
class Repository:
    """One model, or one dataset (its id then begins with "datasets/"): what its revisions hold, and who may read it."""

    id: str
    gated: bool = False
    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, revision: str) -> str:
        """Return the commit that a branch name or a commit stands for; KeyError if there is none."""
        for name, files in self.revisions.items():
            oid = _sha1(repr((self.id, name, sorted((path, _sha1(data)) for path, data in files.items()))).encode())
            if revision in (name, oid):
                return oid
        raise KeyError(revision)

    def files(self, revision: str) -> dict[str, bytes]:
        """Return the files of a branch or a commit; KeyError if there is none."""
        commit = self.commit(revision)
        return next(files for name, files in self.revisions.items() if self.commit(name) == commit)


class LocalHub:
    """The server, running in a thread while the context is open.

    Attributes:
        url: what HF_ENDPOINT must be.
        requests: "METHOD path" of every request so far.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LocalHub:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, repo_id: str, folder: Path, *, revision: str = "main", gated: bool = False) -> Repository:
        """Publish the files of a folder as a revision of a model."""
        repository = self.repositories.setdefault(repo_id, Repository(repo_id, gated=gated))
        repository.revisions[revision] = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        return repository

    def environment(self, home: Path, **changes: str) -> dict[str, str]:
        """Return the environment of a process that talks to this server and keeps its cache under `home`."""
        settings = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_ETAG_TIMEOUT": "5",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        inherited = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_PROGRESS_BARS"}
        return {**inherited, **settings, **changes}


def _handler(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            path = unquote(urlsplit(self.path).path).strip("/")
            try:
                self._route(path)
            except _Refusal as refusal:
                self._send(refusal.status, b"{}", {"X-Error-Code": refusal.code, "X-Error-Message": refusal.code})

        do_HEAD = do_GET

        def _route(self, path: str) -> None:
            if path.startswith("api/"):
                repository, rest = self._repository(path.removeprefix("api/").removeprefix("models/"))
                verb, revision, folder = [*rest.split("/", 2), "", ""][:3]
                if verb == "tree":
                    self._send_json(_tree(_files(repository, revision), folder, self._asked("recursive")))
                else:
                    self._send_json(_info(repository, revision or "main"))
                return
            repository, rest = self._repository(path)
            verb, revision, name = [*rest.split("/", 2), "", ""][:3]
            if verb != "resolve":
                raise _Refusal(404, "EntryNotFound")
            self._send_file(_files(repository, revision), repository.commit(revision), name)

        def _asked(self, setting: str) -> bool:
            return f"{setting}=true" in urlsplit(self.path).query.lower()

        def _repository(self, path: str) -> tuple[Repository, str]:
            for repo_id, repository in hub.repositories.items():
                if path == repo_id or path.startswith(repo_id + "/"):
                    if repository.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                        raise _Refusal(403, "GatedRepo")
                    return repository, path[len(repo_id) + 1 :]
            raise _Refusal(404, "RepoNotFound")

        def _send_file(self, files: dict[str, bytes], commit: str, name: str) -> None:
            if name not in files:
                raise _Refusal(404, "EntryNotFound")
            entry = _entry(name, files[name])
            headers = {"X-Repo-Commit": commit, "ETag": f'"{entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]}"'}
            if "lfs" in entry:
                headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(entry["size"])}
            self._send(200, files[name], headers)

        def _send_json(self, content: Any) -> None:
            self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent; `LocalHub.requests` has it all."""

    return Handler


class _Refusal(Exception):
    """An answer that is an error, with the code that the client looks at."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def _files(repository: Repository, revision: str) -> dict[str, bytes]:
    try:
        return repository.files(revision)
    except KeyError:
        raise _Refusal(404, "RevisionNotFound") from None


def _info(repository: Repository, revision: str) -> dict[str, Any]:
    files = _files(repository, revision)
    siblings = [{"rfilename": name} for name in files]
    return {"id": repository.id, "sha": repository.commit(revision), "private": False, "tags": [], "siblings": siblings}


def _tree(files: dict[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
    """Return what a folder holds, folders included; EntryNotFound if it holds nothing."""
    inside = {name: data for name, data in files.items() if not folder or name.startswith(f"{folder}/")}
    if folder and not inside:
        raise _Refusal(404, "EntryNotFound")
    found = {name: _entry(name, data) for name, data in inside.items()}
    for name in inside:
        for parent in map(str, PurePosixPath(name).parents):
            if parent != "." and parent.startswith(folder) and parent != folder:
                found[parent] = {"type": "directory", "path": parent, "size": 0, "oid": _sha1(parent.encode())}
    level = folder.count("/") + 1 if folder else 0
    return [entry for name, entry in sorted(found.items()) if recursive or name.count("/") == level]


def _entry(name: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file",
        "path": name,
        "size": len(data),
        "oid": _sha1(b"blob %d\0" % len(data) + data),
    }
    if name.endswith(LFS_SUFFIXES):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
