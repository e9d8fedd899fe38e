"""Writing that goes wrong: one sentence, and no target."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mergeguard_hub.checkpoint import Checkpoint, StagedFolder
from mergeguard_hub.errors import CheckpointError, MissingFileError, TargetError, UnsafePathError
from tests.checkpoint.folders import plain, snapshot, write_sharded, write_single


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_an_exception_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", plain()))
    before = snapshot(tmp_path)

    def interrupted() -> None:
        with StagedFolder(tmp_path / "new" / "deep" / "out") as staged:
            staged.allocate(checkpoint)
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert snapshot(tmp_path) == before
    assert os.listdir(tmp_path) == ["source"]


def test_a_forgotten_tensor_is_not_published_as_zeros(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", plain()))
    entries = list(checkpoint.entries.values())

    def forgetful() -> None:
        with StagedFolder(tmp_path / "out") as staged:
            staged.allocate(checkpoint)
            for entry in entries[:2]:
                staged.copy_tensor(checkpoint, entry)
            staged.write(entries[2], checkpoint.raw(entries[2].name)[4:], offset=4)

    with pytest.raises(
        CheckpointError, match=r"2 tensors were not written whole: layers\.2\.weight, layers\.3\.weight"
    ):
        forgetful()
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize(
    ("size", "offset", "reach"), [(132, 0, "0 to 132"), (4, 128, "128 to 132"), (4, -4, "-4 to 0")]
)
def test_bytes_beyond_the_tensor(tmp_path: Path, size: int, offset: int, reach: str) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", plain()))
    with StagedFolder(tmp_path / "out") as staged:
        staged.allocate(checkpoint)
        for entry in checkpoint.entries.values():
            staged.copy_tensor(checkpoint, entry)
        with pytest.raises(
            CheckpointError, match=rf"'layers\.0\.weight' has 128 bytes, bytes {reach} were to be written"
        ):
            staged.write(checkpoint.entries["layers.0.weight"], bytes(size), offset=offset)
    assert Checkpoint.open(tmp_path / "out").digest() == checkpoint.digest()


def test_tensor_that_was_not_allocated(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", plain()))
    entry = checkpoint.entries["layers.0.weight"]
    with StagedFolder(tmp_path / "out") as staged:
        with pytest.raises(CheckpointError, match=r"'layers\.0\.weight' was not allocated\. Call allocate"):
            staged.write(entry, bytes(128))
        with pytest.raises(CheckpointError, match="not allocated in 'unet'"):
            staged.copy_tensor(checkpoint, entry, "unet")
        staged.write_text("README.md", "still fine\n")
    assert snapshot(tmp_path / "out") == {"README.md": b"still fine\n"}


def test_entries_of_another_checkpoint(tmp_path: Path) -> None:
    """The same tensors cut into other files lie at other places: writing by those would damage the target."""
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", plain()))
    other = Checkpoint.open(write_sharded(tmp_path / "other", plain()))
    name = "layers.2.weight"
    with StagedFolder(tmp_path / "out") as staged:
        staged.allocate(checkpoint)
        with pytest.raises(CheckpointError, match=r"'layers\.2\.weight' was allocated as TensorEntry\(.*not as Tensor"):
            staged.write(other.entries[name], other.raw(name))
        with pytest.raises(CheckpointError, match=r"is elsewhere in .*other than in .*out\. Use write"):
            staged.copy_tensor(other, checkpoint.entries[name])
        for entry in checkpoint.entries.values():
            staged.write(entry, other.raw(entry.name))
    assert Checkpoint.open(tmp_path / "out").digest() == other.digest()


@pytest.mark.parametrize("name", ["../x", "/x", "", "a/../../x"])
def test_names_that_lead_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafePathError, match="not a file inside the folder"), StagedFolder(tmp_path / "out") as staged:
        staged.write_text(name, "x")
    assert os.listdir(tmp_path) == []


def test_the_same_file_twice(tmp_path: Path) -> None:
    with StagedFolder(tmp_path / "out") as staged:
        staged.write_text("a.json", "1")
        with pytest.raises(TargetError, match=r"a\.json was already written"):
            staged.write_text("a.json", "2")
    assert snapshot(tmp_path / "out") == {"a.json": b"1"}


def test_missing_source_file(tmp_path: Path) -> None:
    with StagedFolder(tmp_path / "out") as staged, pytest.raises(MissingFileError, match=r"nothing cannot be read"):
        staged.copy_file(tmp_path / "nothing", "a")
    checkpoint = Checkpoint.open(write_single(tmp_path / "source", plain()))
    (tmp_path / "source" / "model.safetensors").unlink()
    with StagedFolder(tmp_path / "two") as staged, pytest.raises(MissingFileError, match=r"safetensors cannot be read"):
        staged.allocate(checkpoint)
    assert snapshot(tmp_path / "out") == {}


def test_use_outside_its_block(tmp_path: Path) -> None:
    staged = StagedFolder(tmp_path / "out")
    with pytest.raises(CheckpointError, match="is not open. Use it in a `with` statement"):
        staged.write_text("a", "b")
    with staged:
        staged.write_text("a", "b")
        staged.commit()
        assert snapshot(tmp_path / "out") == {"a": b"b"}
    with pytest.raises(CheckpointError, match="is not open"):
        staged.commit()
