"""The tab for a visitor's own model: what is taken, what is refused, and what is left behind: nothing."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import Browser

from mergeguard_hub import Key, unlock_folder, verify_folder
from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError
from space.choice import ChoiceError
from space.pages.yours import protect, protecting, publish
from space.pages.yours.look import PRESETS, look_at, render
from space.pages.yours.model import received
from space.release import release, workspace
from space.shelf import SHELVES
from tests.space.visit import Visit

MODEL = SHELVES["vision"].folder("digits")
FILES = [str(MODEL / name) for name in ("model.safetensors", "config.json")]


def left_behind() -> set[str]:
    return {path.name for path in workspace().iterdir() if path.name.startswith("yours-")}


def file(folder: Path, name: str, content: bytes = b"x") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pytorch_model.bin", "such files can hold code, and are never opened here"),
        ("weights.pt", "such files can hold code"),
        ("model.zip", "is an archive, and none is unpacked here"),
        ("modeling.py", "is not taken; upload model.safetensors"),
        (".json", "is not taken"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ChoiceError, match=words), received("", [*FILES, file(tmp_path, name)]):
        pass
    assert left_behind() == set()


def test_a_model_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    config = json.loads((MODEL / "config.json").read_text()) | {"auto_map": {"AutoModel": "modeling.Mine"}}
    files = [FILES[0], file(tmp_path, "config.json", json.dumps(config).encode())]
    with pytest.raises(ChoiceError, match="needs code of its own"), received("", files):
        pass


def test_a_lying_header_is_refused_by_name(tmp_path: Path) -> None:
    lying = (1 << 60).to_bytes(8, "little") + b"{}"
    files = [file(tmp_path, "model.safetensors", lying), FILES[1]]
    with received("", files) as folder, pytest.raises(InvalidCheckpointError, match="model.safetensors"):
        look_at(folder)


@pytest.mark.parametrize(
    ("name", "words"), [("../../etc", "is not the id"), ("", "Give either"), ("a/b", "offline|reached")]
)
def test_ids_that_are_none_are_refused(name: str, words: str) -> None:
    with pytest.raises((ChoiceError, MissingFileError), match=words), received(name, None):
        pass


def test_either_an_id_or_files() -> None:
    with pytest.raises(ChoiceError, match="Give either the id of a model on the Hub or files"), received("a/b", FILES):
        pass


def test_too_large_uploads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("space.pages.yours.model.LARGEST_BYTES", 1000)
    with pytest.raises(ChoiceError, match="at most 0 MB are taken"), received("", FILES):
        pass


def test_a_look_says_what_each_preset_would_move() -> None:
    with received("", FILES) as folder:
        look = look_at(folder)
    text = render(look)
    assert set(look.inspections) == set(PRESETS)
    assert "ViTForImageClassification" in text
    covered = look.inspections["exact"].components[0].covered
    assert covered > 0.8
    assert f"exact: would move the model: {100 * covered:.0f}% of attention and MLP weights" in text


def test_a_release_is_recognised() -> None:
    assert "is a protected release already" in render(look_at(release("digits")))


def test_the_key_shown_gives_the_original_back_and_nothing_else_keeps_it(tmp_path: Path) -> None:
    with received("", FILES) as folder:
        done = protecting.protect(folder, "exact")
    assert done.archive is not None
    with zipfile.ZipFile(done.archive) as archive:
        archive.extractall(tmp_path)
    done.archive.unlink()
    secret = json.loads(done.key)["secret"]
    assert not any(secret.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert verify_folder(tmp_path / "release", against=MODEL).ok
    key = tmp_path / "mine.mgkey"
    key.touch(mode=0o600)
    key.write_text(done.key)
    unlock_folder(tmp_path / "release", tmp_path / "original", key=Key.load(key))
    assert (tmp_path / "original" / "model.safetensors").read_bytes() == Path(FILES[0]).read_bytes()
    assert left_behind() == set()
    assert "merge-protected" in done.badge


def test_no_archive_stays_after_it_was_handed_over() -> None:
    before = set(workspace().glob("release-*.zip"))
    *_, last = protect("", FILES, "exact")
    assert "Protected just now" in last[0]
    assert set(workspace().glob("release-*.zip")) == before


def test_a_wrong_preset_and_a_missing_login_are_told() -> None:
    with pytest.raises(gr.Error, match="There is no preset 'rot13'"):
        list(protect("", FILES, "rot13"))
    with pytest.raises(gr.Error, match="Sign in first"):
        list(publish("", FILES, "exact", "me/mine", None))


def test_a_visitor_protects_a_model_in_the_browser(browser: Browser, address: str, tmp_path: Path) -> None:
    visit = Visit(browser, address, tab="yours")
    visit.page.locator("#yours-tab input[type=file]").set_input_files(FILES)
    visit.page.get_by_text("config.json").first.wait_for()
    visit.run("yours")
    assert "ViTForImageClassification" in visit.page.locator("#yours-result").inner_text()
    visit.photograph("yours-look")
    visit.page.locator("#yours-protect").click()
    visit.page.wait_for_selector("#yours-status :text('Protected just now')")
    visit.photograph("yours-protected")
    with visit.page.expect_download() as download:
        visit.page.locator("#yours-tab a[href$='.zip']").first.click()
    shutil.copy(download.value.path(), tmp_path / "release.zip")
    with zipfile.ZipFile(tmp_path / "release.zip") as archive:
        archive.extractall(tmp_path)
    assert verify_folder(tmp_path / "release", against=MODEL).ok
    assert "secret" in visit.page.locator("#yours-tab .cm-content").inner_text()
    assert visit.complaints == []
    visit.page.close()
