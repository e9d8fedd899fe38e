"""Small checkpoint folders for the tests of this room, written with safetensors itself or byte by byte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

FLOATS: tuple[torch.dtype, ...] = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
FLOAT8: tuple[torch.dtype, ...] = (
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu),
)
INTEGERS: tuple[torch.dtype, ...] = (
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
)


def every_kind() -> dict[str, torch.Tensor]:
    """Return tensors of every dtype, a scalar, empty ones, and one of more bytes than a page."""
    tensors = {
        f"layers.{number}.{str(dtype).removeprefix('torch.')}": torch.randn(3, 5).to(dtype)
        for number, dtype in enumerate(FLOATS + FLOAT8)
    }
    for dtype in INTEGERS:
        tensors[f"ids.{str(dtype).removeprefix('torch.')}"] = torch.arange(7).to(dtype)
    tensors["mask"] = torch.tensor([True, False, True])
    tensors["complex"] = torch.randn(4, dtype=torch.complex64)
    tensors["scale"] = torch.tensor(1.5)
    tensors["empty"] = torch.empty(0, 4)
    tensors["empty.last"] = torch.empty(3, 0, dtype=torch.bfloat16)
    tensors["embed.weight"] = torch.randn(61, 129, dtype=torch.bfloat16)
    return tensors


def plain() -> dict[str, torch.Tensor]:
    """Return four float32 matrices."""
    return {f"layers.{number}.weight": torch.randn(8, 4) for number in range(4)}


def write_single(folder: Path, tensors: Mapping[str, torch.Tensor], name: str = "model.safetensors") -> Path:
    """Write a folder with one weight file, a config and a README."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), folder / name, metadata={"format": "pt"})
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    (folder / "README.md").write_text("# A model\n", encoding="utf-8")
    return folder


def write_sharded(folder: Path, tensors: Mapping[str, torch.Tensor], *, shards: int = 3, stem: str = "model") -> Path:
    """Write the same with several shards, tensors dealt out in turn, and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    names = list(tensors)
    weight_map = {}
    for number in range(shards):
        file = f"{stem}-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = names[number::shards]
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    write_index(folder, weight_map, stem=stem)
    return folder


def write_index(folder: Path, weight_map: Mapping[str, Any], *, stem: str = "model") -> None:
    """Write an index as transformers does."""
    text = json.dumps({"metadata": {}, "weight_map": weight_map}, indent=2) + "\n"
    (folder / f"{stem}.safetensors.index.json").write_text(text, encoding="utf-8")


def read_index(folder: Path, *, stem: str = "model") -> dict[str, str]:
    """Return the weight map of an index."""
    index = json.loads((folder / f"{stem}.safetensors.index.json").read_text(encoding="utf-8"))
    weight_map: dict[str, str] = index["weight_map"]
    return weight_map


def raw_file(header: Any, data: bytes = b"") -> bytes:
    """Return a safetensors file with any header: JSON data, or the bytes of its text."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def record(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    """Return one tensor's record in a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def write_pipeline(folder: Path) -> Path:
    """Write a small diffusers pipeline: two components with weights, a scheduler, a tokenizer, one left out."""
    write_single(folder / "unet", plain(), "diffusion_pytorch_model.safetensors")
    write_sharded(folder / "text_encoder", plain())
    for name in ("scheduler", "tokenizer"):
        (folder / name).mkdir()
        (folder / name / f"{name}_config.json").write_text("{}", encoding="utf-8")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "requires_safety_checker": True,
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "safety_checker": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder
