"""Opening valid folders: what safetensors itself reads is the oracle."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mergeguard_hub.checkpoint import Checkpoint, tensor_bytes
from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError, UnsupportedFormatError
from tests.checkpoint.folders import every_kind, plain, raw_file, record, write_sharded, write_single

Writer = Callable[[Path, dict[str, torch.Tensor]], Path]


@pytest.mark.parametrize("write", [write_single, write_sharded])
def test_agrees_with_safetensors(tmp_path: Path, write: Writer) -> None:
    checkpoint = Checkpoint.open(write(tmp_path / "model", every_kind()))
    seen = set()
    for file in checkpoint.weight_files:
        with safe_open(checkpoint.root / file, "pt") as oracle:
            for name in oracle.keys():  # noqa: SIM118, safe_open is no mapping
                seen.add(name)
                entry, expected = checkpoint.entries[name], oracle.get_tensor(name)
                tensor = checkpoint.tensor(name)
                assert entry.dtype == oracle.get_slice(name).get_dtype()
                assert (tensor.dtype, tensor.shape) == (expected.dtype, expected.shape)
                assert (entry.shape, entry.torch_dtype) == (tuple(expected.shape), expected.dtype)
                assert (entry.numel, entry.nbytes) == (expected.numel(), expected.nbytes)
                assert tensor_bytes(tensor) == tensor_bytes(expected) == checkpoint.raw(name)
    assert list(checkpoint.entries) == sorted(seen) == sorted(every_kind())
    assert checkpoint.nbytes == sum(tensor.nbytes for tensor in every_kind().values())


def test_floating_means_what_stages_act_on(tmp_path: Path) -> None:
    entries = Checkpoint.open(write_single(tmp_path, every_kind())).entries
    floating = {entry.dtype for entry in entries.values() if entry.is_floating}
    assert floating == {"F64", "F32", "F16", "BF16"}


def test_side_files_config_and_index(tmp_path: Path) -> None:
    write_sharded(tmp_path, plain(), shards=2)
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "vocab.json").write_text("{}", encoding="utf-8")
    (tmp_path / ".git" / "lfs").mkdir(parents=True)
    (tmp_path / ".git" / "lfs" / "raw.bin").write_bytes(b"weights")
    (tmp_path / "training_args.bin").write_bytes(b"pickled arguments")
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.config == {"model_type": "llama"}
    assert checkpoint.index_file == "model.safetensors.index.json"
    assert checkpoint.weight_files == ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    assert checkpoint.side_files == ("config.json", "tokenizer/vocab.json", "training_args.bin")


@pytest.mark.parametrize(
    "name", ["model.fp16.safetensors", "diffusion_pytorch_model.safetensors", "weights.safetensors"]
)
def test_any_single_file_is_the_model(tmp_path: Path, name: str) -> None:
    write_single(tmp_path, plain(), name)
    assert Checkpoint.open(tmp_path).weight_files == (name,)


def test_diffusers_shards_of_a_variant(tmp_path: Path) -> None:
    write_sharded(tmp_path, plain(), stem="diffusion_pytorch_model")
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    index.rename(tmp_path / "diffusion_pytorch_model.safetensors.index.fp16.json")
    assert Checkpoint.open(tmp_path).index_file == "diffusion_pytorch_model.safetensors.index.fp16.json"


def test_no_config_is_an_empty_config(tmp_path: Path) -> None:
    write_single(tmp_path, plain())
    (tmp_path / "config.json").unlink()
    assert Checkpoint.open(tmp_path).config == {}


def test_folder_of_the_hub_cache(tmp_path: Path) -> None:
    """A snapshot is a folder of links to files that lie outside it."""
    source = write_sharded(tmp_path / "plain", plain())
    blobs, commit = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    commit.mkdir(parents=True)
    for number, path in enumerate(sorted(source.iterdir())):
        path.rename(blobs / str(number))
        (commit / path.name).symlink_to(Path("../../blobs") / str(number))
    latest = tmp_path / "hub" / "snapshots" / "main"
    latest.symlink_to("abc")
    for root in (commit, latest):
        checkpoint = Checkpoint.open(root)
        assert checkpoint.side_files == ("config.json",)
        assert {name: checkpoint.tensor(name).shape for name in checkpoint.entries} == {
            name: tensor.shape for name, tensor in plain().items()
        }


def test_tensors_copy_nothing_and_outlive_the_checkpoint(tmp_path: Path) -> None:
    tensors = plain()
    checkpoint = Checkpoint.open(write_single(tmp_path, tensors))
    name = "layers.2.weight"
    tensor, again = checkpoint.tensor(name), checkpoint.tensor(name)
    assert tensor.data_ptr() == again.data_ptr()
    del checkpoint, again
    gc.collect()
    (tmp_path / "model.safetensors").unlink()
    assert torch.equal(tensor, tensors[name])


def test_writing_into_a_tensor_never_reaches_the_file(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path, plain()))
    before = (tmp_path / "model.safetensors").read_bytes()
    checkpoint.tensor("layers.0.weight").zero_()
    assert (tmp_path / "model.safetensors").read_bytes() == before
    with pytest.raises(TypeError, match="read-only"):
        checkpoint.raw("layers.1.weight")[0] = 1


def test_tensor_at_an_odd_address(tmp_path: Path) -> None:
    """Old writers did not pad the header; such tensors are read all the same."""
    values = torch.tensor([1.5, -2.0])
    header = b'{"flag":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]},'
    header += b'"w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}'
    header += b" " * (-len(header) % 4)
    (tmp_path / "model.safetensors").write_bytes(raw_file(header, b"\1" + bytes(tensor_bytes(values))))
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.entries["w"].start % 4 != 0
    assert torch.equal(checkpoint.tensor("w"), values)
    assert checkpoint.tensor("w").data_ptr() % 4 == 0
    assert checkpoint.raw("w") == tensor_bytes(values)


def test_a_checkpoint_survives_pickling(tmp_path: Path) -> None:
    tensors = plain()
    checkpoint = Checkpoint.open(write_single(tmp_path, tensors))
    checkpoint.tensor("layers.0.weight")
    copy = pickle.loads(pickle.dumps(checkpoint))
    assert copy.entries == checkpoint.entries
    assert torch.equal(copy.tensor("layers.3.weight"), tensors["layers.3.weight"])


def test_repr_says_what_it_is(tmp_path: Path) -> None:
    assert repr(Checkpoint.open(write_single(tmp_path, plain()))).endswith("4 tensors, 512 bytes)")


def test_unknown_tensor(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path, plain()))
    with pytest.raises(MissingFileError, match=r"no tensor 'lm_head'.*layers\.0\.weight.*check the spelling"):
        checkpoint.tensor("lm_head")


def test_file_that_changed_since_it_was_opened(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_single(tmp_path, plain()))
    file = tmp_path / "model.safetensors"
    size = file.stat().st_size
    with file.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(InvalidCheckpointError, match=f"had {size} bytes when it was opened and has {size + 4} now"):
        checkpoint.tensor("layers.0.weight")
    file.unlink()
    with pytest.raises(MissingFileError, match="Was it deleted"):
        checkpoint.raw("layers.0.weight")


def test_dtype_that_torch_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = raw_file({"w": record("F8_E8M0", [2], [0, 2])}, b"\1\2")
    (tmp_path / "model.safetensors").write_bytes(data)
    monkeypatch.delattr(torch, "float8_e8m0fnu")
    checkpoint = Checkpoint.open(tmp_path)
    assert bytes(checkpoint.raw("w")) == b"\1\2"
    with pytest.raises(UnsupportedFormatError, match="no dtype for the safetensors code 'F8_E8M0'"):
        checkpoint.tensor("w")
