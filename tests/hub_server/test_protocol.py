"""The server against the real client: what it keeps, what it answers, what it logs, and how it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub_server import CLIENT_WARNS, READ_TOKEN, TOKEN, Fault, LocalHub, connect

pytestmark = CLIENT_WARNS
WEIGHTS = b"\0weights" * 100


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    with LocalHub() as server:
        connect(server, monkeypatch, tmp_path / "home")
        yield server


def _push(api: HfApi, files: dict[str, bytes], **options: object) -> object:
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in files.items()]
    return api.create_commit("me/model", operations, commit_message="Upload", **options)  # type: ignore[arg-type]


def test_what_is_pushed_is_pulled(hub: LocalHub) -> None:
    """Large files through LFS, small ones in the commit; unchanged ones make no commit."""
    api = HfApi()
    assert api.create_repo("me/model", private=True).repo_id == "me/model"
    assert api.create_repo("me/model", exist_ok=True).repo_id == "me/model"
    files = {"config.json": b"{}", "model.safetensors": WEIGHTS, "unet/config.json": b"[]"}
    _push(api, files)
    _push(api, files)
    assert [commit.title for commit in api.list_repo_commits("me/model")] == ["Upload", "initial commit"]
    folder = Path(snapshot_download("me/model"))
    assert {name: (folder / name).read_bytes() for name in files} == files
    listed = {found.path: found for found in api.list_repo_tree("me/model", recursive=True)}
    assert listed["model.safetensors"].lfs.size == len(WEIGHTS)  # type: ignore[union-attr]
    assert listed.keys() == {*files, ".gitattributes", "unet"}
    assert api.model_info("me/model").private is True
    puts = [exchange for exchange in hub.log if exchange.method == "PUT"]
    assert [put.body for put in puts] == [WEIGHTS]


def test_deletions_branches_pull_requests_and_squashing(hub: LocalHub) -> None:
    """Each is a commit with a parent; squashing leaves one."""
    api = HfApi()
    api.create_repo("me/model")
    _push(api, {"a.txt": b"a", "old/b.txt": b"b"})
    api.create_branch("me/model", branch="next")
    api.create_commit(
        "me/model", [CommitOperationDelete("a.txt"), CommitOperationDelete("old/")], commit_message="Less"
    )
    assert hub.files("me/model").keys() == {".gitattributes"}
    assert hub.files("me/model", "next").keys() == {".gitattributes", "a.txt", "old/b.txt"}
    pull = _push(api, {"c.txt": b"c"}, create_pr=True)
    assert pull.pr_revision == "refs/pr/1"  # type: ignore[attr-defined]
    assert "c.txt" in hub.files("me/model", "refs/pr/1")
    assert "c.txt" not in hub.files("me/model")
    assert {ref.name for ref in api.list_repo_refs("me/model", include_pull_requests=True).branches} == {"main", "next"}
    assert Path(snapshot_download("me/model", revision="refs/pr/1"), "c.txt").read_bytes() == b"c"
    api.super_squash_history("me/model")
    assert len(api.list_repo_commits("me/model")) == 1


@pytest.mark.parametrize(
    ("token", "repo_id", "status"), [("hf_wrong", "me/x", 401), (READ_TOKEN, "me/x", 403), (TOKEN, "you/x", 403)]
)
def test_who_may_not_write(hub: LocalHub, token: str, repo_id: str, status: int) -> None:
    """Nothing is made."""
    with pytest.raises(HfHubHTTPError) as caught:
        HfApi(token=token).create_repo(repo_id)
    assert caught.value.response.status_code == status
    assert hub.repositories == {}


def test_what_is_not_there(hub: LocalHub, tmp_path: Path) -> None:
    """The codes that the client knows, and a stale parent."""
    api = HfApi()
    (tmp_path / "model").mkdir()
    hub.add("me/gated", tmp_path / "model", gated=True)
    api.create_repo("me/model")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("me/absent")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("me/model", revision="absent")
    with pytest.raises(GatedRepoError):
        HfApi(token="hf_wrong").model_info("me/gated")
    with pytest.raises(HfHubHTTPError, match="A commit has happened since"):
        _push(api, {"a.txt": b"a"}, parent_commit="0" * 40)
    with pytest.raises(ValueError, match="Invalid metadata"):
        _push(api, {"README.md": b"---\ntags: [\n---\n"})
    assert [commit.title for commit in api.list_repo_commits("me/model")] == ["initial commit"]


@pytest.mark.parametrize(("status", "done"), [(503, False), (None, False), (None, True)])
def test_faults(hub: LocalHub, status: int | None, done: bool) -> None:
    """An upload goes on after them; a commit whose answer was lost is there."""
    api = HfApi()
    api.create_repo("me/model")
    hub.faults.append(Fault("PUT", "/_lfs/", status=status, times=2, done=done))
    _push(api, {"model.safetensors": WEIGHTS})
    assert hub.files("me/model")["model.safetensors"] == WEIGHTS
    assert [exchange.status for exchange in hub.log if exchange.method == "PUT"] == [status or 0, status or 0, 200]
    hub.faults.append(Fault("POST", "/commit/", status=status, done=done))
    with pytest.raises(Exception, match=r"503|disconnected"):
        _push(api, {"a.txt": b"a"})
    assert ("a.txt" in hub.files("me/model")) is done
