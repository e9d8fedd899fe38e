"""A class with MergeGuardMixin: what it writes, and what it leaves alone."""

from __future__ import annotations

import inspect
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from mergeguard_hub.errors import WrongKeyError
from mergeguard_hub.hub import MergeGuardMixin, SaveSettings
from mergeguard_hub.protection.key import Key
from mergeguard_hub.release import unlock_folder, verify_folder
from tests import tiny
from tests.hub import zoo

KEY = Key(bytes(range(32)))
LLAMAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "untied": ({}, {}),
    "tied": ({"tie_word_embeddings": True}, {}),
    "sharded": ({}, {"max_shard_size": "20KB"}),
    "tied and sharded": ({"tie_word_embeddings": True}, {"max_shard_size": "20KB"}),
    "bfloat16": ({"dtype": torch.bfloat16}, {}),
    "variant": ({}, {"variant": "fp32"}),
}


@pytest.mark.parametrize("case", LLAMAS)
def test_same_folder_as_an_unprotected_save_but_other_weights(case: str, tmp_path: Path) -> None:
    """File names, shards, tensor names, shapes and dtypes are upstream's; the weights are not."""
    overrides, options = LLAMAS[case]
    tiny.llama(**overrides).save_pretrained(tmp_path / "plain", **options)
    zoo.guarded_llama(**overrides).save_pretrained(tmp_path / "out", key=KEY, **options)
    assert zoo.files(tmp_path / "out") == zoo.files(tmp_path / "plain") | {"mergeguard.json"}
    assert zoo.layout(tmp_path / "out") == zoo.layout(tmp_path / "plain")
    assert zoo.moved(tmp_path / "plain", tmp_path / "out") > 0.3


@pytest.mark.parametrize("case", LLAMAS)
def test_strangers_load_it_silently_and_get_the_same_answers(case: str, tmp_path: Path, spoken: list[str]) -> None:
    """AutoModel, without a warning, under the upstream class name."""
    overrides, options = LLAMAS[case]
    model = zoo.guarded_llama(**overrides)
    model.save_pretrained(tmp_path / "out", key=KEY, **options)
    variant = {name: value for name, value in options.items() if name == "variant"}
    spoken.clear()
    loaded, info = AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", output_loading_info=True, dtype=model.dtype, **variant
    )
    assert (type(loaded), spoken) == (LlamaForCausalLM, [])
    assert not any(info.values())
    expected, got = tiny.outputs(model)["logits"], tiny.outputs(loaded.eval())["logits"]
    tolerance = 0.1 if model.dtype is torch.bfloat16 else 1e-4
    assert (expected - got).abs().max() <= tolerance * expected.abs().max()


def test_config_names_the_upstream_class_only_in_the_folder(tmp_path: Path) -> None:
    """The user's class name would not load elsewhere; the rest of config.json is upstream's plus the claim."""
    tiny.llama().save_pretrained(tmp_path / "plain")
    zoo.guarded_llama().save_pretrained(tmp_path / "out", key=KEY)
    plain = json.loads((tmp_path / "plain/config.json").read_text())
    out = json.loads((tmp_path / "out/config.json").read_text())
    claim = out.pop("mergeguard")
    assert out == plain
    assert out["architectures"] == ["LlamaForCausalLM"]
    assert set(claim) == {"version", "id", "digest"}


@pytest.mark.parametrize("kind", [zoo.GuardedLlama, zoo.GuardedLast, zoo.NotedLlama])
def test_every_save_without_arguments_is_protected(kind: type, tmp_path: Path, calls: list[Any]) -> None:
    """The way a Trainer calls it; also with the mixin last, and below a user's own save_pretrained."""
    zoo.guarded_llama(kind).save_pretrained(tmp_path / "out")
    assert len(calls) == 1
    assert calls[0][2]["recipe"].name == "exact"
    assert calls[0][2]["architecture"] == "LlamaForCausalLM"
    assert (tmp_path / "out/mergeguard.json").is_file()


def test_files_of_a_users_own_save_arrive(tmp_path: Path) -> None:
    """A subclass that writes a note beside the weights finds it in the release."""
    zoo.guarded_llama(zoo.NotedLlama).save_pretrained(tmp_path / "out", key=KEY)
    assert (tmp_path / "out/NOTE.txt").read_text() == "trained at home\n"


@pytest.mark.parametrize(("protection", "recipe"), [(True, "exact"), ("exact", "exact"), (None, "mergelock")])
def test_protection_of_the_call_or_of_the_class(protection: Any, recipe: str, tmp_path: Path, calls: list[Any]) -> None:
    """What the call says wins; else the class."""
    model = zoo.guarded_llama(zoo.LockedLlama)
    model.save_pretrained(tmp_path / "out", key=KEY, protection=protection)
    assert [call[2]["recipe"].name for call in calls] == [recipe]


def test_protection_false_is_upstreams_save_byte_for_byte(tmp_path: Path, calls: list[Any]) -> None:
    """The only difference is the class name, which upstream writes too."""
    zoo.guarded_llama().save_pretrained(tmp_path / "out", protection=False)
    tiny.llama().save_pretrained(tmp_path / "plain")
    out, plain = zoo.contents(tmp_path / "out"), zoo.contents(tmp_path / "plain")
    assert calls == []
    assert out.pop("config.json") == plain.pop("config.json").replace(b"LlamaForCausalLM", b"GuardedLlama")
    assert out == plain


def test_the_live_model_stays_as_it_is(tmp_path: Path) -> None:
    """Weights, config (upstream writes dtype and architectures into it), generation config, optimizer, attributes."""
    model = zoo.guarded_llama().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batch = tiny.example_inputs(model)
    model(**batch, labels=batch["input_ids"]).loss.backward()
    optimizer.step()
    snapshot = zoo.Snapshot(model, optimizer=optimizer)
    model.save_pretrained(tmp_path / "out", key=KEY)
    assert snapshot.unchanged()
    assert model.config is model.model.config


def test_signature_lists_upstreams_arguments_and_ours() -> None:
    """Pipelines of diffusers pass only what inspect.signature lists."""
    ours = inspect.signature(zoo.GuardedLlama.save_pretrained).parameters
    upstream = inspect.signature(LlamaForCausalLM.save_pretrained).parameters
    added = [name for name in ours if name not in upstream]
    assert added == ["protection", "key", "base"]
    assert [name for name in ours if name in upstream] == list(upstream)
    assert all(ours[name].kind is inspect.Parameter.KEYWORD_ONLY for name in added)


def test_ordinary_folders_load(tmp_path: Path) -> None:
    """MyLlama.from_pretrained of a folder that knows nothing of us."""
    plain = tiny.llama()
    plain.save_pretrained(tmp_path / "plain")
    model = zoo.GuardedLlama.from_pretrained(tmp_path / "plain").eval()
    assert type(model) is zoo.GuardedLlama
    assert torch.equal(tiny.outputs(model)["logits"], tiny.outputs(plain)["logits"])


def test_saving_twice_is_byte_equal(tmp_path: Path) -> None:
    """The live model to two folders with one key, the same folder again, and the loaded release."""
    model = zoo.guarded_llama()
    for name in ("one", "two", "one"):
        model.save_pretrained(tmp_path / name, key=KEY)
    zoo.GuardedLlama.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "three", key=KEY)
    first = zoo.contents(tmp_path / "one")
    assert zoo.contents(tmp_path / "two") == first
    assert zoo.contents(tmp_path / "three") == first


def test_training_on_from_a_release_records_the_parent(tmp_path: Path) -> None:
    """Other weights under an inherited claim are protected again."""
    zoo.guarded_llama().save_pretrained(tmp_path / "one", key=KEY)
    model = zoo.GuardedLlama.from_pretrained(tmp_path / "one").train()
    batch = tiny.example_inputs(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    model(**batch, labels=batch["input_ids"]).loss.backward()
    optimizer.step()
    model.save_pretrained(tmp_path / "two", key=KEY)
    one, two = (json.loads((tmp_path / name / "mergeguard.json").read_text()) for name in ("one", "two"))
    assert one["parent"] is None
    assert two["parent"] == one["digest"]
    assert two["digest"] != one["digest"]
    assert verify_folder(tmp_path / "two").state == "protected"
    assert (tmp_path / "two/config.json").read_text().count('"mergeguard"') == 1


def test_the_owner_gets_back_what_an_unprotected_save_would_have_written(tmp_path: Path) -> None:
    """Byte for byte, config included; nobody else does."""
    tiny.llama().save_pretrained(tmp_path / "plain", max_shard_size="20KB")
    zoo.guarded_llama().save_pretrained(tmp_path / "out", key=KEY, max_shard_size="20KB")
    unlock_folder(tmp_path / "out", tmp_path / "back", key=KEY)
    assert zoo.contents(tmp_path / "back") == zoo.contents(tmp_path / "plain")
    with pytest.raises(WrongKeyError, match=KEY.id):
        unlock_folder(tmp_path / "out", tmp_path / "wrong", key=Key(bytes(32)))


def test_fewer_shards_leave_no_stale_ones(tmp_path: Path) -> None:
    """from_pretrained would read a left-over file in preference to the new ones."""
    model = zoo.guarded_llama()
    model.save_pretrained(tmp_path / "out", key=KEY, max_shard_size="20KB")
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 2
    model.save_pretrained(tmp_path / "out", key=KEY)
    assert [path.name for path in (tmp_path / "out").glob("*.safetensors*")] == ["model.safetensors"]


def test_other_files_of_the_target_stay(tmp_path: Path) -> None:
    """A tokenizer or a card that is there already is not lost."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/README.md").write_text("# Mine\n")
    zoo.guarded_llama().save_pretrained(tmp_path / "out", key=KEY)
    assert (tmp_path / "out/README.md").read_text() == "# Mine\n"


def test_state_dict_and_target_as_path_or_text(tmp_path: Path) -> None:
    """A state dict that is passed is what gets saved."""
    model = zoo.guarded_llama()
    doubled = {name: 2 * tensor for name, tensor in model.state_dict().items()}
    model.save_pretrained(str(tmp_path / "out"), state_dict=dict(doubled), key=KEY)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    model.load_state_dict(doubled)
    expected, got = tiny.outputs(model)["logits"], tiny.outputs(loaded)["logits"]
    assert (expected - got).abs().max() <= 1e-4 * expected.abs().max()


def test_a_new_key_is_told_once_and_its_secret_never(
    tmp_path: Path, key_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The default key is made under the user's config directory; the next save of the folder uses it quietly."""
    caplog.set_level(logging.INFO, logger="mergeguard_hub")
    model = zoo.guarded_llama()
    model.save_pretrained(tmp_path / "my-finetune")
    (path,) = key_folder.glob("*.mgkey")
    model.save_pretrained(tmp_path / "my-finetune")
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    secret = json.loads(path.read_text())["secret"]
    assert path.name == "my-finetune.mgkey"
    assert len(told) == 1
    assert str(path) in told[0]
    assert secret not in caplog.text
    assert not any(secret.encode() in data for data in zoo.contents(tmp_path / "my-finetune").values())


def test_a_trainers_checkpoints_share_the_key_of_their_run(tmp_path: Path, key_folder: Path) -> None:
    """run/checkpoint-5 and run are one project."""
    model = zoo.guarded_llama()
    for target in ("run/checkpoint-5", "run/checkpoint-10", "run"):
        model.save_pretrained(tmp_path / target)
    assert [path.name for path in key_folder.iterdir()] == ["run.mgkey"]


def test_hub_mixin_class_keeps_its_keyword_and_card() -> None:
    """MergeGuardMixin passes class keywords on."""

    class Named(MergeGuardMixin, zoo.Classifier, library_name="named"):
        mergeguard_settings = SaveSettings(protection=False)

    assert Named._hub_mixin_info.model_card_data.library_name == "named"
    assert issubclass(zoo.GuardedClassifier, MergeGuardMixin)
