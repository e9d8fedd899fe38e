"""A Stable Diffusion pipeline: one call of protect_folder over the whole folder."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel

from mergeguard_hub.errors import HookError
from mergeguard_hub.hub import disable, enable
from mergeguard_hub.protection.key import Key
from tests import tiny
from tests.hub import zoo

KEY = Key(bytes(range(32)))


def _models(pipe: Any) -> list[Any]:
    return [pipe, pipe.unet, pipe.vae, pipe.text_encoder]


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "50KB", "variant": "fp32"}], ids=["single", "sharded"])
def test_pipeline_saves_as_upstream_with_other_weights(
    options: dict[str, Any], tmp_path: Path, calls: list[Any], spoken: list[str]
) -> None:
    """Same files and layout, same latents, nothing in memory changed, one protect_folder."""
    zoo.pipeline(tmp_path).save_pretrained(tmp_path / "plain", **options)
    pipe = enable(zoo.pipeline(tmp_path), key=KEY)
    pipe.vae.load_state_dict(
        StableDiffusionPipeline.from_pretrained(tmp_path / "plain", variant=options.get("variant")).vae.state_dict()
    )
    snapshot = zoo.Snapshot(*_models(pipe))
    pipe.save_pretrained(tmp_path / "out", **options)
    assert snapshot.unchanged()
    assert len(calls) == 1
    extra = zoo.files(tmp_path / "out") - zoo.files(tmp_path / "plain")
    assert extra == {"mergeguard.json"}
    assert zoo.files(tmp_path / "plain") <= zoo.files(tmp_path / "out")
    assert zoo.layout(tmp_path / "out") == zoo.layout(tmp_path / "plain")
    assert zoo.moved(tmp_path / "plain/unet", tmp_path / "out/unet") > 0.3
    assert zoo.moved(tmp_path / "plain/text_encoder", tmp_path / "out/text_encoder") > 0.3
    spoken.clear()
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "out", variant=options.get("variant"))
    loaded.set_progress_bar_config(disable=True)
    assert spoken == []
    assert type(loaded) is StableDiffusionPipeline
    assert torch.allclose(zoo.drawn(loaded), zoo.drawn(pipe), atol=1e-3)


def test_model_index_is_upstreams(tmp_path: Path) -> None:
    """Dynamic classes keep name and module, so the index names diffusers' and transformers' classes."""
    zoo.pipeline(tmp_path).save_pretrained(tmp_path / "plain")
    pipe = enable(zoo.pipeline(tmp_path), key=KEY)
    enable(pipe.unet, key=KEY)
    pipe.save_pretrained(tmp_path / "out")
    plain, out = (json.loads((tmp_path / name / "model_index.json").read_text()) for name in ("plain", "out"))
    assert {name: out[name] for name in plain} == plain


def test_an_enabled_component_is_protected_once(tmp_path: Path, calls: list[Any]) -> None:
    """Below an enabled pipeline it saves raw into the private folder; below a plain pipeline it protects itself."""
    pipe = enable(zoo.pipeline(tmp_path), key=KEY)
    enable(pipe.unet, key=KEY)
    pipe.save_pretrained(tmp_path / "out")
    assert [call[1] for call in calls] == [tmp_path / "out"]
    disable(pipe)
    pipe.save_pretrained(tmp_path / "partly", max_shard_size="50KB")
    assert [call[1] for call in calls[1:]] == [tmp_path / "partly/unet"]
    assert len(list((tmp_path / "partly/unet").glob("*.safetensors"))) > 2


def test_guarded_classes_are_named_upstream_in_the_index(tmp_path: Path) -> None:
    """A user's pipeline class with a user's UNet class loads where neither is installed."""
    config = {key: value for key, value in tiny.unet().config.items() if not key.startswith("_")}
    unet = zoo.GuardedUNet(**config)
    pipe = zoo.pipeline(tmp_path, zoo.GuardedPipeline, unet)
    pipe.save_pretrained(tmp_path / "out", key=KEY)
    index = json.loads((tmp_path / "out/model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "out")
    assert type(loaded) is StableDiffusionPipeline
    assert type(loaded.unet) is UNet2DConditionModel


def test_saving_twice_and_copying(tmp_path: Path) -> None:
    """The same pipeline twice, and a deep copy of it: the same bytes."""
    pipe = enable(zoo.pipeline(tmp_path), key=KEY)
    pipe.save_pretrained(tmp_path / "one")
    pipe.save_pretrained(tmp_path / "one")
    copy.deepcopy(pipe).save_pretrained(tmp_path / "two")
    assert zoo.contents(tmp_path / "one") == zoo.contents(tmp_path / "two")


def test_disable_restores_the_pipeline(tmp_path: Path) -> None:
    """Class and attributes."""
    pipe = zoo.pipeline(tmp_path)
    attributes = dict(vars(pipe))
    disable(enable(pipe, key=KEY))
    assert type(pipe) is StableDiffusionPipeline
    assert vars(pipe) == attributes


def test_a_component_with_adapters_is_refused(tmp_path: Path) -> None:
    """By its name in the pipeline, before anything is written."""
    from peft import LoraConfig

    pipe = enable(zoo.pipeline(tmp_path), key=KEY)
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"]))
    with pytest.raises(HookError, match=r"component 'unet' \(UNet2DConditionModel\) carries adapters"):
        pipe.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()
