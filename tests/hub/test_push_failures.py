"""Bad input and bad luck: one clear sentence each, and a repository that is as it was, or complete."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from transformers import AutoModelForCausalLM

from mergeguard_hub.errors import (
    CardError,
    HookError,
    InvalidCheckpointError,
    KeyFileError,
    MergeGuardError,
    ModifiedReleaseError,
    NotProtectedError,
    PushError,
    UnsupportedFormatError,
)
from mergeguard_hub.hub import enable, push_folder
from mergeguard_hub.hub.remote import Remote
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release import protect_folder
from tests import tiny
from tests.hub import zoo
from tests.hub.pushing import push_raw, same_answers, titles
from tests.hub_server import CLIENT_WARNS, READ_TOKEN, Fault, LocalHub

pytestmark = CLIENT_WARNS
KEY = Key(bytes(range(32)))


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A protected folder."""
    tiny.llama().save_pretrained(tmp_path / "raw")
    protect_folder(tmp_path / "raw", tmp_path / "release", key=KEY)
    return tmp_path / "release"


def published(hub: LocalHub, tmp_path: Path) -> dict[str, bytes]:
    """Publish something older, and return what the repository holds."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old/pytorch_model.bin").write_bytes(b"\0old")
    push_raw("me/model", tmp_path / "old")
    return hub.files("me/model")


# Folders that must not go up


def _raw_weights(release: Path) -> None:
    (release / "model.safetensors").write_bytes((release.parent / "raw/model.safetensors").read_bytes())


def _no_claim(release: Path) -> None:
    (release / "mergeguard.json").unlink()
    (release / "config.json").write_bytes((release.parent / "raw/config.json").read_bytes())


def _inherited(release: Path) -> None:
    (release / "mergeguard.json").unlink()
    _raw_weights(release)


FOLDERS: dict[str, tuple[Any, type[MergeGuardError], str]] = {
    "raw weights put in": (
        _raw_weights,
        ModifiedReleaseError,
        "claims to be sha256:.* they were changed after protect",
    ),
    "raw folder": (_no_claim, NotProtectedError, "is not protected, so pushing it would publish raw weights"),
    "adapter": (
        lambda release: (_no_claim(release), (release / "adapter_config.json").write_text("{}")),
        NotProtectedError,
        r"holds an adapter, which cannot be protected alone.*Merge it \(merge_and_unload\(\)\)",
    ),
    "inherited claim": (_inherited, ModifiedReleaseError, "inherited the claim of another release"),
    "no record": (
        lambda release: (release / "mergeguard.json").unlink(),
        NotProtectedError,
        r"its mergeguard.json is missing, without which not even the owner can unlock",
    ),
    "damaged record": (
        lambda release: (release / "mergeguard.json").write_text("{"),
        InvalidCheckpointError,
        "is not readable JSON",
    ),
    "a key": (lambda release: KEY.save(release / "notes.json"), KeyFileError, "holds the key file notes.json"),
    "raw copy": (
        lambda release: (release / "pytorch_model.bin").write_bytes(b"\0"),
        UnsupportedFormatError,
        r"holds weights beside model.safetensors: pytorch_model.bin",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folders_that_must_not_go_up(hub: LocalHub, release: Path, case: str) -> None:
    """Refused before the Hub hears of it."""
    spoil, error, message = FOLDERS[case]
    spoil(release)
    with pytest.raises(error, match=message):
        push_folder(release, "me/model")
    assert hub.log == []


def test_weights_that_change_under_the_push(hub: LocalHub, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the check and the upload."""
    opened = Remote.open

    def swapped(self: Remote) -> Any:
        _raw_weights(release)
        return opened(self)

    monkeypatch.setattr(Remote, "open", swapped)
    with pytest.raises(PushError, match="was changed while it was being pushed. Nothing was uploaded"):
        push_folder(release, "me/model")
    assert hub.files("me/model").keys() == {".gitattributes"}
    assert [exchange for exchange in hub.log if exchange.method == "PUT"] == []


# Names and rights


@pytest.mark.parametrize(
    ("repo_id", "options", "message"),
    [
        ("datasets/me/model", {}, "model repository; that names a dataset repository: give 'model' or 'owner/model'"),
        ("me/<b>model", {}, "cannot be the name of a model repository"),
        ("m" * 200, {}, "cannot be the name of a model repository"),
        ("me/model", {"token": "hf_wrong"}, "the Hub does not know this token, or there is none"),
        ("me/model", {"token": READ_TOKEN}, "this token may not write there"),
        ("you/model", {}, "this token may not write there"),
    ],
)
def test_names_and_rights(hub: LocalHub, release: Path, repo_id: str, options: dict[str, Any], message: str) -> None:
    """Nothing is made."""
    with pytest.raises(PushError, match=message):
        push_folder(release, repo_id, **options)
    assert hub.repositories == {}


def test_a_readme_that_cannot_be_extended_makes_no_repository(hub: LocalHub, release: Path) -> None:
    """It is looked at before the Hub hears of the push."""
    (release / "README.md").write_text("---\ntags: [\n---\n")
    with pytest.raises(CardError, match="no valid YAML in line 3.* It is the README of .*release, and nothing was upl"):
        push_folder(release, "me/model")
    assert hub.log == []


def test_a_repository_that_was_made_for_a_push_that_failed(hub: LocalHub, release: Path) -> None:
    """Is there, and the message does not hide it."""
    hub.faults.append(Fault("POST", "/commit/", status=503, times=99))
    with pytest.raises(PushError, match="Nothing was changed in the repository. It is there, and empty.$"):
        push_folder(release, "me/model")
    assert hub.files("me/model").keys() == {".gitattributes"}


def test_no_token(hub: LocalHub, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither given nor stored."""
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PushError, match="log in with `hf auth login`"):
        push_folder(release, "me/model")
    assert hub.repositories == {}


@pytest.mark.parametrize("option", ["allow_patterns", "ignore_patterns", "delete_patterns"])
def test_patterns_of_the_hub_mixin(hub: LocalHub, option: str) -> None:
    """They would make half a release."""
    model = enable(zoo.Classifier(), key=KEY)
    with pytest.raises(HookError, match=f"{option}= does not go with a protected push"):
        model.push_to_hub("me/model", **{option: ["*"]})
    assert hub.log == []


# The network


@pytest.mark.parametrize("status", [503, None], ids=["503", "cut"])
@pytest.mark.parametrize("part", ["/preupload/", "/objects/batch", "/_lfs/", "/commit/"])
def test_a_push_that_fails_leaves_the_repository_and_the_next_one_completes(
    hub: LocalHub, release: Path, tmp_path: Path, part: str, status: int | None
) -> None:
    """Old files only, then the whole release; never a part."""
    before = published(hub, tmp_path)
    method = "PUT" if part == "/_lfs/" else "POST"
    fault = Fault(method, part, status=status, times=99)
    hub.faults.append(fault)
    with pytest.raises(
        PushError, match=r"(answered 503|connection was lost); push again.* Nothing was changed"
    ) as caught:
        push_folder(release, "me/model", revision="next" if part == "/commit/" else None)
    assert "\n" not in str(caught.value)
    assert hub.files("me/model") == before
    assert hub.repositories["me/model"].refs.keys() == {"main"}
    hub.faults.clear()
    push_folder(release, "me/model")
    assert "pytorch_model.bin" not in hub.files("me/model")
    assert same_answers(tiny.llama(), AutoModelForCausalLM.from_pretrained("me/model").eval())


def test_a_cut_in_the_middle_of_an_upload(hub: LocalHub, release: Path, tmp_path: Path) -> None:
    """Half of the weights have come in, five times; nothing of them is to be seen."""
    before = published(hub, tmp_path)
    hub.faults.append(Fault("PUT", "/_lfs/", status=None, times=99, after_bytes=40_000))
    with pytest.raises(PushError, match="the connection was lost; push again"):
        push_folder(release, "me/model")
    assert hub.files("me/model") == before
    assert {len(exchange.body) for exchange in hub.log if exchange.method == "PUT"} >= {40_000}


@pytest.mark.parametrize("together", [2, 4])
def test_pushes_from_several_threads(hub: LocalHub, release: Path, together: int) -> None:
    """One commit is made; the others find it done, or are told. What is there is whole."""

    def push(_: int) -> str:
        try:
            return push_folder(release, "me/model").commit.oid
        except PushError as error:
            return str(error)

    with ThreadPoolExecutor(together) as pool:
        ends = list(pool.map(push, range(together)))
    commit = hub.repositories["me/model"].resolve("main").oid
    assert commit in ends
    assert all(end == commit or "committed at the same time" in end for end in ends)
    assert len(titles(hub)) == 2
    assert same_answers(tiny.llama(), AutoModelForCausalLM.from_pretrained("me/model").eval())


def test_short_interruptions_are_ridden_out(hub: LocalHub, release: Path) -> None:
    """As huggingface_hub does."""
    hub.faults += [Fault("PUT", "/_lfs/", status=None, times=2), Fault("POST", "/objects/batch", status=503)]
    push_folder(release, "me/model")
    assert len(titles(hub)) == 2
    assert "model.safetensors" in hub.files("me/model")


def test_an_upload_is_not_repeated_after_a_failed_commit(hub: LocalHub, release: Path) -> None:
    """What was uploaded is kept by the Hub."""
    hub.faults.append(Fault("POST", "/commit/", status=503))
    with pytest.raises(PushError, match="the Hub answered 503; push again, what was uploaded already is kept"):
        push_folder(release, "me/model")
    push_folder(release, "me/model")
    assert len([exchange for exchange in hub.log if exchange.method == "PUT"]) == 1


def test_a_commit_whose_answer_is_lost_counts(hub: LocalHub, release: Path) -> None:
    """It is there, and not made twice."""
    hub.faults.append(Fault("POST", "/commit/", status=None, done=True))
    done = push_folder(release, "me/model")
    assert done.commit.oid == hub.repositories["me/model"].resolve("main").oid
    assert len(titles(hub)) == 2


def test_two_pushes_at_once(hub: LocalHub, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is told; what the first made is whole."""
    head = Remote.head

    def overtaken(self: Remote) -> Any:
        found = head(self)
        monkeypatch.undo()
        HfApi(endpoint=hub.url, token="hf_local").upload_file(
            path_or_fileobj=b"theirs", path_in_repo="notes.txt", repo_id="me/model"
        )
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "head", overtaken)
        monkeypatch = patch  # type: ignore[assignment]
        with pytest.raises(PushError, match="somebody else committed at the same time"):
            push_folder(release, "me/model")
    assert hub.files("me/model").keys() == {".gitattributes", "notes.txt"}


def test_a_history_that_cannot_be_read_does_not_undo_the_push(
    hub: LocalHub, release: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said."""
    hub.faults.append(Fault("GET", "/commits/", status=500, times=99))
    assert push_folder(release, "me/model").exposure is None
    assert "me/model was pushed, and its history could not be looked at" in caplog.text
    assert json.loads(hub.files("me/model")["mergeguard.json"])["version"] == 1
