"""Digests: the same weights have the same one, however they are stored, and anything else another."""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from mergeguard_hub.checkpoint import (
    Checkpoint,
    TensorEntry,
    combine_digests,
    stored_digest,
    tensor_bytes,
    tensor_digest,
)
from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError
from tests.checkpoint.folders import every_kind, plain, write_sharded, write_single
from tests.checkpoint.writer import PROCESSES


def test_independent_of_sharding(tmp_path: Path) -> None:
    tensors = every_kind()
    single = Checkpoint.open(write_single(tmp_path / "single", tensors))
    digests = {single.digest()}
    for shards in (1, 2, 5):
        folder = write_sharded(tmp_path / str(shards), tensors, shards=shards, stem="pytorch")
        digests.add(Checkpoint.open(folder).digest())
    assert len(digests) == 1
    assert digests.pop().removeprefix("sha256:").isalnum()


def test_by_hand(tmp_path: Path) -> None:
    """The encoding is part of the release format: it is spelled out here once more."""
    label = b'["w","F32",[2]]'
    data = bytes(tensor_bytes(torch.tensor([1.0, 2.0])))
    tensor = hashlib.sha256(b"mergeguard tensor v1\0" + len(label).to_bytes(8, "little") + label + data).hexdigest()
    whole = hashlib.sha256(b'mergeguard checkpoint v1\0[["w","' + tensor.encode() + b'"]]').hexdigest()
    folder = write_single(tmp_path, {"w": torch.tensor([1.0, 2.0])})
    assert tensor_digest("w", "F32", (2,), data) == tensor
    assert Checkpoint.open(folder).digest() == f"sha256:{whole}"


def test_name_dtype_shape_and_bytes_all_count() -> None:
    data = bytes(range(16))
    digests = [
        tensor_digest("a", "F32", [4], data),
        tensor_digest("b", "F32", [4], data),
        tensor_digest("a", "I32", [4], data),
        tensor_digest("a", "F32", [2, 2], data),
        tensor_digest("a", "F32", [4], data[::-1]),
        tensor_digest('a","F32",[4]]', "F32", [4], data),
        tensor_digest("a", "F32", [0], b""),
        tensor_digest("a", "F32", [], data[:4]),
    ]
    assert len(set(digests)) == len(digests)


def test_one_flipped_bit_shows(tmp_path: Path) -> None:
    write_single(tmp_path, plain())
    before = Checkpoint.open(tmp_path).digest()
    file = tmp_path / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert Checkpoint.open(tmp_path).digest() != before


def test_combining_ignores_order_but_not_pairing() -> None:
    assert combine_digests({"a": "1", "b": "2"}) == combine_digests({"b": "2", "a": "1"})
    assert combine_digests({"a": "1", "b": "2"}) != combine_digests({"a": "2", "b": "1"})
    assert combine_digests({}) != combine_digests({"": ""})


def test_names_of_any_script() -> None:
    assert combine_digests({"Gewicht.ä": "1"}) != combine_digests({"Gewicht.a": "1"})
    assert len(tensor_digest("\ud800", "F32", [0], b"")) == 64


def test_executors_and_progress(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_sharded(tmp_path, every_kind()))
    alone = checkpoint.digest()
    seen: list[TensorEntry] = []
    with ThreadPoolExecutor(4) as threads:
        assert checkpoint.digest(executor=threads, progress=seen.append) == alone
    with ProcessPoolExecutor(1, mp_context=PROCESSES) as processes:
        assert checkpoint.digest(executor=processes) == alone
    assert [entry.name for entry in seen] == list(checkpoint.entries)
    assert sum(entry.nbytes for entry in seen) == checkpoint.nbytes


def test_larger_than_one_chunk(tmp_path: Path) -> None:
    tensor = torch.arange(5 << 20, dtype=torch.int32)
    entry = Checkpoint.open(write_single(tmp_path, {"w": tensor})).entries["w"]
    label = b'["w","I32",[5242880]]'
    expected = hashlib.sha256(b"mergeguard tensor v1\0" + len(label).to_bytes(8, "little") + label)
    expected.update(tensor.numpy().tobytes())
    assert stored_digest(tmp_path, entry) == expected.hexdigest()


def test_file_that_changed_since_it_was_opened(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path, plain()))
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(InvalidCheckpointError, match=r"tensor 'layers\.3\.weight' ends at \d+"):
        checkpoint.digest()
    file.unlink()
    with pytest.raises(MissingFileError, match=r"model\.safetensors cannot be read"):
        checkpoint.digest()


def test_bytes_of_a_tensor() -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    assert bytes(tensor_bytes(tensor.t())) == tensor.t().contiguous().numpy().tobytes()
    assert bytes(tensor_bytes(torch.tensor(1.0, requires_grad=True))) == b"\0\0\x80?"
    assert bytes(tensor_bytes(torch.empty(0, 3))) == b""
    assert tensor_bytes(tensor).nbytes == 24
    view = tensor_bytes(tensor)
    tensor.zero_()
    assert bytes(view) == bytes(24), "the view shares the tensor's memory"
