"""replace=True: the new folder takes the place of the old one, with the user's other files, without stale weights."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, appear, swap
from mergeguard_hub.errors import TargetError
from tests.checkpoint.folders import plain, snapshot, write_sharded, write_single


def _replace(checkpoint: Checkpoint, target: Path, subfolder: str = "") -> None:
    with StagedFolder(target, sources=[checkpoint.root], replace=True) as staged:
        staged.allocate(checkpoint, subfolder)
        for entry in checkpoint.entries.values():
            staged.copy_tensor(checkpoint, entry, subfolder)
        staged.write_text("mergeguard.json", "{}")


def _weights(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in snapshot(folder).items() if ".safetensors" in name}


@pytest.fixture(params=["exchange", "two renames"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of putting a folder in another's place."""
    if request.param == "two renames":
        monkeypatch.setattr(swap, "_exchange", lambda one, other: False)
    return str(request.param)


def test_other_files_stay(tmp_path: Path, how: str) -> None:
    source, target = write_single(tmp_path / "source", plain()), write_single(tmp_path / "out", plain())
    (target / "README.md").write_text("# mine\n", encoding="utf-8")
    (target / "mergeguard.json").write_text("old", encoding="utf-8")
    write_single(target / "checkpoint-500", plain())
    (target / "empty").mkdir()
    (target / "latest").symlink_to("checkpoint-500")
    readme = (target / "README.md").stat().st_ino
    kept = snapshot(target / "checkpoint-500")
    _replace(Checkpoint.open(source), target)
    assert (target / "mergeguard.json").read_text(encoding="utf-8") == "{}"
    assert (target / "README.md").read_text(encoding="utf-8") == "# mine\n"
    assert (target / "README.md").stat().st_ino == readme, "linked, not copied"
    assert snapshot(target / "checkpoint-500") == kept
    assert (target / "empty").is_dir()
    assert os.readlink(target / "latest") == "checkpoint-500"
    assert {path: _weights(target)[path] for path in ("model.safetensors",)} == _weights(source)
    assert sorted(os.listdir(tmp_path)) == ["out", "source"], how


STALE = [
    *("model.safetensors", "model.fp16.safetensors", "model-00001-of-00009.safetensors", "pytorch_model.bin"),
    *("model.safetensors.index.json", "model.safetensors.index.fp16.json", "pytorch_model.bin.index.json"),
    *("pytorch_model-00001-of-00002.bin", "diffusion_pytorch_model.safetensors"),
    *("diffusion_pytorch_model.safetensors.index.json", "model.fp16-00001-of-00002.safetensors"),
]
KEPT = ["README.md", "adapter_model.safetensors", "modeling.py", "model.py", "model_card.json", "optimizer.bin"]


@pytest.mark.parametrize("subfolder", ["", "unet"])
def test_stale_weights_go(tmp_path: Path, subfolder: str) -> None:
    """Left behind, a raw single file would win over protected shards in every loader."""
    target = tmp_path / "out"
    for folder in (target / subfolder, target / "elsewhere"):
        folder.mkdir(parents=True)
        for name in STALE + KEPT:
            (folder / name).write_text("old", encoding="utf-8")
    source = write_sharded(tmp_path / "source", plain(), shards=2)
    _replace(Checkpoint.open(source), target, subfolder)
    assert {name: data for name, data in snapshot(target / subfolder).items() if "/" not in name} == {
        **dict.fromkeys(KEPT, b"old"),
        **_weights(source),
        **({} if subfolder else {"mergeguard.json": b"{}"}),
    }
    assert sorted(snapshot(target / "elsewhere")) == sorted(STALE + KEPT)


@pytest.mark.parametrize("stem", ["model", "weights"])
def test_from_shards_to_a_single_file(tmp_path: Path, stem: str) -> None:
    target = write_sharded(tmp_path / "out", plain(), stem=stem)
    source = write_single(tmp_path / "source", plain(), f"{stem}.safetensors")
    _replace(Checkpoint.open(source), target)
    assert _weights(target) == _weights(source)
    assert Checkpoint.open(target).digest() == Checkpoint.open(source).digest()


def test_new_files_win_over_old_folders_and_links(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "a").mkdir(parents=True)
    (target / "a" / "inner").write_text("old", encoding="utf-8")
    (target / "b").write_text("old", encoding="utf-8")
    (target / "c").symlink_to("b")
    with StagedFolder(target, replace=True) as staged:
        staged.write_text("a", "new")
        staged.write_text("b/inner", "new")
        staged.write_text("c/inner", "new")
    assert snapshot(target) == {"a": b"new", "b/inner": b"new", "c/inner": b"new"}


def test_copies_where_links_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(95, "Operation not supported")

    target = tmp_path / "out"
    target.mkdir()
    (target / "kept").write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "link", refuse)
    with StagedFolder(target, replace=True) as staged:
        staged.write_text("new", "new")
    assert snapshot(target) == {"kept": b"old", "new": b"new"}


def test_mode_of_the_old_target_stays(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "deep").mkdir(mode=0o750)
    (target / "deep" / "a").write_text("a", encoding="utf-8")
    target.chmod(0o711)
    with StagedFolder(target, replace=True) as staged:
        staged.write_text("new", "new")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (target, target / "deep")] == [0o711, 0o750]


def test_absent_and_empty_targets(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("absent", "empty"):
        with StagedFolder(tmp_path / name, replace=True) as staged:
            staged.write_text("a", "b")
    assert snapshot(tmp_path) == {"absent/a": b"b", "empty/a": b"b"}


def test_failure_before_the_swap_keeps_the_old(tmp_path: Path) -> None:
    target = write_single(tmp_path / "out", plain())
    before = snapshot(tmp_path)

    def failing() -> None:
        with StagedFolder(target, replace=True) as staged:
            staged.write_text("README.md", "new")
            raise ValueError("drift")

    with pytest.raises(ValueError, match="drift"):
        failing()
    assert snapshot(tmp_path) == before


def test_failure_between_the_renames_puts_the_old_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_single(tmp_path / "out", plain())
    before = snapshot(tmp_path)
    real, calls = os.rename, []

    def rename(old: Path, new: Path) -> None:
        calls.append(new)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        real(old, new)

    def replacing() -> None:
        with StagedFolder(target, replace=True) as staged:
            staged.write_text("README.md", "new")

    monkeypatch.setattr(swap, "_exchange", lambda one, other: False)
    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(TargetError, match="Input/output error"):
        replacing()
    assert snapshot(tmp_path) == before


def test_only_with_leave(tmp_path: Path) -> None:
    target = write_single(tmp_path / "out", plain())
    with pytest.raises(TargetError, match="exists and is not empty"):
        StagedFolder(target)
    assert "README.md" in snapshot(target)


def test_what_appears_in_the_target_meanwhile_stays(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Committing waits for the disk, and training goes on: a log or a checkpoint may appear before the old one goes."""
    target = tmp_path / "out"
    target.mkdir()
    (target / "log.txt").write_text("old", encoding="utf-8")
    before, real = target.stat().st_ino, appear.swap

    def swapped(staged: Path, place: Path) -> Path:
        (place / "late").mkdir()
        (place / "late" / "state.json").write_text("late", encoding="utf-8")
        (place / "log.txt").unlink()
        (place / "log.txt").write_text("newer", encoding="utf-8")
        return real(staged, place)

    monkeypatch.setattr(appear, "swap", swapped)
    with StagedFolder(target, replace=True) as staged:
        staged.write_text("README.md", "new")
    assert snapshot(target) == {"README.md": b"new", "late/state.json": b"late", "log.txt": b"newer"}
    assert target.stat().st_ino != before
    assert os.listdir(tmp_path) == ["out"], how


def test_another_save_that_comes_first_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target was absent when it was looked at and is there when the folder is to get its name."""
    target, real = tmp_path / "out", os.rename

    def rename(old: Path, new: Path) -> None:
        monkeypatch.setattr(os, "rename", real)
        target.mkdir()
        (target / "theirs").write_text("theirs", encoding="utf-8")
        real(old, new)

    monkeypatch.setattr(os, "rename", rename)
    with StagedFolder(target, replace=True) as staged:
        staged.write_text("ours", "ours")
    assert snapshot(tmp_path) == {"out/ours": b"ours", "out/theirs": b"theirs"}


def test_many_saves_at_once(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def save(number: int) -> None:
        with StagedFolder(target, replace=True) as staged:
            staged.write_text(f"{number}.txt", str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(24)))
    assert sorted(snapshot(target)) == sorted(f"{number}.txt" for number in range(24))
    assert os.listdir(tmp_path) == ["out"]
