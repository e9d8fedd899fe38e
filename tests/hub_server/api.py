"""The Hub's interface: what each request reads or changes, and its answer. Knows no sockets."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.hub_server.store import Commit, File, Refusal, Repository, entry, is_large, tree

TOKEN = "hf_local"
READ_TOKEN = "hf_readonly"
USER = "me"
_WRITABLE = (USER, "org")
_KINDS = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}


@dataclass(frozen=True)
class Request:
    """One request, its path split before it is unquoted: "refs%2Fpr%2F1" is one segment."""

    method: str
    path: str
    body: bytes
    token: str
    base: str

    @property
    def segments(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body or b"{}"))

    def asks(self, name: str) -> bool:
        return parse_qs(urlsplit(self.path).query).get(name, [""])[0].lower() in ("1", "true")


@dataclass(frozen=True)
class Answer:
    """Status, body and headers."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def answer_json(content: Any, status: int = 200) -> Answer:
    """Return JSON."""
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


class Api:
    """The repositories and blobs of one Hub, and the requests on them."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.lock = threading.RLock()

    def answer(self, request: Request) -> Answer:
        """Carry out one request; Refusal if it cannot be."""
        segments = request.segments
        if segments[0] == "api":
            return self._api(request, segments[1:])
        if segments[0] == "_lfs":
            return self._blob(request, segments[1])
        if segments[-4:] == ["info", "lfs", "objects", "batch"]:
            return self._batch(request, "/".join(segments[:-4]).removesuffix(".git"))
        repository, rest = self._found(request, segments, writes=False)
        if rest[:1] != ["resolve"]:
            raise Refusal(404, "EntryNotFound")
        return self._resolve(repository, rest[1], "/".join(rest[2:]))

    def _api(self, request: Request, segments: list[str]) -> Answer:
        plain: dict[tuple[str, ...], Callable[[Request], Answer]] = {
            ("whoami-v2",): self._whoami,
            ("validate-yaml",): self._validate,
            ("repos", "create"): self._create,
        }
        if tuple(segments) in plain:
            return plain[tuple(segments)](request)
        prefix = _KINDS[segments[0]].strip("/")
        repository, rest = self._found(request, [*filter(None, [prefix]), *segments[1:]], request.method != "GET")
        verb, revision = (rest or ["revision"])[0], (rest[1:2] or ["main"])[0]
        reads = {
            "revision": lambda: _info(repository, repository.resolve(revision)),
            "refs": lambda: _refs(repository),
            "commits": lambda: [_shown(commit) for commit in repository.history(revision)],
            "tree": lambda: tree(
                repository.resolve(revision).files, "/".join(rest[2:]), recursive=request.asks("recursive")
            ),
            "paths-info": lambda: _paths_info(repository.resolve(revision), request),
        }
        writes = {
            "branch": lambda: self._branch(repository, revision, request),
            "preupload": lambda: _preupload(repository.resolve(revision), request),
            "commit": lambda: self._commit(repository, revision, request),
            "super-squash": lambda: repository.squash(revision, request.json.get("message", "")).oid,
        }
        with self.lock:
            return answer_json({**reads, **writes}[verb]())

    def _found(self, request: Request, segments: list[str], writes: bool) -> tuple[Repository, list[str]]:
        """Return the repository that a path begins with, and the rest of the path."""
        path = "/".join(segments)
        for repo_id, repository in self.repositories.items():
            if path == repo_id or path.startswith(repo_id + "/"):
                self._admit(request, repository, writes=writes and "paths-info" not in segments)
                return repository, segments[repo_id.count("/") + 1 :]
        raise Refusal(404, "RepoNotFound", "Repository not found")

    def _admit(self, request: Request, repository: Repository, *, writes: bool) -> None:
        known = request.token in (TOKEN, READ_TOKEN)
        if repository.private and not known:
            raise Refusal(404, "RepoNotFound", "Repository not found")
        if repository.gated and not known:
            raise Refusal(403, "GatedRepo")
        if writes:
            may_write(request, repository.id)

    def _whoami(self, request: Request) -> Answer:
        if request.token not in (TOKEN, READ_TOKEN):
            raise Refusal(401, "", "Invalid username or password.")
        return answer_json({"type": "user", "name": USER, "orgs": [{"name": "org"}], "auth": {"type": "access_token"}})

    def _validate(self, request: Request) -> Answer:
        text = request.json["content"]
        try:
            content = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else {}
            if not isinstance(content, dict):
                raise yaml.YAMLError("the front matter is no mapping")
        except yaml.YAMLError as error:
            return answer_json({"errors": [{"message": str(error)}], "warnings": []}, 400)
        return answer_json({"errors": [], "warnings": []})

    def _create(self, request: Request) -> Answer:
        wanted = request.json
        kind = {"model": "", "dataset": "datasets/", "space": "spaces/"}[wanted.get("type") or "model"]
        repo_id = f"{kind}{wanted.get('organization') or USER}/{wanted['name']}"
        may_write(request, repo_id)
        url = f"{request.base}/{repo_id}"
        with self.lock:
            if repo_id in self.repositories:
                raise Refusal(409, "", "You already created this model repo", {"url": url})
            private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
            made = self.repositories[repo_id] = Repository(repo_id, private=private)
            made.record("main", "initial commit", {".gitattributes": File(b"*.safetensors filter=lfs\n", False)}, None)
        return answer_json({"url": url, "name": repo_id, "id": "0"})

    def _branch(self, repository: Repository, name: str, request: Request) -> dict[str, Any]:
        if request.method == "DELETE":
            repository.refs.pop(name, None)
        elif name in repository.refs:
            raise Refusal(409, "", "Reference already exists")
        else:
            repository.refs[name] = repository.resolve(request.json.get("startingPoint") or "main").oid
        return {}

    def _batch(self, request: Request, repo_id: str) -> Answer:
        self._found(request, repo_id.split("/"), writes=True)
        objects = []
        for wanted in request.json["objects"]:
            found = {"oid": wanted["oid"], "size": wanted["size"], "authenticated": True}
            if wanted["oid"] not in self.blobs:
                found["actions"] = {"upload": {"href": f"{request.base}/_lfs/{wanted['oid']}", "header": {}}}
            objects.append(found)
        return answer_json({"transfer": "basic", "objects": objects})

    def _blob(self, request: Request, oid: str) -> Answer:
        file = File(request.body, True)
        if file.sha256 != oid:
            raise Refusal(400, "", "sha256 mismatch")
        self.blobs[oid] = request.body
        return Answer(200, b"")

    def _commit(self, repository: Repository, revision: str, request: Request) -> dict[str, Any]:
        lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        parent = repository.resolve(revision)
        if header.get("parentCommit") not in (None, parent.oid):
            raise Refusal(412, "", "A commit has happened since. Please refresh and try again.")
        files = dict(parent.files)
        for line in lines:
            self._apply(files, line["key"], line["value"])
        number = 1 + sum(name.startswith("refs/pr/") for name in repository.refs)
        branch = f"refs/pr/{number}" if request.asks("create_pr") else revision
        made = repository.record(branch, header["summary"], files, parent.oid)
        url = f"{request.base}/{repository.id}"
        pull = f"{url}/discussions/{number}" if branch != revision else None
        return {"success": True, "commitOid": made.oid, "commitUrl": f"{url}/commit/{made.oid}", "pullRequestUrl": pull}

    def _apply(self, files: dict[str, File], key: str, value: dict[str, Any]) -> None:
        """Change a tree as one line of a commit says."""
        if key == "file":
            files[value["path"]] = File(base64.b64decode(value["content"]), False)
        elif key == "lfsFile":
            if value["oid"] not in self.blobs:
                raise Refusal(400, "", f"LFS pointer pointed to a file that does not exist: {value['path']}")
            files[value["path"]] = File(self.blobs[value["oid"]], True)
        elif key == "deletedFile":
            if files.pop(value["path"], None) is None:
                raise Refusal(404, "EntryNotFound", "A file with this name doesn't exist")
        elif key == "deletedFolder":
            for name in [name for name in files if name.startswith(value["path"].rstrip("/") + "/")]:
                del files[name]

    def _resolve(self, repository: Repository, revision: str, path: str) -> Answer:
        commit = repository.resolve(revision)
        if path not in commit.files:
            raise Refusal(404, "EntryNotFound")
        file = commit.files[path]
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{file.etag}"', "Content-Type": "application/octet-stream"}
        if file.large:
            headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(len(file.data))}
        return Answer(200, file.data, headers)


def may_write(request: Request, repo_id: str) -> None:
    """Refuse who may not write: no token, a token for reading, another's namespace."""
    if request.token not in (TOKEN, READ_TOKEN):
        raise Refusal(401, "", "Invalid username or password.")
    owner = repo_id.removeprefix("datasets/").removeprefix("spaces/").split("/")[0]
    if request.token == READ_TOKEN or owner not in _WRITABLE:
        raise Refusal(403, "", f"You don't have the rights to write to {repo_id}")


def _info(repository: Repository, commit: Commit) -> dict[str, Any]:
    siblings = [{"rfilename": name} for name in commit.files]
    tags = {"tags": [], "private": repository.private, "gated": False, "disabled": False, "downloads": 0, "likes": 0}
    return {"id": repository.id, "_id": repository.id, "sha": commit.oid, "siblings": siblings, **tags}


def _refs(repository: Repository) -> dict[str, Any]:
    def listed(begins: str, found: bool) -> list[dict[str, str]]:
        names = [name for name in repository.refs if name.startswith(begins) is found]
        return [
            {"name": name, "ref": name if found else f"refs/heads/{name}", "targetCommit": repository.refs[name]}
            for name in names
        ]

    return {"branches": listed("refs/", False), "pullRequests": listed("refs/pr/", True), "tags": [], "converts": []}


def _shown(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.oid,
        "title": commit.title,
        "message": "",
        "date": "2026-01-01T00:00:00.000Z",
        "authors": [{"user": USER}],
    }


def _preupload(commit: Commit, request: Request) -> dict[str, Any]:
    found = []
    for wanted in request.json["files"]:
        old = commit.files.get(wanted["path"])
        large = is_large(wanted["path"], wanted["size"], base64.b64decode(wanted.get("sample") or ""))
        mode = {"uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        found.append({"path": wanted["path"], **mode, "oid": None if old is None else old.etag})
    return {"files": found}


def _paths_info(commit: Commit, request: Request) -> list[dict[str, Any]]:
    form = parse_qs(request.body.decode())
    paths = form.get("paths", []) if form else request.json["paths"]
    return [entry(path, commit.files[path]) for path in paths if path in commit.files]
