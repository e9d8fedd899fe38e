"""A release over its life: saved again, trained on, unlocked, copied without its record, and in odd formats."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mergeguard_hub.errors import ModifiedReleaseError, ReleaseError, WrongKeyError
from mergeguard_hub.protection import Recipe, UnitRearrangement
from mergeguard_hub.release import SIDECAR, protect_folder, read_sidecar, unlock_folder, verify_folder
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.release.releases import KEY, OTHER_KEY, fine_tuned, weights


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tiny.save(fine_tuned("llama"), tmp_path / "raw")


@pytest.fixture
def release(raw: Path, tmp_path: Path) -> Path:
    protect_folder(raw, tmp_path / "release", key=KEY)
    return tmp_path / "release"


def _saved_again(release: Path, folder: Path, train: Callable[[torch.nn.Module], None] | None = None) -> Path:
    """Load a release with plain transformers and save it: the claim comes along, the record does not."""
    model = tiny.load(tiny.llama(), release)
    if train is not None:
        train(model)
    return tiny.save(model, folder)


def _step(model: torch.nn.Module) -> None:
    with torch.no_grad():
        next(model.parameters())[0, 0] += 1.0


def test_a_release_is_copied_as_it_is(release: Path, tmp_path: Path) -> None:
    report = protect_folder(release, tmp_path / "copy", key=KEY)
    assert report.already
    assert (report.recipe, report.key_id) == ("exact", KEY.id)
    assert snapshot(tmp_path / "copy") == snapshot(release)


def test_a_release_is_not_passed_on_as_what_it_is_not(release: Path, tmp_path: Path) -> None:
    """A key or recipe that was asked for and never applied would be believed in."""
    with pytest.raises(WrongKeyError, match=f"with key {KEY.id}, and the key to protect with is {OTHER_KEY.id}"):
        protect_folder(release, tmp_path / "copy", key=OTHER_KEY)
    with pytest.raises(ReleaseError, match="by the recipe 'exact', and 'mergelock' was asked for"):
        protect_folder(release, tmp_path / "copy", recipe="mergelock", key=KEY)
    assert not (tmp_path / "copy").exists()


def test_a_forged_record_does_not_publish_raw_weights(raw: Path, release: Path, tmp_path: Path) -> None:
    forged = Path(shutil.copytree(raw, tmp_path / "forged"))
    record = json.loads((release / SIDECAR).read_text())
    record["digest"] = verify_folder(raw).actual
    (forged / SIDECAR).write_text(json.dumps(record))
    with pytest.raises(ModifiedReleaseError, match="was edited after the release was made"):
        protect_folder(forged, tmp_path / "copy", key=KEY)
    assert not (tmp_path / "copy").exists()


def test_a_release_with_its_record_alone_is_known(release: Path, tmp_path: Path) -> None:
    """Somebody took the claim out of config.json."""
    config = json.loads((release / "config.json").read_text())
    del config["mergeguard"]
    (release / "config.json").write_text(json.dumps(config))
    assert protect_folder(release, tmp_path / "copy", key=KEY).already


def test_loaded_and_saved_again_with_the_record_beside_it(release: Path, tmp_path: Path) -> None:
    again = _saved_again(release, tmp_path / "again")
    shutil.copyfile(release / SIDECAR, again / SIDECAR)
    assert protect_folder(again, tmp_path / "copy", key=KEY).already
    assert snapshot(tmp_path / "copy") == snapshot(release)


def test_loaded_and_saved_again_over_the_release(release: Path, tmp_path: Path) -> None:
    """The record is found in the target that is replaced; what else lies there is kept."""
    (release / "notes.txt").write_text("mine")
    before = snapshot(release)
    again = _saved_again(release, tmp_path / "again")
    assert protect_folder(again, release, key=KEY, replace=True).already
    assert snapshot(release) == before


def test_loaded_and_saved_again_without_the_record(release: Path, tmp_path: Path) -> None:
    """This process has made the release, and would find its record where it was written."""
    again = _saved_again(release, tmp_path / "again")
    (release / SIDECAR).unlink()
    with pytest.raises(ModifiedReleaseError, match=r"are those of the protected release .*, unchanged, and its merge"):
        protect_folder(again, tmp_path / "copy", key=KEY)
    assert not (tmp_path / "copy").exists()


def test_trained_on_it_is_protected_again(release: Path, tmp_path: Path) -> None:
    first = read_sidecar(release)
    assert first is not None
    trained = _saved_again(release, tmp_path / "trained", _step)
    before = snapshot(trained)
    report = protect_folder(trained, tmp_path / "second", key=KEY)
    assert not report.already
    assert report.parent == first["digest"]
    assert verify_folder(tmp_path / "second").state == "protected"
    assert json.loads((tmp_path / "second/config.json").read_text())["mergeguard"]["digest"] == report.digest
    unlock_folder(tmp_path / "second", tmp_path / "unlocked", key=KEY)
    assert snapshot(tmp_path / "unlocked") == before


def test_a_record_that_went_stale_names_the_parent(release: Path, tmp_path: Path) -> None:
    """The hook puts the record of the release that a model was loaded from beside its trained weights."""
    first = read_sidecar(release)
    assert first is not None
    trained = _saved_again(release, tmp_path / "trained", _step)
    shutil.copyfile(release / SIDECAR, trained / SIDECAR)
    report = protect_folder(trained, tmp_path / "second", key=KEY)
    assert report.parent == first["digest"]
    assert read_sidecar(tmp_path / "second") != first


@pytest.mark.parametrize(
    "text",
    [
        '{"architectures": ["LlamaForCausalLM"], "note": "{ \\"mergeguard\\": {} }", REST}',
        '{\r\n\t"model_type" : "llama",\r\n REST\r\n}\r\n',
        "\n{   REST }  \n\n",
        '{"mergeguard": {"version": 1, "digest": "sha256:00", "id": "stale"}, REST}',
        '{REST, "mergeguard": "a note of the author"}',
    ],
)
def test_odd_configs_come_back_to_the_byte(raw: Path, tmp_path: Path, text: str) -> None:
    config = json.loads((raw / "config.json").read_text())
    for key in ("architectures", "model_type"):
        if f'"{key}"' in text:
            del config[key]
    odd = text.replace("REST", json.dumps(config, indent=1)[2:-2])
    (raw / "config.json").write_bytes(odd.encode())
    before = snapshot(raw)
    report = protect_folder(raw, tmp_path / "release", key=KEY)
    released = json.loads((tmp_path / "release/config.json").read_bytes())
    assert released["mergeguard"]["digest"] == report.digest
    unlock_folder(tmp_path / "release", tmp_path / "unlocked", key=KEY)
    assert snapshot(tmp_path / "unlocked") == before


def test_another_class_name_is_written_and_taken_back(raw: Path, tmp_path: Path) -> None:
    config = (raw / "config.json").read_text().replace("{", '{"_name_or_path": "MyLlama",', 1)
    (raw / "config.json").write_text(config.replace('"LlamaForCausalLM"', '"MyLlama"'))
    before = snapshot(raw)
    assert b'"architectures": [\n    "MyLlama"\n' in before["config.json"]
    protect_folder(raw, tmp_path / "release", key=KEY, architecture="LlamaForCausalLM")
    released = json.loads((tmp_path / "release/config.json").read_text())
    assert (released["architectures"], released["_name_or_path"]) == (["LlamaForCausalLM"], "MyLlama")
    unlock_folder(tmp_path / "release", tmp_path / "unlocked", key=KEY)
    assert snapshot(tmp_path / "unlocked") == before


def test_shards_files_beside_and_exclusions(tmp_path: Path) -> None:
    raw = tiny.save(fine_tuned("llama"), tmp_path / "raw", max_shard_size="40KB")
    (raw / "tokenizer").mkdir()
    (raw / "tokenizer/vocabulary.json").write_text("{}")
    (raw / "notes.txt").write_bytes(b"\xff\x00")
    (raw / "training_args.bin").write_bytes(b"pickle")
    report = protect_folder(raw, tmp_path / "release", key=KEY, exclude=["*.bin", "notes*"])
    assert snapshot(tmp_path / "release").keys() == snapshot(raw).keys() - {"notes.txt", "training_args.bin"} | {
        SIDECAR
    }
    single = tiny.save(fine_tuned("llama"), tmp_path / "single")
    assert protect_folder(single, tmp_path / "other", key=KEY).digest == report.digest


@pytest.mark.parametrize("variant", ["fp16", "my-own"])
def test_a_variant_is_compared_under_its_name(tmp_path: Path, variant: str) -> None:
    raw = tiny.save(fine_tuned("llama"), tmp_path / "raw", variant=variant)
    report = protect_folder(raw, tmp_path / "release", key=KEY)
    assert report.components[0].model_drift is not None
    assert (tmp_path / f"release/model.{variant}.safetensors").is_file()


def test_weights_under_another_name_are_compared_by_blocks(raw: Path, tmp_path: Path) -> None:
    (raw / "model.safetensors").rename(raw / "weights.safetensors")
    component = protect_folder(raw, tmp_path / "release", key=KEY).components[0]
    assert component.model_drift is None
    assert component.block_drift is not None


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    raw = tiny.save(fine_tuned("llama", tie_word_embeddings=True), tmp_path / "raw")
    protect_folder(raw, tmp_path / "release", key=KEY)
    assert "lm_head.weight" not in weights(tmp_path / "release")
    loaded = tiny.load(tiny.llama(tie_word_embeddings=True), tmp_path / "release")
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


def test_without_a_base_the_report_says_what_was_drawn(raw: Path, tmp_path: Path) -> None:
    base = tiny.save(tiny.llama(), tmp_path / "base")
    alone = protect_folder(raw, tmp_path / "alone", recipe="params", key=KEY)
    assert "2 of 2 permutations drawn at random: no base model was given" in alone.stages[0].reason
    assert alone.base is None
    against = protect_folder(raw, tmp_path / "against", recipe="params", key=KEY, base=base)
    assert "drawn at random" not in against.stages[0].reason
    assert str(tmp_path) not in (tmp_path / "against" / SIDECAR).read_text()
    assert against.base == verify_folder(base).actual
    narrow = Recipe([UnitRearrangement(assignment="mismatch", largest=55)])
    wide = protect_folder(raw, tmp_path / "wide", recipe=narrow, key=KEY, base=base)
    assert "2 of 2 permutations drawn at random: more than 55 units" in wide.stages[0].reason


def test_float16_narrows_the_factors_and_says_so(tmp_path: Path) -> None:
    """Weights near the ends of the range leave no room; the report names the blocks, and no bit is lost."""
    model = fine_tuned("llama", torch.float16)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = 6e-8  # subnormal
        model.model.layers[1].self_attn.v_proj.weight[0, 0] = 30000.0
    raw = tiny.save(model, tmp_path / "raw")
    before = snapshot(raw)
    report = protect_folder(raw, tmp_path / "release", key=KEY, verify=False)
    assert report.narrowed["model.layers.0.mlp/units"] == 0
    assert report.narrowed["model.layers.1.self_attn/values.*"] == 0
    assert max(report.narrowed.values()) <= 4
    unlock_folder(tmp_path / "release", tmp_path / "unlocked", key=KEY)
    assert snapshot(tmp_path / "unlocked") == before
