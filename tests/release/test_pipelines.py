"""Diffusers pipelines: components that are protected, components that are copied, and what is said of each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mergeguard_hub.checkpoint import open_folder
from mergeguard_hub.errors import BaseModelError, UnprovedLayoutError
from mergeguard_hub.release import (
    SIDECAR,
    Progress,
    inspect_folder,
    protect_folder,
    read_sidecar,
    unlock_folder,
    verify_folder,
)
from tests import tiny
from tests.checkpoint.folders import snapshot, write_single
from tests.release.releases import KEY, fine_tuned

PARTS = {
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "LlamaForCausalLM"],
    "odd": ["my_package", "OddModel"],
    "plain": ["transformers", "GPT2LMHeadModel"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "safety_checker": [None, None],
}


def _pipeline(folder: Path) -> Path:
    tiny.save(fine_tuned("clip_text"), folder / "text_encoder")
    tiny.save(fine_tuned("llama"), folder / "text_encoder_2")
    write_single(folder / "odd", {"w": torch.randn(4, 4)})
    (folder / "odd/config.json").write_text('{"_class_name": "OddModel"}')
    tiny.save(tiny.gpt2(), folder / "plain")
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text("{}")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Pipe", **PARTS}))
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _pipeline(tmp_path_factory.mktemp("pipeline") / "source")


@pytest.fixture(scope="module")
def release(source: Path) -> Path:
    protect_folder(source, source.parent / "release", key=KEY)
    return source.parent / "release"


def test_components_that_cannot_be_protected_are_copied_and_reported(source: Path, release: Path) -> None:
    before, after = snapshot(source), snapshot(release)
    assert after.keys() == before.keys() | {SIDECAR}
    changed = {name for name in before if after[name] != before[name]}
    expected = {f"{part}/{file}" for part in ("text_encoder", "text_encoder_2", "plain") for file in ("config.json",)}
    expected |= {f"{part}/model.safetensors" for part in ("text_encoder", "text_encoder_2", "plain")}
    assert changed == expected
    record = read_sidecar(release)
    assert record is not None
    odd = record["components"]["odd"]
    assert (odd["architecture"], odd["covered"], odd["moved"], "draft" in odd) == ("OddModel", 0.0, 0.0, False)
    told = [stage for stage in record["stages"] if stage["component"] == "odd"]
    assert {stage["status"] for stage in told} == {"refused"}
    assert all("has no class OddModel" in stage["reason"] for stage in told)
    assert {stage["component"] for stage in record["stages"]} == set(record["components"])


def test_a_component_without_stages_is_copied_and_reported(source: Path, tmp_path: Path) -> None:
    """Clip's text encoder has no gated units and no experts."""
    from mergeguard_hub.protection import Recipe, UnitScaling

    report = protect_folder(source, tmp_path / "release", recipe=Recipe([UnitScaling()]), key=KEY)
    moved = {component.name: component.moved > 0 for component in report.components}
    assert moved == {"odd": False, "plain": False, "text_encoder": False, "text_encoder_2": True}
    reasons = {stage.component: (stage.status, stage.reason) for stage in report.stages}
    assert reasons["plain"] == ("not applicable", "hidden units of GPT2LMHeadModel allow only permute")
    unlock_folder(tmp_path / "release", tmp_path / "unlocked", key=KEY)
    assert snapshot(tmp_path / "unlocked") == snapshot(source)


def test_every_claim_is_about_the_weights_beside_it(release: Path) -> None:
    """So a component alone can be checked; a component that was not protected claims nothing."""
    record = read_sidecar(release)
    assert record is not None
    for name, checkpoint in open_folder(release, exclude=[SIDECAR]).items():
        claim = checkpoint.config.get("mergeguard")
        alone = verify_folder(release / name)
        if name == "odd":
            assert (claim, alone.state) == (None, "not protected")
        else:
            assert claim == {"version": 1, "id": record["id"], "digest": checkpoint.digest()}
            assert alone.state == "protected"
    assert verify_folder(release).state == "protected"


def test_without_its_record_a_changed_component_shows(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release, tmp_path / "copy")
    (tmp_path / "copy" / SIDECAR).unlink()
    assert verify_folder(tmp_path / "copy").state == "protected"
    shutil.copyfile(release / "plain/model.safetensors", tmp_path / "copy/spare")
    shutil.copyfile(_pipeline(tmp_path / "raw") / "plain/model.safetensors", tmp_path / "copy/plain/model.safetensors")
    (tmp_path / "copy/spare").unlink()
    found = verify_folder(tmp_path / "copy")
    assert found.state == "modified"
    assert found.claimed == read_sidecar(release)["digest"]  # type: ignore[index]


def test_unlocks_to_the_byte_and_verifies(source: Path, release: Path, tmp_path: Path) -> None:
    unlock_folder(release, tmp_path / "unlocked", key=KEY)
    assert snapshot(tmp_path / "unlocked") == snapshot(source)
    found = verify_folder(release, against=source)
    assert found.ok
    assert found.drift["odd"] == 0.0
    assert 0 < found.drift["text_encoder_2"] < 1e-5


def test_a_protected_pipeline_is_copied_as_it_is(release: Path, tmp_path: Path) -> None:
    assert protect_folder(release, tmp_path / "copy", key=KEY).already
    assert snapshot(tmp_path / "copy") == snapshot(release)


def test_a_component_that_was_trained_on_names_the_parent(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release, tmp_path / "trained")
    (tmp_path / "trained" / SIDECAR).unlink()
    model = tiny.load(tiny.llama(), tmp_path / "trained/text_encoder_2")
    with torch.no_grad():
        model.lm_head.weight[0] += 1
    model.save_pretrained(tmp_path / "trained/text_encoder_2")
    before = snapshot(tmp_path / "trained")
    report = protect_folder(tmp_path / "trained", tmp_path / "second", key=KEY)
    assert report.parent == read_sidecar(release)["digest"]  # type: ignore[index]
    unlock_folder(tmp_path / "second", tmp_path / "unlocked", key=KEY)
    assert snapshot(tmp_path / "unlocked") == before


def test_records_inside_components_are_left_out(source: Path, release: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "source")
    shutil.copyfile(release / SIDECAR, tmp_path / "source/plain" / SIDECAR)
    protect_folder(tmp_path / "source", tmp_path / "release", key=KEY)
    assert snapshot(tmp_path / "release") == snapshot(release)


def test_bases_of_pipelines(source: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(source, base)
    report = protect_folder(source, tmp_path / "release", recipe="params", key=KEY, base=base)
    assert not [stage for stage in report.stages if "drawn at random" in stage.reason]
    shutil.rmtree(base / "plain")
    index = {name: part for name, part in PARTS.items() if name != "plain"}
    (base / "model_index.json").write_text(json.dumps({"_class_name": "Pipe", **index}))
    with pytest.raises(
        BaseModelError, match="the base model has no component 'plain', only text_encoder, text_encoder_2, odd. Give"
    ):
        protect_folder(source, tmp_path / "other", recipe="params", key=KEY, base=base)
    with pytest.raises(BaseModelError, match="is a model folder, the fine-tuned one is a pipeline of "):
        protect_folder(source, tmp_path / "other", recipe="params", key=KEY, base=source / "plain")
    assert not (tmp_path / "other").exists()


def test_a_pipeline_of_unknown_models_is_refused(tmp_path: Path) -> None:
    write_single(tmp_path / "source/odd", {"w": torch.randn(4, 4)})
    (tmp_path / "source/odd/config.json").write_text('{"_class_name": "OddModel"}')
    index = {"_class_name": "Pipe", "odd": PARTS["odd"]}
    (tmp_path / "source/model_index.json").write_text(json.dumps(index))
    with pytest.raises(UnprovedLayoutError, match="so nothing was protected. odd: the installed diffusers .* OddModel"):
        protect_folder(tmp_path / "source", tmp_path / "release", key=KEY)
    found = inspect_folder(tmp_path / "source")
    assert [component.architecture for component in found.components] == ["OddModel"]
    assert {stage.status for stage in found.stages} == {"refused"}


def test_phases_of_progress_go_from_nothing_to_all(source: Path, tmp_path: Path) -> None:
    steps: list[Progress] = []
    protect_folder(source, tmp_path / "release", key=KEY, progress=steps.append)
    assert _phases(steps) == ["prove", "protect", "verify"]
    nbytes = sum(checkpoint.nbytes for checkpoint in open_folder(source).values())
    assert {step.total_bytes for step in steps if step.phase != "verify"} == {nbytes}
    steps.clear()
    protect_folder(tmp_path / "release", tmp_path / "copy", key=KEY, progress=steps.append)
    assert _phases(steps) == ["digest", "protect"]
    steps.clear()
    unlock_folder(tmp_path / "release", tmp_path / "unlocked", key=KEY, workers=2, progress=steps.append)
    assert _phases(steps) == ["digest", "unlock"]
    steps.clear()
    verify_folder(tmp_path / "release", against=source, progress=steps.append)
    assert _phases(steps) == ["digest", "verify"]
    steps.clear()
    inspect_folder(source, progress=steps.append)
    assert _phases(steps) == ["prove"]


def _phases(steps: list[Progress]) -> list[str]:
    """Return the phases in order, after checking that each one counts up from 0 to its total."""
    phases: list[list[Progress]] = []
    for step in steps:
        if step.done_bytes == 0 and (not phases or phases[-1][-1].done_bytes):
            phases.append([])
        phases[-1].append(step)
    for phase in phases:
        done = [step.done_bytes for step in phase]
        assert done == sorted(done)
        assert {(step.phase, step.total_bytes) for step in phase} == {(phase[0].phase, done[-1])}
    return [phase[0].phase for phase in phases]


def test_where_the_largest_component_stays_as_it_is_that_is_said(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    protect_folder(source, tmp_path / "quiet", key=KEY)
    assert caplog.messages == []
    shutil.copytree(source, tmp_path / "source")
    write_single(tmp_path / "source/odd", {"w": torch.randn(400, 400)})
    shutil.copy(source / "odd/config.json", tmp_path / "source/odd/config.json")
    protect_folder(tmp_path / "source", tmp_path / "release", key=KEY)
    (said,) = caplog.messages
    assert said.startswith("'odd', the largest component, stays as it is, so that a merge has all that it learned.")
    assert "OddModel" in said
