"""Raw weights that earlier commits of a repository still hand out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergeguard_hub.hub.remote import etag
from mergeguard_hub.hub.stale import is_weight_file
from mergeguard_hub.release.sidecar import SIDECAR

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MOST = 50  # commits that are looked at, the newest of each reference first; one request each, our choice


@dataclass(frozen=True)
class Exposure:
    """Earlier commits with weights that belong to no protected release.

    Attributes:
        repo_id: the repository.
        commits: commit -> the weight files in question.
        references: branches, tags and pull requests that lead to them.
        complete: whether every commit was looked at.
    """

    repo_id: str
    commits: dict[str, tuple[str, ...]]
    references: tuple[str, ...]
    complete: bool

    @property
    def squash(self) -> str:
        """The command that leaves one commit of the main branch."""
        call = f"HfApi().super_squash_history({json.dumps(self.repo_id)})"
        return f"python -c 'from huggingface_hub import HfApi; {call}'"

    def __str__(self) -> str:
        """Say it in one sentence, with the command."""
        names = sorted({name for files in self.commits.values() for name in files})
        text = (
            f"{self.repo_id}: {len(self.commits)} earlier commit(s), the newest {next(iter(self.commits))[:8]}, still "
            f"hand out weights that are not of a protected release ({', '.join(names[:3])}"
            f"{', ...' if len(names) > 3 else ''}). Whoever asks for that commit gets them. "
            f"To remove the history of the main branch: {self.squash}"
        )
        others = [name for name in self.references if name not in ("main", "refs/heads/main")]
        more = f" Delete or close as well: {', '.join(others)}." if others else ""
        return text + more + " What somebody has downloaded already stays theirs."


def exposure(api: HfApi, repo_id: str, released: Collection[str], *, before: str) -> Exposure | None:
    """Look for weights of no release in the commits of a repository.

    A weight file counts as released if its digest is among `released`, or among those that the release record in the
    same commit lists. Other branches, tags and pull requests are looked at as well.

    Args:
        api: a client with the owner's token.
        repo_id: the repository.
        released: sha256 of the weight files of the present release.
        before: the newest commit to look at on the branch that was pushed to; what came after is the push.

    Returns:
        What was found; None if nothing was.
    """
    found: dict[str, tuple[str, ...]] = {}
    references: dict[str, None] = {}
    seen: set[str] = set()
    for name, commit in _commits(api, repo_id, before):
        if commit not in seen and len(seen) >= MOST:
            return Exposure(repo_id, found, tuple(references), complete=False) if found else None
        if commit not in seen:
            seen.add(commit)
            if files := _raw_files(api, repo_id, commit, released):
                found[commit] = files
        if commit in found:
            references[name] = None
    return Exposure(repo_id, found, tuple(references), complete=True) if found else None


def _commits(api: HfApi, repo_id: str, before: str) -> Iterator[tuple[str, str]]:
    for commit in api.list_repo_commits(repo_id, revision=before):
        yield "main", commit.commit_id
    refs = api.list_repo_refs(repo_id, include_pull_requests=True)
    for ref in (*refs.branches, *refs.tags, *(refs.pull_requests or [])):
        if ref.ref == "refs/heads/main":
            continue
        for commit in api.list_repo_commits(repo_id, revision=ref.target_commit):
            yield ref.name, commit.commit_id


def _raw_files(api: HfApi, repo_id: str, commit: str, released: Collection[str]) -> tuple[str, ...]:
    files = {found.path: found for found in api.list_repo_tree(repo_id, recursive=True, revision=commit)}
    weights = {
        path: etag(found)
        for path, found in files.items()
        if hasattr(found, "blob_id") and is_weight_file(path) and not path.endswith(".json")
    }
    own = set(released)
    if weights.keys() and SIDECAR in files:
        own |= _listed(api, repo_id, commit)
    return tuple(sorted(path for path, digest in weights.items() if digest not in own))


def _listed(api: HfApi, repo_id: str, commit: str) -> set[str]:
    """Return the digests that the record of a commit lists; none if it cannot be read."""
    try:
        path = Path(api.hf_hub_download(repo_id, SIDECAR, revision=commit))
        record: Any = json.loads(path.read_text(encoding="utf-8"))
        return set(record["files"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
