"""Fail closed: every refusal comes before anything is written to the target."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model

import mergeguard_hub.release
from mergeguard_hub.errors import HookError, KeyFileError, RecipeError, UnknownArchitectureError, UnsupportedFormatError
from mergeguard_hub.hub import SaveSettings, enable
from mergeguard_hub.protection.key import Key
from tests import tiny
from tests.hub import zoo

KEY = Key(bytes(range(32)))
ARGUMENTS: list[tuple[Callable[[], Any], dict[str, Any], str]] = [
    (tiny.llama, {"safe_serialization": False}, "safe_serialization=False would write pickled weights"),
    (tiny.unet, {"safe_serialization": False}, "safe_serialization=False would write pickled weights"),
    (tiny.unet, {"use_flashpack": True}, "use_flashpack=True would write FlashPack weights"),
    (tiny.llama, {"distributed_checkpoint": True}, "distributed_checkpoint=True would write every rank's raw weights"),
]


def _target(tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """Return a target that holds an earlier file, and its contents."""
    target = tmp_path / "out"
    target.mkdir()
    (target / "README.md").write_text("# Mine\n")
    return target, zoo.contents(target)


@pytest.mark.parametrize(("build", "options", "message"), ARGUMENTS)
def test_arguments_that_would_write_raw_weights(
    build: Callable[[], Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """By keyword."""
    target, before = _target(tmp_path)
    model = enable(build(), key=KEY)
    with pytest.raises(HookError, match=message):
        model.save_pretrained(target, **options)
    assert zoo.contents(target) == before


def test_push_from_inside_a_users_own_save(tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw weights are in the private folder then: the upload is stopped, the folder removed."""
    hub = SimpleNamespace(create_repo=lambda *_, **__: SimpleNamespace(repo_id="me/model"))
    monkeypatch.setattr(transformers.modeling_utils, "hf_api", lambda: hub)
    monkeypatch.setattr(transformers.modeling_utils, "create_and_tag_model_card", lambda *_, **__: _Card())
    with pytest.raises(HookError, match="pushes from inside its own save_pretrained, where the weights are still raw"):
        zoo.guarded_llama(zoo.PushingLlama).save_pretrained(tmp_path / "out", key=KEY)
    assert not (tmp_path / "out").exists()
    assert zoo.files(private) == set()


class _Card:
    def save(self, path: str) -> None:
        Path(path).write_text("# card\n")


@pytest.mark.parametrize("through", ["push_to_hub", "save_pretrained"])
def test_plain_pushes_go_through_upstream(through: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """protection=False means it, for the upload as well."""
    import huggingface_hub.hub_mixin as hub_mixin

    uploaded: list[set[str]] = []
    api = SimpleNamespace(
        create_repo=lambda *_, **__: SimpleNamespace(repo_id="me/model"),
        upload_folder=lambda folder_path, **_: uploaded.append(zoo.files(Path(folder_path))),
    )
    monkeypatch.setattr(hub_mixin, "HfApi", lambda **_: api)
    model = zoo.GuardedClassifier()
    if through == "push_to_hub":
        enable(model, protection=False).push_to_hub("me/model")
    else:
        model.save_pretrained(tmp_path / "out", protection=False, push_to_hub=True, repo_id="me/model")
    assert uploaded == [{"README.md", "config.json", "model.safetensors"}]


def _with_adapter() -> Any:
    model = tiny.llama()
    model.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]))
    return model


def _peft() -> Any:
    return get_peft_model(tiny.llama(), LoraConfig(r=2, target_modules=["q_proj"]))


def _quantised() -> Any:
    model = tiny.llama()
    model.config.quantization_config = {"quant_method": "bitsandbytes"}
    return model


def _replaced() -> Any:
    model = tiny.llama()
    model.save_pretrained = lambda *_: None
    return model


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (_with_adapter, r"LlamaForCausalLM carries adapters.*merge_and_unload\(\)"),
    (_peft, "PeftModel.* carries adapters"),
    (lambda: _peft().base_model.model, "LlamaForCausalLM carries adapters"),
    (_quantised, "LlamaForCausalLM is quantised, and packed weights cannot be protected"),
    (_replaced, "save_pretrained of LlamaForCausalLM was replaced on this one object"),
    (lambda: torch.nn.Linear(2, 2), "A Linear cannot be saved protected: it is no transformers or diffusers model"),
    (lambda: torch.nn.DataParallel(tiny.llama()), r"enable what is inside: enable\(x.module\)"),
]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks the old name
@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_objects_that_cannot_be_protected(build: Callable[[], Any], message: str) -> None:
    """`enable` says so at once."""
    model = build()
    kind = type(model)
    with pytest.raises(HookError, match=message):
        enable(model, key=KEY)
    assert type(model) is kind


@pytest.mark.parametrize("spoil", ["adapter", "quantised"])
def test_objects_that_change_after_enable(spoil: str, tmp_path: Path) -> None:
    """The save checks again."""
    target, before = _target(tmp_path)
    model = enable(tiny.llama(), key=KEY)
    if spoil == "adapter":
        model.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]))
    else:
        model.config.quantization_config = {"quant_method": "bitsandbytes"}
    with pytest.raises(HookError, match=r"carries adapters|is quantised"):
        model.save_pretrained(target)
    assert zoo.contents(target) == before


@pytest.mark.parametrize("build", [tiny.llama, tiny.unet], ids=["transformers", "diffusers"])
def test_other_processes_write_nothing(build: Callable[[], Any], tmp_path: Path, key_folder: Path) -> None:
    """A diffusers save writes its weights even then; here they go to the private folder and away."""
    model = enable(build())
    model.save_pretrained(tmp_path / "out", is_main_process=False)
    assert not (tmp_path / "out").exists()
    assert list(key_folder.iterdir()) == []


def test_a_rank_other_than_zero_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transformers model decides by the rank too."""
    monkeypatch.setattr(transformers.distributed.mixin, "_is_torch_distributed_initialized", lambda: True)
    monkeypatch.setattr(transformers.distributed.mixin, "_get_torch_distributed_rank", lambda: 1)
    monkeypatch.setattr(transformers.LlamaForCausalLM, "barrier_after_gathered_checkpoint_save", lambda *_: None)
    enable(tiny.llama(), key=KEY).save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_class_that_travels_as_remote_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loads it runs that code, which was not proved; without the code it is saved as the library's class."""
    monkeypatch.setattr(zoo.RemoteLlama, "_auto_class", "AutoModelForCausalLM")
    model = enable(zoo.guarded_llama(zoo.RemoteLlama), key=KEY)
    target, before = _target(tmp_path)
    with pytest.raises(UnknownArchitectureError, match=r"'RemoteLlama'\].*custom modeling code cannot be proved"):
        model.save_pretrained(target)
    assert zoo.contents(target) == before
    monkeypatch.setattr(zoo.RemoteLlama, "_auto_class", None)
    model.save_pretrained(tmp_path / "upstream")
    assert json.loads((tmp_path / "upstream/config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_key_inside_the_target(tmp_path: Path) -> None:
    """It would be published."""
    model = enable(tiny.llama(), key=tmp_path / "out/mine.mgkey")
    with pytest.raises(KeyFileError, match="so it would be published with the model"):
        model.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_target_is_a_file(tmp_path: Path) -> None:
    """Upstream logs an error and returns as if it had saved."""
    (tmp_path / "out").write_text("mine")
    with pytest.raises(HookError, match=r"The target .*out is a file"):
        enable(tiny.llama(), key=KEY).save_pretrained(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_protection_that_names_nothing(tmp_path: Path) -> None:
    """None in the settings is no recipe."""
    model = enable(tiny.llama(), key=KEY)
    model.mergeguard_settings = SaveSettings(protection=None, key=KEY)  # type: ignore[arg-type]
    with pytest.raises(HookError, match="protection=None names no recipe"):
        model.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_misspelt_preset(tmp_path: Path) -> None:
    """Said by `enable`, and by the call."""
    with pytest.raises(RecipeError, match="there is no preset 'mergelok'; choose one of exact, params, mergelock"):
        enable(tiny.llama(), protection="mergelok")
    with pytest.raises(RecipeError, match="there is no preset 'mergelok'"):
        zoo.guarded_llama().save_pretrained(tmp_path / "out", protection="mergelok")
    assert not (tmp_path / "out").exists()


def test_a_failing_save_restores_the_model_and_removes_the_raw_weights(
    tmp_path: Path, private: Path, key_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong between the raw save and the end of protect_folder."""
    caplog.set_level(logging.INFO, logger="mergeguard_hub")
    target, before = _target(tmp_path)

    def fails(source: Path, *_: Any, **__: Any) -> None:
        assert (Path(source) / "model.safetensors").is_file()
        raise UnsupportedFormatError("packed")

    monkeypatch.setattr(mergeguard_hub.release, "protect_folder", fails)
    model = enable(tiny.llama())
    snapshot = zoo.Snapshot(model)
    with pytest.raises(UnsupportedFormatError, match="packed"):
        model.save_pretrained(target)
    assert snapshot.unchanged()
    assert zoo.contents(target) == before
    assert zoo.files(private) == set()
    assert list(key_folder.iterdir()) == []
    assert "key" not in caplog.text
