"""Publishing a protected folder: verified first, then one commit that also deletes every other set of weights."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergeguard_hub.errors import MergeGuardError, PushError
from mergeguard_hub.hub.contents import Contents, read_contents
from mergeguard_hub.hub.history import Exposure, exposure
from mergeguard_hub.hub.remote import Destination, Head, Remote, told
from mergeguard_hub.hub.stale import stale_files

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

    from mergeguard_hub.hub.page import Page
    from mergeguard_hub.release.report import ProgressCallback

_logger = logging.getLogger("mergeguard_hub")


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        repo_id: the repository, with its owner.
        commit: the commit that was made, or the head that says the same already.
        unchanged: whether there was nothing to upload and nothing to delete, so that no commit was made.
        deleted: weight files of the repository that the commit deleted.
        exposure: earlier commits that still hand out other weights, if any.
    """

    repo_id: str
    commit: CommitInfo
    unchanged: bool
    deleted: tuple[str, ...]
    exposure: Exposure | None


@dataclass(frozen=True)
class Wording:
    """What a push says of itself.

    Attributes:
        message: title of the commit.
        description: its text.
        tags: for the card.
        base_model: id and revision of the model that was fine-tuned, for the card.
    """

    message: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    base_model: tuple[str, str | None] | None = None


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    commit_description: str | None = None,
    tags: Sequence[str] = (),
    token: str | bool | None = None,
    exclude: Sequence[str] = (),
    progress: ProgressCallback | None = None,
) -> Pushed:
    """Publish a protected release on the Hub.

    The folder is verified first. Then one commit adds its files, with a card, and deletes every other weight file of
    the repository: raw weights from an earlier push would be loaded in preference to the protected ones. Keys,
    optimizer state and a Trainer's checkpoints stay here. Pushing the same release again makes no commit.

    Earlier commits keep what they hold. If they hand out weights of no protected release, that is logged as a warning
    with the command that removes them, and returned.

    Args:
        folder: the release, as `protect_folder` or a protected `save_pretrained` wrote it.
        repo_id: "owner/model", or "model" of your own account; made if it does not exist.
        private: whether a new repository is private.
        revision: branch to push to, made from the main branch if there is none.
        create_pr: open a pull request instead.
        commit_message: title of the commit.
        commit_description: its text.
        tags: for the card, besides our own.
        token: access token; by default the one that `hf auth login` stored.
        exclude: `fnmatch` patterns of files to leave out.
        progress: called with `Progress` records.

    Raises:
        NotProtectedError, ModifiedReleaseError: the folder holds raw or changed weights; nothing is uploaded.
        KeyFileError, UnsupportedFormatError: a key, or other weights, lie in the folder; nothing is uploaded.
        PushError: the Hub cannot be reached or refuses; the repository is as it was.
    """
    return publish(
        Path(folder).expanduser(),
        Destination(repo_id, revision, create_pr, private, token),
        Wording(commit_message, commit_description, tuple(tags)),
        exclude=exclude,
        progress=progress,
    )


def publish(
    folder: Path,
    where: Destination,
    wording: Wording,
    *,
    below: str = "",
    exclude: Sequence[str] = (),
    only: Collection[str] | None = None,
    card_is_new: bool = False,
    progress: ProgressCallback | None = None,
) -> Pushed:
    """Push a release; `push_folder` says how.

    Args:
        folder: the release.
        where: repository and branch.
        wording: message and tags.
        below: folder of the repository that the release goes to; the others, and the card, are left alone.
        exclude: patterns of files to leave out.
        only: files that may go up, besides weights and record.
        card_is_new: whether the README in the folder was generated just now, so that one on the Hub has priority.
        progress: called with `Progress` records.
    """
    from mergeguard_hub.hub.page import Page, measured_of, page_of

    contents = read_contents(folder, exclude=exclude, only=only, progress=progress)
    below = below.strip("/")
    measured = None if below else measured_of(contents, card_is_new=card_is_new)
    remote = Remote(where)
    head = remote.open()
    try:
        with told(where):
            page = Page({}, {})
            if not below:
                page = page_of(contents, remote, head, wording, measured=measured, card_is_new=card_is_new)
            operations, deleted = _planned(contents, head, page, below)
    except MergeGuardError:
        remote.undo(head)
        raise
    if not operations and not deleted:
        return _finished(remote, contents, _present(remote, head), head, unchanged=True, deleted=())
    commit = remote.commit(
        [*operations, *_deletions(deleted)],
        head,
        message=wording.message or f"Upload protected release {contents.record['id']}",
        description=wording.description,
    )
    return _finished(remote, contents, commit, head, unchanged=False, deleted=deleted)


def _planned(contents: Contents, head: Head, page: Page, below: str) -> tuple[list[Any], tuple[str, ...]]:
    """Return the uploads, and the files that go."""
    texts = {**contents.texts(page.additions), **page.files}
    prefix = f"{below}/" if below else ""
    whole = {prefix + name for name in (*contents.weights, *contents.others, *texts)}
    return _additions(contents, texts, head, prefix), stale_files(head.files, whole, below=below)


def _additions(contents: Contents, texts: dict[str, bytes], head: Head, prefix: str) -> list[Any]:
    """Return the uploads of what the head does not have yet; a changed weight file since its digest is refused."""
    from huggingface_hub import CommitOperationAdd

    found = []
    sources: dict[str, Path | bytes] = {name: contents.folder / name for name in contents.weights}
    sources |= {**contents.others, **texts}
    for name, source in sources.items():
        path = prefix + name
        if contents.weights.get(name) is not None and head.files.get(path) == contents.weights[name]:
            continue
        operation = CommitOperationAdd(path_in_repo=path, path_or_fileobj=source)
        expected = contents.weights.get(name)
        if expected is not None and operation.upload_info.sha256.hex() != expected:
            raise PushError(
                f"{contents.folder / name} was changed while it was being pushed. Nothing was uploaded; push it again."
            )
        if head.files.get(path) not in names_of(operation):
            found.append(operation)
    return found


def names_of(operation: Any) -> tuple[str, ...]:
    """Return what a listing would say of the content of an upload, as a large file and as a small one."""
    import hashlib

    sha256: str = operation.upload_info.sha256.hex()
    if operation.upload_info.size > 10 << 20:
        return (sha256,)
    with operation.as_file() as file:
        data: bytes = file.read()
    return sha256, hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _deletions(paths: Sequence[str]) -> list[Any]:
    from huggingface_hub import CommitOperationDelete

    return [CommitOperationDelete(path_in_repo=path, is_folder=False) for path in paths]


def _present(remote: Remote, head: Head) -> CommitInfo:
    from huggingface_hub import CommitInfo

    url = f"{remote.api.endpoint}/{remote.repo_id}/commit/{head.commit}"
    return CommitInfo(commit_url=url, commit_message="", commit_description="", oid=head.commit)


def _finished(
    remote: Remote, contents: Contents, commit: CommitInfo, head: Head, *, unchanged: bool, deleted: tuple[str, ...]
) -> Pushed:
    """Look at the history, and say what was done. A history that cannot be read does not undo the push."""
    exposed = None
    try:
        with told(remote.where):
            own = str(commit.pr_revision or remote.where.revision or "main")
            exposed = exposure(remote.api, remote.repo_id, set(contents.weights.values()), before=head.commit, own=own)
    except PushError as error:
        _logger.warning(
            "%s was pushed, and its history could not be looked at for raw weights: %s", remote.repo_id, error.__cause__
        )
    if exposed is not None:
        _logger.warning("%s", exposed)
    return Pushed(remote.repo_id, commit, unchanged, deleted, exposed)
