"""Targets that may not be written to are refused before anything is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mergeguard_hub.checkpoint import StagedFolder
from mergeguard_hub.errors import TargetError
from tests.checkpoint.folders import snapshot


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder


def test_target_with_files(tmp_path: Path, source: Path) -> None:
    with pytest.raises(TargetError, match="source exists and is not empty. Remove it, or choose another"):
        StagedFolder(source)
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize("replace", [False, True])
def test_target_that_is_a_file(source: Path, replace: bool) -> None:
    with pytest.raises(TargetError, match=r"config\.json is a file"):
        StagedFolder(source / "config.json", replace=replace)


@pytest.mark.parametrize("replace", [False, True])
def test_target_and_source_must_be_apart(tmp_path: Path, source: Path, replace: bool) -> None:
    (tmp_path / "link").symlink_to(source)
    table = [
        (source, "is the source itself"),
        (tmp_path / "link", "is the source itself"),
        (source / "out", "lies inside the source"),
        (source / "deep" / "out", "lies inside the source"),
        (tmp_path / "link" / "out", "lies inside the source"),
        (source / "deep" / ".." / "out", "lies inside the source"),
        (tmp_path, "contains the source"),
    ]
    for target, message in table:
        for origin in (source, tmp_path / "link"):
            with pytest.raises(TargetError, match=message):
                StagedFolder(target, sources=[origin], replace=replace)
    assert snapshot(source) == {"config.json": b"{}"}


def test_relative_paths(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source)
    with pytest.raises(TargetError, match="lies inside the source"):
        StagedFolder(Path("out"), sources=[Path(".")])
    with StagedFolder(Path("../out"), sources=[Path(".")]) as staged:
        staged.write_text("a", "b")
    assert snapshot(tmp_path / "out") == {"a": b"b"}


def test_a_name_that_begins_the_same_is_apart(source: Path) -> None:
    with StagedFolder(source.with_name("source-protected"), sources=[source]) as staged:
        staged.write_text("a", "b")
    assert snapshot(source.with_name("source-protected")) == {"a": b"b"}


def test_mount_point() -> None:
    with pytest.raises(TargetError, match="is a mount point, .* Choose a folder below it"):
        StagedFolder(Path("/"), replace=True)


def test_mounted_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "out")
    with pytest.raises(TargetError, match="out is a mount point.*for example .*out/model"):
        StagedFolder(tmp_path / "out")


def test_target_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk/model")
    with StagedFolder(tmp_path / "out") as staged:
        assert staged.path.parent == tmp_path / "disk"
        staged.write_text("a", "b")
    assert (tmp_path / "out").is_symlink()
    assert snapshot(tmp_path / "disk" / "model") == {"a": b"b"}


def test_target_that_appears_meanwhile(tmp_path: Path) -> None:
    with StagedFolder(tmp_path / "out") as staged:
        staged.write_text("a", "b")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").write_text("x", encoding="utf-8")
        with pytest.raises(TargetError, match="exists and is not empty"):
            staged.commit()
        (tmp_path / "out" / "theirs").rename(tmp_path / "theirs")
    assert snapshot(tmp_path) == {"out/a": b"b", "theirs": b"x"}


def test_parent_that_is_a_file(source: Path) -> None:
    with pytest.raises(TargetError, match="cannot be written"), StagedFolder(source / "config.json" / "out"):
        pass
    assert snapshot(source) == {"config.json": b"{}"}


def test_long_names(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 120)
    with StagedFolder(target) as staged:
        staged.write_text("a", "b")
    assert snapshot(target) == {"a": b"b"}


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("target", [".", "..", "../deep"])
def test_the_current_folder_is_not_replaced(
    tmp_path: Path, replace: bool, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stands in a folder that is replaced stands in a deleted one afterwards."""
    (tmp_path / "out" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "out" / "deep")
    with pytest.raises(TargetError, match=r"current folder or lies above it.*another folder, or choose a new one"):
        StagedFolder(Path(target), replace=replace)
    assert Path.cwd() == tmp_path / "out" / "deep"
