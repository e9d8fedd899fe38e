"""What the tests of the command line start from."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest

from mergeguard_hub.protection.key import Key
from tests import tiny
from tests.cli.library import SECRET, Library
from tests.cli.place import SHARDED, shell


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """Replace the functions of `mergeguard_hub.release`."""
    fake = Library()
    release = importlib.import_module("mergeguard_hub.release")
    for name in ("protect_folder", "unlock_folder", "verify_folder", "inspect_folder", "read_sidecar"):
        monkeypatch.setattr(release, name, getattr(fake, name), raising=False)
    return fake


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder holds a folder called model, and a key."""
    monkeypatch.chdir(tmp_path)
    Key(SECRET).save("k.mgkey")
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sharded tiny Llama in model/, a key, and its release in out/, made by the real command."""
    here = tmp_path_factory.mktemp("place")
    tiny.save(tiny.llama(), here / "model", **SHARDED)
    (here / "model" / "README.md").write_text("# A model\n")
    Key(bytes(range(32))).save(here / "k.mgkey")
    done = shell("protect", "model", "out", "--key", "k.mgkey", "--json", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    (here / "report.json").write_text(done.stdout)
    return here


@pytest.fixture
def copy(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder that a test may change; it is the current folder."""
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
