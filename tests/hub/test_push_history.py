"""Weights that are public already: what a push says of them, and the command that removes them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mergeguard_hub.hub import history, push_folder
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release import protect_folder
from tests import tiny
from tests.hub_server import CLIENT_WARNS, LocalHub

pytestmark = CLIENT_WARNS
KEY = Key(bytes(range(32)))
SQUASH = 'HfApi().super_squash_history("me/model")'


@pytest.fixture
def release(hub: LocalHub, tmp_path: Path) -> Path:
    """A protected folder, and a repository that holds its raw weights."""
    tiny.llama().save_pretrained(tmp_path / "raw")
    protect_folder(tmp_path / "raw", tmp_path / "release", key=KEY)
    hub.add("me/model", tmp_path / "raw")
    return tmp_path / "release"


def told(release: Path, **options: object) -> str:
    """Push, and return what is said of the history."""
    return str(push_folder(release, "me/model", **options).exposure)  # type: ignore[arg-type]


def run(command: str) -> None:
    """Run the command that a warning ends with, in this process, as a shell would take it apart."""
    python, option, code = shlex.split(command)
    assert (python, option) == ("python", "-c")
    exec(code)


def test_the_command_does_what_it_says(hub: LocalHub, release: Path) -> None:
    """After it nothing raw is left, and nothing is said."""
    exposed = push_folder(release, "me/model").exposure
    assert exposed is not None
    run(exposed.squash)
    assert len(hub.repositories["me/model"].history("main")) == 1
    assert push_folder(release, "me/model").exposure is None


def test_a_pull_request_leaves_the_main_branch_raw(hub: LocalHub, release: Path) -> None:
    """It has to be merged first, and is not among what is to be closed."""
    text = told(release, create_pr=True)
    assert "The main branch as it is now is one of them: merge this pull request first. To remove" in text
    assert SQUASH in text
    assert "close" not in text


def test_a_branch_is_squashed_by_its_name(hub: LocalHub, release: Path) -> None:
    """Both have the commit; the main branch still shows it."""
    exposed = push_folder(release, "me/model", revision="next").exposure
    assert exposed is not None
    assert "The main branch as it is now is one of them: push to it, or merge into it first." in str(exposed)
    assert exposed.squash.endswith(f'{SQUASH}; {SQUASH[:-1]}, branch="next")\'')
    push_folder(release, "me/model")
    run(exposed.squash)
    assert push_folder(release, "me/model", revision="next").exposure is None


def test_the_main_branch_is_looked_at_from_another(hub: LocalHub, release: Path) -> None:
    """Raw weights that came to it after the branch had left."""
    repository = hub.repositories["me/model"]
    first = repository.record("main", "no weights", {}, None)
    repository.refs["next"] = first.oid
    hub.add("me/model", release.parent / "raw")
    exposed = push_folder(release, "me/model", revision="next").exposure
    assert exposed is not None
    assert exposed.main_is_raw
    assert exposed.squash.count("super_squash") == 1


def test_only_another_branch_is_raw(hub: LocalHub, release: Path) -> None:
    """Squashing the main branch would not help, so it is not offered."""
    repository = hub.repositories["me/model"]
    repository.refs["old"] = repository.refs["main"]
    repository.record("main", "begin again", {}, None)
    exposed = push_folder(release, "me/model").exposure
    assert exposed is not None
    assert exposed.squash == ""
    assert "gets them. Delete or close: old. What" in str(exposed)


def test_more_commits_than_are_looked_at(hub: LocalHub, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, although nothing raw was seen."""
    push_folder(release, "me/model")
    hub.add("me/model", release)
    monkeypatch.setattr(history, "MOST", 1)
    text = told(release)
    assert "its newest 1 commits were looked at, and hand out no weights but those of protected releases" in text
    assert SQUASH in text
