"""Stage 2 on tensors and folders: the paper's formula, masks of the right size, and refusals that say why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.errors import (
    BaseModelError,
    MergeGuardError,
    NonFiniteWeightsError,
    TrainingError,
    UnsupportedFormatError,
)
from mergeguard_hub.training import Criticality, Negation, layers_of, negate_folder, rank_exactly, rank_without_data
from mergeguard_hub.training.disk_names import on_disk
from mergeguard_hub.training.negation import counted
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.reference import mergeguard
from tests.training import pairs


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = Checkpoint.open(folder)
    return {name: checkpoint.tensor(name).clone() for name in checkpoint.entries}


def folder(place: Path, **weights: torch.Tensor) -> Path:
    place.mkdir(parents=True)
    save_file(weights, place / "model.safetensors")
    (place / "config.json").write_text("{}")
    return place


def by_hand() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.5, 2.0, 1.0, 4.25])


def test_four_elements_by_hand() -> None:
    tuned, base = by_hand()  # task vector -0.5, 0, 2, -0.25
    assert Negation(k=0.5).apply(tuned, base).tolist() == [1.5, 2.0, 1.0, 4.0]
    assert Negation(k=0.5, beta=2.0).apply(tuned, base).tolist() == [2.0, 2.0, -1.0, 4.0]
    assert Negation(k=0.25, significance="weight").apply(tuned, base).tolist() == [1.0, 2.0, 3.0, 4.25]
    assert Negation(k=1.0).apply(tuned, base).equal(base)


@pytest.mark.parametrize("k", [0.0, 1e-9, 0.24])
def test_masks_of_less_than_one_weight_are_empty(k: float) -> None:
    tuned, base = by_hand()
    assert Negation(k=k).apply(tuned, base).equal(tuned)
    assert Negation(k=k).apply(tuned[:1], base[:1]).equal(tuned[:1])


def test_fractions_are_not_off_by_one() -> None:
    assert [counted(0.29, 100), counted(0.1, 30), counted(0.1, 9), counted(1.0, 7)] == [29, 3, 0, 7]


def test_double_precision_is_kept() -> None:
    base, tuned = torch.tensor([1.0, 1.0], dtype=torch.float64), torch.tensor([1.0, 1.0 + 1e-12], dtype=torch.float64)
    assert Negation(k=0.5, beta=2.0).apply(tuned, base)[1] == pytest.approx(1.0 - 1e-12, rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_with_beta_one_the_bases_values_stand_there_bit_for_bit(dtype: torch.dtype) -> None:
    base = torch.randn(50, 40).to(dtype)
    tuned = (base + 0.1 * torch.randn(50, 40)).to(dtype)
    released = Negation(k=0.1).apply(tuned, base)
    assert released.dtype == dtype
    assert int((released == base).sum()) >= 200
    assert int((released != tuned).sum()) <= 200


def test_a_folder_is_the_papers_formula(tmp_path: Path) -> None:
    source, base, _, _ = pairs.folders(tmp_path)
    before, reference = tensors(source), tensors(base)
    drop = {name: float(number) for number, name in enumerate(before)}
    ranking = Criticality(drop, layers_of(before), "exact", 0.0)
    result = negate_folder(source, base, tmp_path / "out", criticality=ranking, negation=Negation(k=0.3, critical=0.2))
    expected = mergeguard.stage2(before, reference, drop, k=0.3, k_prime=20, beta=1.0)
    for name, tensor in tensors(tmp_path / "out").items():
        torch.testing.assert_close(tensor, expected[name])
    assert result.kept[""] == ranking.critical(0.2)
    assert 0.15 < result.negated < 0.3
    assert result.excluded[""] == ()
    assert result.ranking[""].method == "exact"


def test_language_models_keep_embedding_final_norm_and_head(tmp_path: Path) -> None:
    source, base, tuned, _ = pairs.folders(tmp_path, "llama")
    result = negate_folder(source, base, tmp_path / "out")
    roles = ("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight")
    assert result.excluded[""] == roles
    assert result.ranking[""].method == "data-free"
    before, after = tensors(source), tensors(tmp_path / "out")
    assert all(torch.equal(before[name], after[name]) for name in roles)
    kept = result.ranking[""].tensors(0.1)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(before) - set(roles) - kept
    loaded = tiny.load(tuned, tmp_path / "out")
    assert not torch.equal(tiny.outputs(loaded)["logits"], tiny.outputs(tuned)["logits"])


def test_blocks_are_kept_whole(tmp_path: Path) -> None:
    source, base, _, _ = pairs.folders(tmp_path, "llama")
    result = negate_folder(source, base, tmp_path / "out", negation=Negation(granularity="block"))
    assert len(result.kept[""]) == 1
    before, after = tensors(source), tensors(tmp_path / "out")
    inside = [name for name in before if name.startswith(result.kept[""][0] + ".")]
    assert inside
    assert all(torch.equal(before[name], after[name]) for name in inside)


def test_a_ranking_from_memory_finds_the_folders_names(tmp_path: Path) -> None:
    """transformers stores a ViT under other names than its parameters have."""
    source, base, tuned, plain = pairs.folders(tmp_path)
    ranking = on_disk(rank_exactly(tuned, plain, pairs.batches(tuned)), tuned, source)
    assert set(ranking.drops) == set(tensors(source))
    result = negate_folder(source, base, tmp_path / "out", criticality=ranking)
    assert result.kept[""] == ranking.critical(0.1)
    with pytest.raises(TrainingError, match="no tensor with the values of"):
        on_disk(rank_exactly(tuned, plain, pairs.batches(tuned)), tuned, base)


def test_bases_that_do_not_match_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    source, base, _, _ = pairs.folders(tmp_path, "llama")
    wide = tiny.save(tiny.llama(intermediate_size=64), tmp_path / "wide")
    deep = tiny.save(tiny.llama(num_hidden_layers=1), tmp_path / "deep")
    with pytest.raises(BaseModelError, match=r"shape \(32, 56\) in the model and \(32, 64\) in the base"):
        negate_folder(source, wide, tmp_path / "out")
    with pytest.raises(BaseModelError, match=r"no tensor 'model.layers.1.* exclude a tensor that is really new"):
        negate_folder(source, deep, tmp_path / "out")
    with pytest.raises(TrainingError, match="there is nothing to negate"):
        negate_folder(base, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert negate_folder(source, deep, tmp_path / "out", exclude=["model.layers.1.*"]).negated > 0


def test_releases_and_strange_rankings_are_refused(tmp_path: Path) -> None:
    source, base, _, _ = pairs.folders(tmp_path, "llama")
    ranking = Criticality({"w": 1.0}, {"w": ("w",)}, "exact", 1.0)
    with pytest.raises(TrainingError, match="the ranking names 'w', and the folder has no such tensor"):
        negate_folder(source, base, tmp_path / "out", criticality=ranking)
    (source / "mergeguard.json").write_text("{}")
    with pytest.raises(TrainingError, match="is a protected release"):
        negate_folder(source, base, tmp_path / "out")


def test_a_pipeline_is_negated_component_by_component(tmp_path: Path) -> None:
    from diffusers import DDPMScheduler

    for place, move in (("base", False), ("tuned", True)):
        model = pairs.moved(tiny.unet()) if move else tiny.unet()
        tiny.save(model, tmp_path / place / "unet")
        DDPMScheduler().save_pretrained(tmp_path / place / "scheduler")
        parts = '"unet": ["diffusers", "UNet2DConditionModel"], "scheduler": ["diffusers", "DDPMScheduler"]'
        index = '{"_class_name": "P", ' + parts + "}"
        (tmp_path / place / "model_index.json").write_text(index)
    result = negate_folder(tmp_path / "tuned", tmp_path / "base", tmp_path / "out")
    assert set(result.kept) == {"unet"}
    assert (tmp_path / "out/scheduler/scheduler_config.json").is_file()
    assert 0 < result.negated < 0.1


def test_without_data_the_largest_task_vectors_come_first(tmp_path: Path) -> None:
    source, base, tuned, plain = pairs.folders(tmp_path, "llama")
    ranking = rank_without_data(source, base)
    size = {
        name: float((parameter - plain.get_parameter(name)).detach().norm())
        for name, parameter in tuned.named_parameters()
        if name.startswith("model.layers.")
    }
    assert list(ranking.ranked) == sorted(size, key=lambda name: -size[name])
    assert ranking.forwards == 0.0


def test_large_changes_are_measured_in_double_precision(tmp_path: Path) -> None:
    zeros = torch.zeros(4)
    base = folder(tmp_path / "base", a=zeros.clone(), b=zeros.clone())
    source = folder(tmp_path / "tuned", a=zeros + 1e20, b=zeros + 2e20)
    assert rank_without_data(source, base).drops == pytest.approx({"a": 2e20, "b": 4e20})


def test_the_ranking_without_data_is_the_one_that_a_negation_uses(tmp_path: Path) -> None:
    source, base, _, _ = pairs.folders(tmp_path, "llama")
    ranking = rank_without_data(source, base, exclude=["*.0.mlp.*"])
    assert ranking == negate_folder(source, base, tmp_path / "out", exclude=["*.0.mlp.*"]).ranking[""]
    deep = tiny.save(tiny.llama(num_hidden_layers=1), tmp_path / "deep")
    wide = tiny.save(tiny.llama(intermediate_size=64), tmp_path / "wide")
    for other, message in ((deep, r"no tensor 'model.layers.1"), (wide, r"shape \(32, 56\) in the model")):
        with pytest.raises(BaseModelError, match=message):
            rank_without_data(source, other)
    with pytest.raises(TrainingError, match="no layer to rank"):
        rank_without_data(base, base)


def test_patterns_that_exclude_nothing_are_refused(tmp_path: Path) -> None:
    source, base, _, _ = pairs.folders(tmp_path)
    with pytest.raises(TrainingError, match=r"the pattern 'classifer\*' excludes nothing"):
        negate_folder(source, base, tmp_path / "out", exclude=["classifier*", "classifer*"])
    with pytest.raises(TrainingError, match=r"the pattern 'classifer\*' excludes nothing"):
        rank_without_data(source, base, exclude=["classifer*"])
    assert not (tmp_path / "out").exists()


def test_a_ranking_and_a_granularity_are_not_given_together(tmp_path: Path) -> None:
    source, base, _, _ = pairs.folders(tmp_path, "llama")
    ranking, block = rank_without_data(source, base), Negation(granularity="block")
    with pytest.raises(TrainingError, match="granularity is 'block', and the ranking that was given has layers of its"):
        negate_folder(source, base, tmp_path / "out", criticality=ranking, negation=block)
    blocks = rank_without_data(source, base, negation=block)
    assert negate_folder(source, base, tmp_path / "out", criticality=blocks).kept[""] == blocks.critical(0.1)


def test_protected_bases_are_refused(tmp_path: Path) -> None:
    source, base, _, _ = pairs.folders(tmp_path, "llama")
    (base / "mergeguard.json").write_text("{}")
    with pytest.raises(BaseModelError, match=r"the base at .*base is a protected release"):
        negate_folder(source, base, tmp_path / "out")
    with pytest.raises(BaseModelError, match=r"the base at .*base is a protected release"):
        rank_without_data(source, base)


@pytest.mark.parametrize("place", ["tuned", "base"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, place: str, value: float) -> None:
    weights = {"tuned": torch.ones(5, 4), "base": torch.zeros(5, 4)}
    weights[place][0, 0] = value
    folders = [folder(tmp_path / name, w=weight, v=weight.nan_to_num(0, 0)) for name, weight in weights.items()]
    ranking = Criticality({"v": 1.0}, {"v": ("v",)}, "exact", 1.0)
    for given in (None, ranking):
        with pytest.raises(NonFiniteWeightsError, match=rf"'w' of .*{place} holds NaN or infinite weights"):
            negate_folder(*folders, tmp_path / "out", criticality=given)
    assert not (tmp_path / "out").exists()
    assert negate_folder(*folders, tmp_path / "out", exclude=["w"]).excluded[""] == ("w",)


def test_results_that_overflow_are_refused_and_an_old_target_stays(tmp_path: Path) -> None:
    low, high = torch.full((4, 4), -6e4).half(), torch.full((4, 4), 6e4).half()
    base = folder(tmp_path / "base", v=low.clone(), w=low.clone())
    source = folder(tmp_path / "tuned", v=high.clone(), w=high.clone())
    target = folder(tmp_path / "out", old=torch.ones(2))
    before = snapshot(target)
    with pytest.raises(NonFiniteWeightsError, match=r"'w' would hold numbers that torch.float16 has no room for"):
        negate_folder(source, base, target, negation=Negation(beta=2.0, k=0.5), replace=True)
    assert snapshot(target) == before
    wider = folder(tmp_path / "wider", v=torch.full((4, 4), 1e5).bfloat16(), w=low.clone())
    with pytest.raises(NonFiniteWeightsError, match=r"'v' of .*wider holds torch.bfloat16 numbers that .* no room for"):
        negate_folder(source, wider, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("quantised", "found"), [(("tuned", "base"), "tuned"), (("base",), "base")])
def test_float8_is_refused_unless_excluded(tmp_path: Path, quantised: tuple[str, ...], found: str) -> None:
    for number, place in enumerate(("tuned", "base")):
        weight = torch.full((4, 8), 1.0 - number)
        kept = weight.to(torch.float8_e4m3fn) if place in quantised else weight
        folder(tmp_path / place, w=kept, n=weight.clone(), m=2 * weight, step=torch.tensor(3), mask=weight > 0)
    with pytest.raises(
        UnsupportedFormatError, match=rf"{found}: tensor 'w' has dtype F8_E4M3, and only .* the unquant"
    ):
        negate_folder(tmp_path / "tuned", tmp_path / "base", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert negate_folder(tmp_path / "tuned", tmp_path / "base", tmp_path / "out", exclude=["w"]).negated > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 1.5}, "k is 1.5"),
        ({"critical": -0.1}, "critical is -0.1"),
        ({"beta": float("inf")}, "beta is inf"),
        ({"significance": "luck"}, "significance is 'luck'"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(MergeGuardError, match=message):
        Negation(**settings)  # type: ignore[arg-type]
