"""A model repository on the Hub: what it holds, and one commit onto it, every failure told in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mergeguard_hub.errors import PushError

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi

_SAFE = "Nothing was changed in the repository"


@dataclass(frozen=True)
class Destination:
    """Where a push goes.

    Attributes:
        repo_id: "owner/model", or "model" of the account that the token belongs to.
        revision: branch, made from the main branch if there is none of that name; the main branch by default.
        create_pr: open a pull request instead of committing to the branch.
        private: whether a repository made for this push is private; None leaves it to the account's default.
        token: access token; by default the one that `hf auth login` stored.
    """

    repo_id: str
    revision: str | None = None
    create_pr: bool = False
    private: bool | None = None
    token: str | bool | None = None


@dataclass(frozen=True)
class Head:
    """The newest commit of a branch: its id, and path -> sha256 (large files) or git's id (others)."""

    commit: str
    files: dict[str, str]


class Remote:
    """One repository, opened for one push."""

    def __init__(self, where: Destination) -> None:
        """Ask for the client only here: finding a folder by its Hub id needs none of this."""
        from huggingface_hub import HfApi

        from mergeguard_hub import __version__

        self.api: HfApi = HfApi(token=where.token, library_name="mergeguard-hub", library_version=__version__)
        self.where = where
        self.repo_id = where.repo_id
        self._made_branch = False

    def open(self) -> Head:
        """Make the repository and the branch where they are missing, and return the branch's head."""
        with told(self.where):
            made = self.api.create_repo(self.repo_id, private=self.where.private, exist_ok=True)
            self.repo_id = str(made.repo_id)
            revision = self.where.revision
            if revision not in (None, "main") and not str(revision).startswith("refs/"):
                self._make_branch(str(revision))
            return self.head()

    def head(self) -> Head:
        """Return what the branch holds now."""
        from huggingface_hub import RepoFile

        commit = str(self.api.repo_info(self.repo_id, revision=self.where.revision).sha)
        listed = self.api.list_repo_tree(self.repo_id, recursive=True, revision=commit)
        return Head(commit, {found.path: etag(found) for found in listed if isinstance(found, RepoFile)})

    def text(self, path: str, head: Head) -> str | None:
        """Return a small text file of the head, None if it has none."""
        if path not in head.files:
            return None
        with told(self.where):
            file = self.api.hf_hub_download(self.repo_id, path, revision=head.commit)
            with open(file, encoding="utf-8", errors="replace", newline="") as opened:
                return opened.read()

    def commit(self, operations: Sequence[Any], head: Head, *, message: str, description: str | None) -> CommitInfo:
        """Upload what is missing, then make one commit onto `head`; a commit of which only the answer is lost counts.

        Raises:
            PushError: it did not arrive; the branch is as it was.
        """
        try:
            with told(self.where):
                return self.api.create_commit(
                    self.repo_id,
                    operations,
                    commit_message=message,
                    commit_description=description,
                    revision=self.where.revision,
                    create_pr=self.where.create_pr,
                    parent_commit=head.commit,
                )
        except PushError as error:
            landed = None if self.where.create_pr else self._landed(operations, head, message)
            if landed is not None:
                return landed
            self.undo(head)
            empty = head.files.keys() <= {".gitattributes"}
            raise PushError(f"{error} It is there, and empty." if empty else str(error)) from error

    def _landed(self, operations: Sequence[Any], head: Head, message: str) -> CommitInfo | None:
        """Return the commit if it is there although its answer never came."""
        from huggingface_hub import CommitInfo, CommitOperationAdd
        from huggingface_hub.errors import HfHubHTTPError

        try:
            now = self.head()
        except (OSError, HfHubHTTPError):
            return None
        if now.commit == head.commit:
            return None
        added = {operation.path_in_repo for operation in operations if isinstance(operation, CommitOperationAdd)}
        deleted = {operation.path_in_repo for operation in operations} - added
        sums = {op.path_in_repo: op.upload_info.sha256.hex() for op in operations if op.path_in_repo in added}
        same = all(now.files.get(path) in (sums[path], _git_id(operations, path)) for path in added)
        if not same or deleted & now.files.keys():
            return None
        url = f"{self.api.endpoint}/{self.repo_id}/commit/{now.commit}"
        return CommitInfo(commit_url=url, commit_message=message, commit_description="", oid=now.commit)

    def _make_branch(self, branch: str) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        try:
            self.api.create_branch(self.repo_id, branch=branch)
            self._made_branch = True
        except HfHubHTTPError as error:
            known = error.response.status_code == 409
            if not known and not (error.response.status_code == 403 and self.where.create_pr):
                raise

    def undo(self, head: Head) -> None:
        """Take back a branch that was made for a push that failed, unless somebody else has used it since."""
        from huggingface_hub.errors import HfHubHTTPError

        if not self._made_branch or self.where.revision is None:
            return
        try:
            if self.head().commit == head.commit:
                self.api.delete_branch(self.repo_id, branch=self.where.revision)
        except (OSError, HfHubHTTPError):
            return


def etag(file: Any) -> str:
    """Return what a listing says of a file's content: sha256 of a large file, git's id of another."""
    return str(file.lfs.sha256 if file.lfs is not None else file.blob_id)


def _git_id(operations: Sequence[Any], path: str) -> str:
    import hashlib

    operation = next(op for op in operations if op.path_in_repo == path)
    with operation.as_file() as file:
        data: bytes = file.read()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


_STATUS: Mapping[int, str] = {
    401: "the Hub does not know this token, or there is none; log in with `hf auth login`, or give token=",
    403: "this token may not write there; use one with write access to that namespace, or push with create_pr=True",
    404: "it is not there, or the token may not see it; check the name",
    409: "it is in the middle of another change; try again in a minute",
    412: "somebody else committed at the same time; look at what they did, then push again",
    413: "a file is larger than the Hub takes; give a smaller max_shard_size",
    429: "the Hub asks for fewer requests; try again later",
}


@contextmanager
def told(where: Destination) -> Iterator[None]:
    """Turn every failure of the client into one `PushError` that says what the repository is left as."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    name = f"{where.repo_id!r}" + (f" at {where.revision!r}" if where.revision else "")
    try:
        yield
    except HFValidationError as error:
        kind, _, rest = where.repo_id.partition("/")
        other = f" that names a {kind[:-1]} repository:" if kind in ("datasets", "spaces") and rest else ""
        raise PushError(
            f"{where.repo_id!r} cannot be the name of a model repository;{other} give 'model' or 'owner/model'."
        ) from error
    except LocalTokenNotFoundError as error:
        raise PushError(f"Pushing to {name} needs a token, and there is none; log in with `hf auth login`.") from error
    except (HfHubHTTPError, OSError, RuntimeError, ValueError) as error:
        raise PushError(f"The push to {name} failed: {_reason(error)}. {_SAFE}.") from error
    except Exception as error:
        if not _of_the_network(error):
            raise
        raise PushError(f"The push to {name} failed: {_reason(error)}. {_SAFE}.") from error


def _reason(error: BaseException) -> str:
    """Return why, from the innermost error that says it: the client wraps those of single files."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            if status >= 500:
                return f"the Hub answered {status}; push again, what was uploaded already is kept"
            return _STATUS.get(status, f"the Hub answered {status} ({' '.join(str(cause).split())})")
        if isinstance(cause, OfflineModeIsEnabled):
            return "offline mode is on; unset HF_HUB_OFFLINE"
        if _of_the_network(cause):
            return "the connection was lost; push again, what was uploaded already is kept"
        cause = cause.__cause__ or cause.__context__
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _of_the_network(error: BaseException) -> bool:
    """Whether the HTTP library raised it; which one that is depends on the version of huggingface_hub."""
    return isinstance(error, ConnectionError) or type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore")
