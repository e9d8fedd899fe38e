"""Diffusers pipelines: which folders are components, and what belongs to none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub.checkpoint import open_folder, pipeline_files
from mergeguard_hub.errors import InvalidCheckpointError, MissingFileError, UnsafePathError, UnsupportedFormatError
from tests.checkpoint.folders import plain, write_pipeline, write_single

REST = ("model_index.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json")


def _edit_index(folder: Path, **changes: Any) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_a_model_folder_is_one_checkpoint(tmp_path: Path) -> None:
    components = open_folder(write_single(tmp_path, plain()))
    assert list(components) == [""]
    assert list(components[""].entries) == sorted(plain())


def test_a_pipeline_is_its_components_with_weights(tmp_path: Path) -> None:
    components = open_folder(write_pipeline(tmp_path))
    assert sorted(components) == ["text_encoder", "unet"]
    assert components["unet"].weight_files == ("diffusion_pytorch_model.safetensors",)
    assert components["unet"].root == tmp_path / "unet"
    assert len(components["text_encoder"].weight_files) == 3


def test_every_file_belongs_to_one_part(tmp_path: Path) -> None:
    components = open_folder(write_pipeline(tmp_path))
    files = list(pipeline_files(tmp_path, components))
    assert tuple(files) == REST
    for name, checkpoint in components.items():
        index = [checkpoint.index_file] if checkpoint.index_file else []
        files += [f"{name}/{file}" for file in [*checkpoint.weight_files, *index, *checkpoint.side_files]]
    assert sorted(files) == sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))


@pytest.mark.parametrize(
    "name", ["v1-5-pruned.ckpt", "v1-5-pruned-emaonly.safetensors", "safety_checker/model.safetensors"]
)
def test_raw_weights_outside_the_components(tmp_path: Path, name: str) -> None:
    write_pipeline(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(UnsupportedFormatError, match=f"beside the components of the pipeline: {name}"):
        open_folder(tmp_path)
    components = open_folder(tmp_path, exclude=[name])
    assert pipeline_files(tmp_path, components, exclude=[name]) == REST
    with pytest.raises(UnsupportedFormatError, match=name):
        pipeline_files(tmp_path, components)


def test_exclude_is_relative_to_the_pipeline(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    write_single(tmp_path / "unet", plain(), "diffusion_pytorch_model.fp16.safetensors")
    with pytest.raises(UnsupportedFormatError, match=r"unet holds several sets .*fp16\.safetensors"):
        open_folder(tmp_path)
    components = open_folder(tmp_path, exclude=["unet/*.fp16.safetensors"])
    assert components["unet"].weight_files == ("diffusion_pytorch_model.safetensors",)


def test_component_with_pickles_only(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").rename(
        tmp_path / "unet" / "diffusion_pytorch_model.bin"
    )
    with pytest.raises(UnsupportedFormatError, match=r"weights only in diffusion_pytorch_model\.bin"):
        open_folder(tmp_path)


def test_component_without_its_weights(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(MissingFileError, match="unet holds no weights"):
        open_folder(tmp_path)


def test_component_without_its_folder(tmp_path: Path) -> None:
    _edit_index(write_pipeline(tmp_path), vae=["diffusers", "AutoencoderKL"])
    with pytest.raises(MissingFileError, match=r"names the component 'vae' \(AutoencoderKL\), and there is no such"):
        open_folder(tmp_path)


@pytest.mark.parametrize("name", ["../unet", "/unet", "deep/unet", ".."])
def test_component_outside_the_folder(tmp_path: Path, name: str) -> None:
    write_single(tmp_path / "unet", plain())
    _edit_index(write_pipeline(tmp_path / "pipeline"), **{name: ["diffusers", "UNet2DConditionModel"]})
    with pytest.raises(UnsafePathError, match=r"model_index\.json names .*which is not"):
        open_folder(tmp_path / "pipeline")


def test_linked_component(tmp_path: Path) -> None:
    write_pipeline(tmp_path / "pipeline")
    (tmp_path / "pipeline" / "unet").rename(tmp_path / "unet")
    (tmp_path / "pipeline" / "unet").symlink_to(tmp_path / "unet")
    with pytest.raises(UnsafePathError, match="'unet' is a symbolic link"):
        open_folder(tmp_path / "pipeline")


def test_pipeline_without_any_weights(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "X"}', encoding="utf-8")
    with pytest.raises(MissingFileError, match="names no component that has weights"):
        open_folder(tmp_path)


def test_index_that_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("[", encoding="utf-8")
    with pytest.raises(InvalidCheckpointError, match=r"model_index\.json is not valid JSON"):
        open_folder(tmp_path)
