"""Folders that cannot be protected, or whose copying would publish raw weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from mergeguard_hub.checkpoint import Checkpoint, open_folder
from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError, UnsafePathError, UnsupportedFormatError
from tests.checkpoint.folders import plain, write_single


def test_no_such_folder(tmp_path: Path) -> None:
    for opened in (Checkpoint.open, open_folder):
        with pytest.raises(MissingFileError, match="nowhere does not exist"):
            opened(tmp_path / "nowhere")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    write_single(tmp_path, plain())
    with pytest.raises(MissingFileError, match=r"model\.safetensors is a file, not a checkpoint folder"):
        open_folder(tmp_path / "model.safetensors")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"holds no weights \(no \*\.safetensors file\)"):
        Checkpoint.open(tmp_path)


def test_weights_only_below(tmp_path: Path) -> None:
    write_single(tmp_path / "unet", plain())
    with pytest.raises(MissingFileError, match=r"only below \(unet/model\.safetensors\), and no model_index\.json"):
        Checkpoint.open(tmp_path)


def test_file_without_tensors(tmp_path: Path) -> None:
    write_single(tmp_path, {})
    with pytest.raises(MissingFileError, match=r"model\.safetensors holds no tensors"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "tf_model.h5", "model.gguf"])
def test_other_formats_only(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(UnsupportedFormatError, match=f"weights only in {name}, which is not safetensors.*save_pret"):
        Checkpoint.open(tmp_path)


EXTRA = [
    *("pytorch_model.bin", "model.pt", "original/consolidated.00.pth", "last.ckpt", "model-q4.GGUF", "tf_model.h5"),
    *("flax_model.msgpack", "onnx/model.onnx", "onnx/model.onnx_data", "rust_model.ot", "arrays.npz", "optimizer.pt"),
    *("checkpoint-500/model.safetensors", "adapter/adapter_model.safetensors", "model.pkl"),
]


@pytest.mark.parametrize("name", EXTRA)
def test_weights_beside_the_set(tmp_path: Path, name: str) -> None:
    write_single(tmp_path, plain())
    extra = tmp_path / name
    extra.parent.mkdir(exist_ok=True)
    extra.write_bytes(b"weights")
    with pytest.raises(UnsupportedFormatError, match=f"beside model.safetensors: {name}. Copying .* publish raw"):
        Checkpoint.open(tmp_path)
    for pattern in (name, f"*{extra.suffix}" if extra.suffix != ".safetensors" else f"{extra.parent.name}/"):
        assert name not in Checkpoint.open(tmp_path, exclude=[pattern]).side_files


@pytest.mark.parametrize("name", ["consolidated.safetensors", "model.fp16.safetensors"])
def test_a_second_set(tmp_path: Path, name: str) -> None:
    write_single(tmp_path, plain())
    write_single(tmp_path, plain(), name)
    with pytest.raises(UnsupportedFormatError, match=f"several sets of weights: .*{name}"):
        Checkpoint.open(tmp_path)
    assert Checkpoint.open(tmp_path, exclude=[name]).weight_files == ("model.safetensors",)


def test_many_extra_files_are_counted(tmp_path: Path) -> None:
    write_single(tmp_path, plain())
    for number in range(8):
        (tmp_path / f"part{number}.bin").write_bytes(b"")
    with pytest.raises(UnsupportedFormatError, match=r"part0\.bin, .*part4\.bin and 3 more\."):
        Checkpoint.open(tmp_path)


def test_weights_under_the_name_of_arguments(tmp_path: Path) -> None:
    write_single(tmp_path, plain())
    (tmp_path / "training_args.bin").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(UnsupportedFormatError, match=r"training_args\.bin"):
        Checkpoint.open(tmp_path)


def test_linked_folder(tmp_path: Path) -> None:
    write_single(tmp_path / "model", plain())
    (tmp_path / "private").mkdir()
    (tmp_path / "model" / "assets").symlink_to(tmp_path / "private")
    with pytest.raises(UnsafePathError, match="'assets' is a symbolic link to a folder"):
        Checkpoint.open(tmp_path / "model")
    assert Checkpoint.open(tmp_path / "model", exclude=["assets"]).side_files == ("README.md", "config.json")


def test_neither_file_nor_folder(tmp_path: Path) -> None:
    write_single(tmp_path, plain())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsupportedFormatError, match="'pipe' is neither a file nor a folder"):
        Checkpoint.open(tmp_path)


def test_link_to_nowhere(tmp_path: Path) -> None:
    write_single(tmp_path, plain())
    (tmp_path / "vocab.json").symlink_to("../blobs/missing")
    with pytest.raises(MissingFileError, match=r"'vocab\.json' is a link that leads nowhere"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize(("text", "message"), [("{", "is not valid JSON"), ("[]", "holds a JSON list")])
def test_config_that_is_no_document(tmp_path: Path, text: str, message: str) -> None:
    write_single(tmp_path, plain())
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidCheckpointError, match=rf"config\.json {message}"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"quantization_config": {"quant_method": "gptq"}},
            r"config\.json has a quantization_config \(method 'gptq'\)",
        ),
        ({"text_config": {"quantization_config": {"bits": 4}}}, "text_config has a quantization_config"),
        ({"compression_config": {"quant_method": "sparse"}}, "has a compression_config"),
        ({"quantization_config": "int8"}, "method 'int8'"),
    ],
)
def test_quantised_by_its_config(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    write_single(tmp_path, plain())
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UnsupportedFormatError, match=message + ".*protect the unquantised checkpoint"):
        Checkpoint.open(tmp_path)


def test_config_that_says_not_quantised(tmp_path: Path) -> None:
    write_single(tmp_path, plain())
    (tmp_path / "config.json").write_text('{"quantization_config": null}', encoding="utf-8")
    assert Checkpoint.open(tmp_path).config == {"quantization_config": None}


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("layers.0.q_proj.qweight", torch.zeros(4, 4, dtype=torch.int32)),
        ("layers.0.q_proj.weight_packed", torch.zeros(4, 4, dtype=torch.int32)),
        ("layers.0.q_proj.SCB", torch.zeros(4)),
        ("layers.0.q_proj.weight.absmax", torch.zeros(4)),
        ("layers.0.q_proj.weight.quant_state.bitsandbytes__nf4", torch.zeros(4, dtype=torch.uint8)),
        ("layers.0.q_proj.weight", torch.zeros(8, 1, dtype=torch.uint8)),
        ("layers.0.q_proj.weight", torch.zeros(4, 4, dtype=torch.int8)),
    ],
)
def test_quantised_by_its_tensors(tmp_path: Path, name: str, tensor: torch.Tensor) -> None:
    write_single(tmp_path, {**plain(), name: tensor})
    with pytest.raises(UnsupportedFormatError, match=f"tensor '{name}' of dtype .* holds packed weights"):
        Checkpoint.open(tmp_path)


def test_integer_buffers_are_not_quantised(tmp_path: Path) -> None:
    buffers = {"position_ids": torch.arange(8).reshape(1, 8), "relative_position_index": torch.zeros(4, 4).long()}
    write_single(tmp_path, {**plain(), **buffers})
    assert Checkpoint.open(tmp_path).entries["position_ids"].dtype == "I64"
