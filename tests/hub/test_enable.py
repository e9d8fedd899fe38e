"""`enable` and `disable` on objects that are loaded already."""

from __future__ import annotations

import copy
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import AutoModelForCausalLM, AutoModelForImageClassification

from mergeguard_hub.errors import HookError
from mergeguard_hub.hub import MergeGuardMixin, SaveSettings, disable, enable
from mergeguard_hub.protection.key import Key
from tests import tiny
from tests.hub import zoo

KEY = Key(bytes(range(32)))
OBJECTS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "llama": (tiny.llama, {}),
    "tied llama": (lambda: tiny.llama(tie_word_embeddings=True), {}),
    "sharded llama": (tiny.llama, {"max_shard_size": "20KB"}),
    "vit": (tiny.vit, {}),
    "unet": (tiny.unet, {}),
    "sharded unet": (tiny.unet, {"max_shard_size": "100KB", "variant": "fp32"}),
}
LOADERS: dict[str, Any] = {
    "llama": AutoModelForCausalLM,
    "vit": AutoModelForImageClassification,
    "unet": UNet2DConditionModel,
}


@pytest.mark.parametrize("name", OBJECTS)
def test_saves_are_upstreams_with_other_weights(name: str, tmp_path: Path, spoken: list[str]) -> None:
    """Same files, layout and answers; loaded by strangers without a word; the live object untouched."""
    build, options = OBJECTS[name]
    model = build()
    model.save_pretrained(tmp_path / "plain", **options)
    model = enable(build(), key=KEY)
    snapshot = zoo.Snapshot(model)
    model.save_pretrained(tmp_path / "out", **options)
    assert snapshot.unchanged()
    assert zoo.files(tmp_path / "out") == zoo.files(tmp_path / "plain") | {"mergeguard.json"}
    assert zoo.layout(tmp_path / "out") == zoo.layout(tmp_path / "plain")
    assert zoo.moved(tmp_path / "plain", tmp_path / "out") > 0.3

    spoken.clear()
    variant = {option: value for option, value in options.items() if option == "variant"}
    loaded = LOADERS[name.split()[-1]].from_pretrained(tmp_path / "out", **variant).eval()
    inputs = tiny.example_inputs(model)
    expected, got = tiny.outputs(model, inputs), tiny.outputs(loaded, inputs)
    assert spoken == []
    assert expected.keys() == got.keys()
    assert all((expected[key] - got[key]).abs().max() <= 1e-4 * expected[key].abs().max() for key in expected)


@pytest.mark.parametrize("build", [tiny.llama, tiny.vit, tiny.unet, zoo.Classifier], ids=lambda build: build.__name__)
def test_only_the_class_changes_and_disable_restores_it(build: Callable[[], Any]) -> None:
    """The subclass has the same name everywhere; disabling leaves the exact class and no attribute."""
    model = build()
    plain, attributes = type(model), dict(vars(model))
    assert enable(model, key=KEY) is model
    guarded = type(model)
    assert (guarded.__name__, guarded.__qualname__, guarded.__module__) == (
        plain.__name__,
        plain.__qualname__,
        plain.__module__,
    )
    assert isinstance(model, plain)
    assert isinstance(model, MergeGuardMixin)
    assert disable(model) is model
    assert type(model) is plain
    assert vars(model) == attributes


def test_enable_again_updates_and_disable_without_enable_is_harmless(tmp_path: Path, calls: list[Any]) -> None:
    """The last settings count; a disabled object saves as upstream does."""
    model = tiny.llama()
    disable(model)
    guarded = type(enable(model, key=KEY))
    assert type(enable(model, key=KEY, protection="mergelock")) is guarded
    model.save_pretrained(tmp_path / "out")
    enable(model, key=KEY, protection=False).save_pretrained(tmp_path / "plain")
    disable(model).save_pretrained(tmp_path / "disabled")
    assert [call[2]["recipe"].name for call in calls] == ["mergelock"]
    assert zoo.contents(tmp_path / "plain") == zoo.contents(tmp_path / "disabled")


def test_disable_on_a_guarded_class_goes_back_to_its_own_settings(tmp_path: Path, calls: list[Any]) -> None:
    """What the class promises is not undone by an object."""
    model = zoo.guarded_llama(zoo.LockedLlama)
    enable(model, protection="exact", key=KEY).save_pretrained(tmp_path / "one")
    disable(model).save_pretrained(tmp_path / "two", key=KEY)
    assert [call[2]["recipe"].name for call in calls] == ["exact", "mergelock"]
    assert type(model) is zoo.LockedLlama


def test_settings_reach_protect_folder(tmp_path: Path, calls: list[Any]) -> None:
    """Base and key of `enable`, base and key of the call."""
    keys = [tmp_path / "one.mgkey", tmp_path / "two.mgkey"]
    tiny.llama(seed=1).save_pretrained(tmp_path / "base")
    model = enable(tiny.llama(), protection="params", key=keys[0], base=tmp_path / "base", passphrase="open sesame")
    model.save_pretrained(tmp_path / "out")
    model.save_pretrained(tmp_path / "out", base=str(tmp_path / "base"), key=keys[1])
    first, second = (call[2] for call in calls)
    assert (first["base"], second["base"]) == (tmp_path / "base", str(tmp_path / "base"))
    assert first["key"].id == Key.load(keys[0], passphrase="open sesame").id
    assert second["key"].id == Key.load(keys[1]).id
    assert all(call["replace"] for call in (first, second))


def test_deepcopy_stays_enabled_with_its_key(tmp_path: Path) -> None:
    """A copy is a second guarded object; nothing is shared but the settings."""
    model = enable(tiny.llama(), key=KEY)
    twin = copy.deepcopy(model)
    disable(model)
    assert isinstance(twin, MergeGuardMixin)
    assert twin.mergeguard_settings.key is KEY
    assert twin.model.embed_tokens.weight.data_ptr() != model.model.embed_tokens.weight.data_ptr()
    twin.save_pretrained(tmp_path / "out")
    assert (tmp_path / "out/mergeguard.json").is_file()


def test_a_class_that_somebody_derives_from_an_enabled_one(tmp_path: Path) -> None:
    """FSDP does that: it stays guarded, and can be copied."""
    model = enable(tiny.llama(), key=KEY)
    model.__class__ = type("FSDPLlamaForCausalLM", (type(model),), {})
    twin = copy.deepcopy(model)
    twin.save_pretrained(tmp_path / "out")
    assert type(twin) is type(model)
    assert json.loads((tmp_path / "out/config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    assert (tmp_path / "out/mergeguard.json").is_file()


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_pickle_keeps_protection_and_leaves_the_secret_out(protocol: int, tmp_path: Path) -> None:
    """A pickled model may be published by accident; its key may not."""
    model = enable(tiny.llama(), protection="mergelock", key=KEY, passphrase="open sesame")
    data = pickle.dumps(model, protocol=protocol)
    restored = pickle.loads(data)
    assert KEY.secret not in data
    assert b"open sesame" not in data
    assert type(restored) is type(model)
    assert restored.mergeguard_settings.protection == "mergelock"
    assert torch.equal(tiny.outputs(restored)["logits"], tiny.outputs(model)["logits"])
    with pytest.raises(HookError, match=rf"its key \(id {KEY.id}\) was not pickled with it"):
        restored.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_key_file_survives_pickling_as_its_path(tmp_path: Path) -> None:
    """Also through torch.save, and for a class that mixes the guard in."""
    path = KEY.save(tmp_path / "mine.mgkey")
    for model in (enable(tiny.llama(), key=path), enable(zoo.guarded_llama(), key=path)):
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        restored = torch.load(buffer, weights_only=False)
        restored.save_pretrained(tmp_path / "out")
        assert type(restored) is type(model)
        assert json.loads((tmp_path / "out/mergeguard.json").read_text())["key_id"] == KEY.id


def test_compiled_models(tmp_path: Path) -> None:
    """A torch.compile wrapper forwards save_pretrained to what is inside."""
    plain = type(tiny.llama())
    compiled = torch.compile(tiny.llama(), backend="eager")
    assert enable(compiled, key=KEY) is compiled
    compiled.save_pretrained(tmp_path / "out")
    tiny.llama().save_pretrained(tmp_path / "plain")
    assert zoo.layout(tmp_path / "out") == zoo.layout(tmp_path / "plain")
    assert zoo.moved(tmp_path / "plain", tmp_path / "out") > 0.3
    disable(compiled)
    assert type(compiled._orig_mod) is plain


@pytest.mark.parametrize("build", [lambda: enable(zoo.Classifier(width=6)), lambda: zoo.GuardedClassifier(width=6)])
def test_hub_mixin_objects_of_unknown_architecture_are_refused(build: Callable[[], Any], tmp_path: Path) -> None:
    """Nothing can be proved about a user's own module without inputs; it is not saved raw instead."""
    with pytest.raises(HookError, match="Give enable\\(model, example_inputs=...\\)"):
        build().save_pretrained(tmp_path / "out", key=KEY)
    assert not (tmp_path / "out").exists()


def test_guarded_diffusers_class_is_named_upstream(tmp_path: Path, spoken: list[str]) -> None:
    """`_class_name` is the library's, so that diffusers finds it."""
    model = zoo.GuardedUNet(**{key: value for key, value in tiny.unet().config.items() if not key.startswith("_")})
    model.load_state_dict(tiny.unet().state_dict())
    snapshot = zoo.Snapshot(model)
    model.save_pretrained(tmp_path / "out", key=KEY)
    spoken.clear()
    loaded = UNet2DConditionModel.from_pretrained(tmp_path / "out")
    assert snapshot.unchanged()
    assert json.loads((tmp_path / "out/config.json").read_text())["_class_name"] == "UNet2DConditionModel"
    assert type(loaded) is UNet2DConditionModel
    assert spoken == []


def test_settings_show_no_secret() -> None:
    """Not in a repr, which ends up in logs and tracebacks."""
    shown = repr(SaveSettings(key=KEY, passphrase="open sesame"))
    assert "open sesame" not in shown
    assert KEY.id in shown
    assert KEY.secret.hex() not in shown
