"""What a Hub keeps: repositories of commits, each a whole tree of files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".gguf", ".h5", ".msgpack", ".ckpt", ".npz", ".model")
_LFS_BYTES = 10 << 20


class Refusal(Exception):
    """An answer that is an error, with the code and message that the client looks at."""

    def __init__(self, status: int, code: str, message: str = "", body: dict[str, Any] | None = None) -> None:
        super().__init__(message or code)
        self.status, self.code, self.body = status, code, body or {}


@dataclass(frozen=True)
class File:
    """One version of a file; a large one is stored in git as a pointer to its sha256."""

    data: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def oid(self) -> str:
        """The object id that git has for it."""
        if not self.large:
            return git_oid(self.data)
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.data)}\n"
        return git_oid(pointer.encode())

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.oid


@dataclass(frozen=True)
class Commit:
    """A tree of files, what it was made from, and why."""

    oid: str
    parent: str | None
    title: str
    files: dict[str, File]


@dataclass
class Repository:
    """One model, dataset or space; the id of the latter two begins with "datasets/" or "spaces/"."""

    id: str
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def resolve(self, revision: str) -> Commit:
        """Return the commit that a branch, a full reference or a commit id stands for."""
        oid = self.refs.get(revision, self.refs.get(revision.removeprefix("refs/heads/"), revision))
        if oid not in self.commits:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[oid]

    def record(self, revision: str, title: str, files: dict[str, File], parent: str | None) -> Commit:
        """Add a commit and move a branch to it."""
        text = repr((self.id, revision, title, parent, len(self.commits), sorted((n, f.oid) for n, f in files.items())))
        commit = Commit(hashlib.sha1(text.encode()).hexdigest(), parent, title, files)
        self.commits[commit.oid] = commit
        self.refs[revision] = commit.oid
        return commit

    def history(self, revision: str) -> list[Commit]:
        """Return the commits of a branch, the newest first."""
        found = [self.resolve(revision)]
        while (parent := found[-1].parent) is not None:
            found.append(self.commits[parent])
        return found

    def squash(self, branch: str, title: str) -> Commit:
        """Leave one commit of a branch; the others are gone."""
        head = self.resolve(branch)
        kept = self.record(branch, title, head.files, None)
        reachable = {commit.oid for name in self.refs for commit in self.history(name)}
        self.commits = {oid: commit for oid, commit in self.commits.items() if oid in reachable}
        return kept


def new_file(path: str, data: bytes) -> File:
    """Return a file as an upload of these bytes stores it."""
    return File(data, is_large(path, len(data), data[:512]))


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file goes through LFS."""
    return path.lower().endswith(LFS_SUFFIXES) or size > _LFS_BYTES or b"\0" in sample


def git_oid(data: bytes) -> str:
    """Return the object id of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def entry(path: str, file: File) -> dict[str, Any]:
    """Return a file as listings show it."""
    found: dict[str, Any] = {"type": "file", "path": path, "size": len(file.data), "oid": file.oid}
    if file.large:
        found["lfs"] = {"oid": file.sha256, "size": len(file.data), "pointerSize": 134}
    return found


def tree(files: dict[str, File], folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    """Return what a folder holds, folders included; EntryNotFound if it holds nothing."""
    inside = {name: file for name, file in files.items() if not folder or name.startswith(f"{folder}/")}
    if folder and not inside:
        raise Refusal(404, "EntryNotFound")
    found = {name: entry(name, file) for name, file in inside.items()}
    for name in inside:
        for parent in map(str, PurePosixPath(name).parents):
            if parent != "." and parent.startswith(folder) and parent != folder:
                found[parent] = {"type": "directory", "path": parent, "size": 0, "oid": git_oid(parent.encode())}
    level = folder.count("/") + 1 if folder else 0
    return [shown for name, shown in sorted(found.items()) if recursive or name.count("/") == level]
