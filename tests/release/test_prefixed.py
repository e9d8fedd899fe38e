"""Names on disk that begin otherwise than those the class writes, as published models have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from mergeguard_hub.attacks import Alignment, attack_folder, layout_of
from mergeguard_hub.checkpoint import Checkpoint, naming_advice
from mergeguard_hub.errors import AttackError, BaseModelError, MergeError
from mergeguard_hub.fingerprint import compare, fingerprint_folder
from mergeguard_hub.merging import WeightAveraging, merge_folders
from mergeguard_hub.release import Report, protect_folder, unlock_folder, verify_folder
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.release.releases import KEY, distance, weights


def _from_whole_clip(cls: str) -> Callable[[Path], Any]:
    def build(place: Path) -> Any:
        encoder = getattr(transformers, cls).from_pretrained(tiny.save(tiny.clip(), place / "whole")).eval()
        tiny.save(encoder, place / "raw")
        return encoder

    return build


def _gpt2_as_published(place: Path) -> Any:
    """Without `transformer.`, and with the causal masks that its first version kept among the weights."""
    model = tiny.gpt2()
    tiny.save(model, place / "raw")
    file = place / "raw" / "model.safetensors"
    state = {name.removeprefix("transformer."): tensor for name, tensor in load_file(file).items()}
    masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 64, 64).tril() for layer in range(2)}
    save_file(state | masks, file, metadata={"format": "pt"})
    return model


CASES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "clip_text": (_from_whole_clip("CLIPTextModel"), "text_model.encoder.layers.0.self_attn.q_proj.weight"),
    "clip_vision": (_from_whole_clip("CLIPVisionModel"), "vision_model.encoder.layers.0.self_attn.q_proj.weight"),
    "gpt2": (_gpt2_as_published, "h.0.attn.c_attn.weight"),
}


@pytest.fixture(scope="module", params=list(CASES))
def protected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Report]:
    """A model, the folder that has it as `raw` and its release beside it."""
    place = tmp_path_factory.mktemp(request.param)
    build, name = CASES[request.param]
    model = build(place)
    assert name in Checkpoint.open(place / "raw").entries
    return model, place, protect_folder(place / "raw", place / "release", key=KEY)


def test_is_covered_and_answers_the_same(protected: tuple[Any, Path, Report]) -> None:
    model, place, report = protected
    assert report.components[0].covered >= 0.8
    before, after = weights(place / "raw"), weights(place / "release")
    assert before.keys() == after.keys()
    inside = [name for name, weight in before.items() if weight.ndim == 2 and any(p.isdigit() for p in name.split("."))]
    assert not any(torch.equal(before[name], after[name]) for name in inside)
    answers = tiny.outputs(tiny.load(model, place / "release"))
    for name, value in tiny.outputs(model).items():
        assert distance(value, answers[name]) <= 1e-5, name


def test_unlocks_and_verifies(protected: tuple[Any, Path, Report], tmp_path: Path) -> None:
    _, place, _ = protected
    assert verify_folder(place / "release", against=place / "raw").ok
    unlock_folder(place / "release", tmp_path / "unlocked", key=KEY)
    assert snapshot(tmp_path / "unlocked") == snapshot(place / "raw")


def test_attacks_and_fingerprints_know_its_layout(protected: tuple[Any, Path, Report]) -> None:
    _, place, _ = protected
    assert layout_of(Checkpoint.open(place / "release", exclude=["mergeguard.json"])).attentions
    assert compare(fingerprint_folder(place / "raw"), fingerprint_folder(place / "release")).distance <= 1e-4


def test_names_that_the_class_does_not_know_are_left(tmp_path: Path) -> None:
    """A prefix is only believed if the class loads it."""
    tiny.save(tiny.llama(), tmp_path / "raw")
    file = tmp_path / "raw" / "model.safetensors"
    save_file({f"mine.{name}": weight for name, weight in load_file(file).items()}, file, metadata={"format": "pt"})
    layout = layout_of(Checkpoint.open(tmp_path / "raw"))
    assert not layout.spaces
    assert "were these weights renamed" in json.dumps(list(layout.refused.values()))


def test_a_base_under_other_names_is_told_apart_from_a_wrong_one(tmp_path: Path) -> None:
    """GPT-2 as published, and a fine-tune as transformers saves it."""
    _gpt2_as_published(tmp_path)
    tiny.save(tiny.gpt2(), tmp_path / "tuned")
    protect_folder(tmp_path / "tuned", tmp_path / "release", key=KEY, base=tmp_path / "raw")
    advice = "One has 'transformer.' before its names"
    with pytest.raises(BaseModelError, match=advice):
        protect_folder(tmp_path / "tuned", tmp_path / "params", recipe="params", key=KEY, base=tmp_path / "raw")
    with pytest.raises(AttackError, match=advice):
        attack_folder(Alignment(), tmp_path / "release", tmp_path / "raw", tmp_path / "attacked")
    with pytest.raises(MergeError, match=advice):
        merge_folders(WeightAveraging(), base=tmp_path / "raw", models=[tmp_path / "tuned"], target=tmp_path / "merged")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (["a.weight"], ["a.weight"]),
        (["a.weight", "b"], ["a.weight"]),
        (["a.x", "b.y"], ["p.a.x", "q.c", "r.d"]),
        ([], []),
    ],
)
def test_other_differences_get_no_advice_on_names(ours: list[str], theirs: list[str]) -> None:
    assert naming_advice(ours, theirs) == ""
