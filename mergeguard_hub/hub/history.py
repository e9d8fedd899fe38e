"""Raw weights that earlier commits of a repository still hand out."""

from __future__ import annotations

import json
import shlex
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
MAIN = "refs/heads/main"
_BRANCH = "refs/heads/"


@dataclass(frozen=True)
class Exposure:
    """Earlier commits with weights that belong to no protected release.

    Attributes:
        repo_id: the repository.
        commits: commit -> the weight files in question; empty where only older ones than were looked at may have any.
        references: branches, tags and pull requests that lead to them, as git names them.
        complete: whether every commit was looked at.
        own: the branch or pull request that was pushed to.
        main_is_raw: whether the newest commit of the main branch is among them.
    """

    repo_id: str
    commits: dict[str, tuple[str, ...]]
    references: tuple[str, ...]
    complete: bool
    own: str = MAIN
    main_is_raw: bool = False

    @property
    def squash(self) -> str:
        """The command that leaves one commit of the main branch and of the one pushed to; empty where none helps."""
        branches = [name for name in dict.fromkeys((MAIN, self.own)) if name in self.references]
        if not self.commits:
            branches = [MAIN]
        more = [f", branch={json.dumps(_plain(name))}" if name != MAIN else "" for name in branches if _is_branch(name)]
        calls = [f"HfApi().super_squash_history({json.dumps(self.repo_id)}{branch})" for branch in more]
        return shlex.join(["python", "-c", "; ".join(["from huggingface_hub import HfApi", *calls])]) if calls else ""

    def __str__(self) -> str:
        """Say it in a few sentences, with the command."""
        if not self.commits:
            return (
                f"{self.repo_id}: its newest {MOST} commits were looked at, and hand out no weights but those of "
                f"protected releases. Older ones may. To remove the history of the main branch: {self.squash}"
            )
        names = sorted({name for files in self.commits.values() for name in files})
        said = [
            f"{self.repo_id}: {len(self.commits)} earlier commit(s), the newest {next(iter(self.commits))[:8]}, still "
            f"hand out weights that are not of a protected release ({', '.join(names[:3])}"
            f"{', ...' if len(names) > 3 else ''}). Whoever asks for that commit gets them."
        ]
        if self.main_is_raw:
            does = "push to it, or merge into it" if _is_branch(self.own) else "merge this pull request"
            said.append(f"The main branch as it is now is one of them: {does} first.")
        if self.squash:
            said.append(f"To remove the history{' of the main branch' if self.own == MAIN else ''}: {self.squash}")
        if others := [_plain(name) for name in self.references if name not in (MAIN, self.own)]:
            said.append(f"Delete or close{' as well' if self.squash else ''}: {', '.join(others)}.")
        return " ".join([*said, "What somebody has downloaded already stays theirs."])


def exposure(api: HfApi, repo_id: str, released: Collection[str], *, before: str, own: str = "main") -> Exposure | None:
    """Look for weights of no release in the commits of a repository.

    A weight file counts as released if its digest is among `released`, or among those that the release record in the
    same commit lists. Other branches, tags and pull requests are looked at as well.

    Args:
        api: a client with the owner's token.
        repo_id: the repository.
        released: sha256 of the weight files of the present release.
        before: the newest commit to look at on the branch that was pushed to; what came after is the push.
        own: that branch, or the pull request that was made.

    Returns:
        What was found; None if every commit was looked at and nothing was.
    """
    own = own if own.startswith("refs/") else _BRANCH + own
    found: dict[str, tuple[str, ...]] = {}
    references: dict[str, None] = {}
    seen: set[str] = set()
    main: str | None = None
    complete = True
    for name, commit in _commits(api, repo_id, before, own):
        main = commit if main is None and name == MAIN and own != MAIN else main
        if commit not in seen and len(seen) >= MOST:
            complete = False
            break
        if commit not in seen:
            seen.add(commit)
            if files := _raw_files(api, repo_id, commit, released):
                found[commit] = files
        if commit in found:
            references[name] = None
    if complete and not found:
        return None
    return Exposure(repo_id, found, tuple(references), complete, own, main in found)


def _is_branch(reference: str) -> bool:
    return reference.startswith(_BRANCH)


def _plain(reference: str) -> str:
    return reference.removeprefix(_BRANCH).removeprefix("refs/tags/")


def _commits(api: HfApi, repo_id: str, before: str, own: str) -> Iterator[tuple[str, str]]:
    """Yield references, the one that was pushed to first, with their commits, the newest first."""
    for commit in api.list_repo_commits(repo_id, revision=before):
        yield own, commit.commit_id
    refs = api.list_repo_refs(repo_id, include_pull_requests=True)
    for ref in (*refs.branches, *refs.tags, *(refs.pull_requests or [])):
        if ref.ref != own:
            for commit in api.list_repo_commits(repo_id, revision=ref.target_commit):
                yield ref.ref, commit.commit_id


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
