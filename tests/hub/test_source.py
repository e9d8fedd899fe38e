"""Sources: a folder here, a model on a Hub, and one clear sentence where there is neither."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub.errors import MissingFileError
from mergeguard_hub.hub.source import local_folder
from tests.hub_server import TOKEN, LocalHub

CODE = """
import json, sys
from mergeguard_hub.errors import MissingFileError
from mergeguard_hub.hub.source import local_folder
for source, settings in json.loads(sys.argv[1]):
    try:
        print(json.dumps({"folder": str(local_folder(source, **settings))}))
    except MissingFileError as error:
        print(json.dumps({"message": str(error)}))
"""


def ask(hub: LocalHub, place: Path, calls: list[Any], **env: str) -> tuple[list[dict[str, str]], str]:
    """Make calls of `local_folder` in one process of its own, in an empty folder; return the answers and its stderr."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, json.dumps(calls)],
        env=hub.environment(place.parent, PYTHONPATH=str(Path(__file__).parents[2]), **env),
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def contents(folder: str | Path) -> dict[str, bytes]:
    """Return every file below a folder by its relative name."""
    root = Path(folder)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@dataclass
class Visit:
    """What one process got from the Hub, and what the Hub saw."""

    published: Path
    answers: dict[str, dict[str, str]]
    stderr: str
    requests: list[str]


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "two segments": ("org/tiny", {}),
    "one segment": ("tiny", {}),
    "again": ("org/tiny", {}),
    "revision": ("org/tiny", {"revision": "v1"}),
    "folder": ("org/here", {}),
    "no token": ("org/gated", {}),
    "token": ("org/gated", {"token": TOKEN}),
    "absent": ("org/absent", {}),
    "no revision": ("org/tiny", {"revision": "v9"}),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """A Hub with a model of one weight file, a file in a subfolder and copies of the weights in other formats."""
    folder = tmp_path_factory.mktemp("published") / "model"
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "vae/config.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content of " + name.encode())
    with LocalHub() as server:
        for repo_id in ("org/tiny", "tiny", "org/here"):
            server.add(repo_id, folder)
        server.add("org/gated", folder, gated=True)
        (folder / "config.json").write_text("older")
        server.add("org/tiny", folder, revision="v1")
        yield server


@pytest.fixture(scope="module")
def visit(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    """All calls of CALLS, made by one process that has the folder org/here."""
    place = tmp_path_factory.mktemp("visitor") / "work"
    (place / "org" / "here").mkdir(parents=True)
    calls = [(source, {**settings, "quiet": True}) for source, settings in CALLS.values()]
    answers, stderr = ask(hub, place, calls)
    return Visit(place, dict(zip(CALLS, answers, strict=True)), stderr, list(hub.requests))


# On this machine


def test_a_folder_that_exists_is_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "tiny").mkdir(parents=True)
    found = [local_folder(source) for source in (tmp_path, str(tmp_path), "org/tiny", "~/org")]
    assert found == [tmp_path, tmp_path, Path("org/tiny"), tmp_path / "org"]


@pytest.mark.parametrize("source", ["/no/such/folder", "./out", "../out", "a/b/c", "~/nothing", "sp ace", "x" * 200])
def test_what_is_neither_a_folder_nor_an_id_is_named_as_both(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    with pytest.raises(MissingFileError, match=r"There is no folder .* cannot be a model on the Hub either"):
        local_folder(source)


# On the Hub


@pytest.mark.parametrize("call", ["two segments", "one segment"])
def test_a_model_is_downloaded_without_its_copies_in_other_formats(visit: Visit, call: str) -> None:
    assert contents(visit.answers[call]["folder"]) == {
        name: b"content of " + name.encode() for name in ("config.json", "model.safetensors", "vae/config.json")
    }


def test_a_second_call_downloads_nothing(visit: Visit) -> None:
    commit = Path(visit.answers["two segments"]["folder"]).name
    fetched = [line for line in visit.requests if line.startswith(f"GET /org/tiny/resolve/{commit}/")]
    assert visit.answers["again"] == visit.answers["two segments"]
    assert len(fetched) == 3


def test_a_revision_is_fetched_by_name(visit: Visit) -> None:
    assert contents(visit.answers["revision"]["folder"])["config.json"] == b"older"


def test_a_folder_wins_over_a_model_of_the_same_name(visit: Visit) -> None:
    assert visit.answers["folder"] == {"folder": "org/here"}
    assert not any("org/here" in line for line in visit.requests)


def test_a_gated_model_needs_a_token(visit: Visit) -> None:
    message = visit.answers["no token"]["message"]
    assert message.startswith("There is no folder 'org/gated' here, and the model 'org/gated' on http://127.0.0.1:")
    assert message.endswith("is gated; ask for access on its page, then log in with `hf auth login`.")
    assert "config.json" in contents(visit.answers["token"]["folder"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("absent", "is not there, or private; check the name"),
        ("no revision", "the model 'org/tiny' at revision 'v9' on http"),
    ],
)
def test_what_is_not_on_the_hub_is_one_sentence(visit: Visit, call: str, message: str) -> None:
    answer = visit.answers[call]["message"]
    assert answer.startswith(f"There is no folder {CALLS[call][0]!r} here")
    assert message in answer


def test_quiet_is_silent(visit: Visit) -> None:
    assert visit.stderr == ""


@pytest.mark.parametrize("env", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_without_a_hub_the_sentence_says_so(hub: LocalHub, tmp_path: Path, env: dict[str, str]) -> None:
    answers, _ = ask(hub, tmp_path / "work", [("org/tiny", {})], **env)
    assert "could not be fetched because the Hub cannot be reached from here" in answers[0]["message"]


def test_without_quiet_a_bar_is_drawn(hub: LocalHub, tmp_path: Path) -> None:
    _, stderr = ask(hub, tmp_path / "work", [("org/tiny", {})])
    assert "Fetching 3 files" in stderr


def test_an_empty_source_is_not_this_folder() -> None:
    with pytest.raises(MissingFileError, match="is empty.*shell variable unset"):
        local_folder("")
