"""Indexes of sharded checkpoints that name what they should not, or not what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError, UnsafePathError, UnsupportedFormatError
from tests.checkpoint.folders import plain, read_index, write_index, write_sharded, write_single

FIRST = "model-00001-of-00003.safetensors"


@pytest.mark.parametrize(
    "name", ["../secret.safetensors", "/etc/passwd", "a/../../x.safetensors", "..", ".", "", "a\\b", "a\0b", "\ud800"]
)
def test_shard_outside_the_folder(tmp_path: Path, name: str) -> None:
    folder = write_sharded(tmp_path / "model", plain())
    save_file({"layers.0.weight": torch.zeros(1)}, tmp_path / "secret.safetensors")
    write_index(folder, {**read_index(folder), "layers.0.weight": name})
    with pytest.raises(UnsafePathError, match=r"index\.json names .*which is not a file inside the folder"):
        Checkpoint.open(folder)


def test_shard_behind_a_linked_folder(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path / "model", plain())
    write_single(tmp_path / "elsewhere", plain())
    (folder / "deep").symlink_to(tmp_path / "elsewhere")
    write_index(folder, {**read_index(folder), "layers.0.weight": "deep/model.safetensors"})
    with pytest.raises(UnsafePathError, match="'deep' is a symbolic link"):
        Checkpoint.open(folder)
    with pytest.raises(UnsafePathError, match="'deep' is a symbolic link that leads outside"):
        Checkpoint.open(folder, exclude=["deep"])


def test_shards_in_a_real_subfolder(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path / "model", plain())
    (folder / "deep").mkdir()
    (folder / FIRST).rename(folder / "deep" / FIRST)
    write_index(
        folder, {name: f"./deep/{file}" if file == FIRST else file for name, file in read_index(folder).items()}
    )
    assert f"deep/{FIRST}" in Checkpoint.open(folder).weight_files


def test_missing_shard(tmp_path: Path) -> None:
    write_sharded(tmp_path, plain())
    (tmp_path / FIRST).unlink()
    with pytest.raises(MissingFileError, match=rf"names the shard '{FIRST}', which is missing"):
        Checkpoint.open(tmp_path)


def test_broken_link_in_the_place_of_a_shard(tmp_path: Path) -> None:
    write_sharded(tmp_path, plain())
    (tmp_path / FIRST).unlink()
    (tmp_path / FIRST).symlink_to("../blobs/0")
    with pytest.raises(MissingFileError, match=f"'{FIRST}' is a link that leads nowhere"):
        Checkpoint.open(tmp_path)


def test_missing_index(tmp_path: Path) -> None:
    write_sharded(tmp_path, plain())
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(MissingFileError, match=rf"holds shards \({FIRST}.*but no \*\.safetensors\.index\.json"):
        Checkpoint.open(tmp_path)


def test_tensor_that_the_shards_lack(tmp_path: Path) -> None:
    write_sharded(tmp_path, plain())
    write_index(tmp_path, {**read_index(tmp_path), "lm_head.weight": FIRST})
    with pytest.raises(InvalidCheckpointError, match=f"'lm_head.weight' should be in {FIRST} and is in no file"):
        Checkpoint.open(tmp_path)


def test_tensor_that_the_index_lacks(tmp_path: Path) -> None:
    write_sharded(tmp_path, plain())
    weight_map = read_index(tmp_path)
    del weight_map["layers.0.weight"]
    write_index(tmp_path, weight_map)
    with pytest.raises(InvalidCheckpointError, match=rf"'layers\.0\.weight' should be in no file and is in {FIRST}"):
        Checkpoint.open(tmp_path)


def test_tensor_in_another_shard(tmp_path: Path) -> None:
    write_sharded(tmp_path, plain())
    other = "model-00002-of-00003.safetensors"
    write_index(tmp_path, {**read_index(tmp_path), "layers.0.weight": other})
    with pytest.raises(InvalidCheckpointError, match=rf"'layers\.0\.weight' should be in {other} and is in {FIRST}"):
        Checkpoint.open(tmp_path)


def test_tensor_in_two_shards(tmp_path: Path) -> None:
    write_sharded(tmp_path, plain())
    save_file({name: plain()[name] for name in ("layers.0.weight", "layers.1.weight")}, tmp_path / FIRST)
    with pytest.raises(InvalidCheckpointError, match=rf"'layers\.1\.weight' is in {FIRST} and again in model-00002"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize("weight_map", [None, [], "model.safetensors", {"a": 1}, {"a": None}])
def test_index_without_a_weight_map(tmp_path: Path, weight_map: Any) -> None:
    write_sharded(tmp_path, plain())
    write_index(tmp_path, weight_map)
    with pytest.raises(InvalidCheckpointError, match="has no weight_map from tensor names to file names"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"weight_map": {"a": "x", "a": "y"}}'])
def test_index_that_is_no_document(tmp_path: Path, text: str) -> None:
    write_sharded(tmp_path, plain())
    (tmp_path / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidCheckpointError, match=r"index\.json (is not valid JSON|holds a JSON list)"):
        Checkpoint.open(tmp_path)


def test_index_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {}}', encoding="utf-8")
    with pytest.raises(MissingFileError, match="holds no tensors"):
        Checkpoint.open(tmp_path)


def test_two_indexes(tmp_path: Path) -> None:
    write_sharded(tmp_path, plain())
    write_sharded(tmp_path, plain(), stem="model.fp16")
    with pytest.raises(UnsupportedFormatError, match=r"several sets of weights, one per index: model\.fp16"):
        Checkpoint.open(tmp_path)
    assert len(Checkpoint.open(tmp_path, exclude=["model.fp16*"]).weight_files) == 3


def test_single_file_left_beside_an_index(tmp_path: Path) -> None:
    """Loaders prefer the single file: it would win over the protected shards."""
    write_sharded(tmp_path, plain())
    write_single(tmp_path, plain())
    with pytest.raises(UnsupportedFormatError, match=r"beside the set of .*index\.json: model\.safetensors\."):
        Checkpoint.open(tmp_path)


def test_unreadable_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sharded(tmp_path, plain())
    real = Path.open

    def refuse(path: Path, *args: Any, **settings: Any) -> Any:
        if path.name == FIRST:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **settings)

    monkeypatch.setattr(Path, "open", refuse)  # taking the rights away would not keep root from reading
    with pytest.raises(MissingFileError, match=rf"{FIRST} cannot be read \(Permission denied\)"):
        Checkpoint.open(tmp_path)
