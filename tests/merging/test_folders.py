"""Merging folders: the same weights as in memory, in pieces and in parallel, all or nothing."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergeguard_hub.errors import MergeError, MissingFileError, NonFiniteWeightsError, TargetError
from mergeguard_hub.merging import (
    MERGE_METHODS,
    Dare,
    FolderMerge,
    TaskArithmetic,
    Ties,
    WeightAveraging,
    merge_folders,
)
from mergeguard_hub.merging import inputs as module
from mergeguard_hub.merging.pieces import PIECE_ELEMENTS
from mergeguard_hub.release import claims
from tests.checkpoint.folders import snapshot, write_pipeline, write_sharded, write_single
from tests.merging.table import Tensors, drawn

PROCESSES = multiprocessing.get_context("spawn")


def weights_of(folder: Path) -> Tensors:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def write(root: Path, count: int = 3, dtype: torch.dtype = torch.bfloat16, **more: torch.Tensor) -> list[Path]:
    """Write a base and `count` - 1 models, cut into shards in different ways."""
    return [
        write_sharded(root / f"model{seed}", {**drawn(seed, dtype=dtype), **more}, shards=1 + seed)
        for seed in range(count)
    ]


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    return write(tmp_path)


@pytest.mark.parametrize("name", MERGE_METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_is_what_the_method_does_in_memory(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    base, *others = write(tmp_path, dtype=dtype)
    before = snapshot(tmp_path)
    done = merge_folders(MERGE_METHODS[name](), base=base, models=others, target=tmp_path / "out")
    expected = MERGE_METHODS[name]().merge(weights_of(base), [weights_of(other) for other in others])
    found = weights_of(tmp_path / "out")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) and found[key].dtype == expected[key].dtype for key in found)
    assert {path: data for path, data in snapshot(tmp_path).items() if not path.startswith("out/")} == before
    nbytes = sum(tensor.nbytes for tensor in expected.values())
    assert done == FolderMerge(tmp_path / "out", MERGE_METHODS[name].title, 7, nbytes)


def executors() -> dict[str, Executor | None]:
    return {"none": None, "threads": ThreadPoolExecutor(2), "processes": ProcessPoolExecutor(2, mp_context=PROCESSES)}


@pytest.mark.parametrize(
    ("method", "kind"), [(TaskArithmetic(), "none"), (Dare(), "threads"), (Ties(), "threads"), (Ties(), "processes")]
)
def test_executors_do_not_change_a_byte(models: list[Path], tmp_path: Path, method: Any, kind: str) -> None:
    executor = executors()[kind]
    merge_folders(method, base=models[0], models=models[1:], target=tmp_path / "out", executor=executor)
    merge_folders(method, base=models[0], models=models[1:], target=tmp_path / "again", workers=2)
    if executor is not None:
        executor.shutdown()
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "again")


def test_a_tensor_of_several_pieces(tmp_path: Path) -> None:
    shape = (3, PIECE_ELEMENTS // 2 + 5)
    base, one, two = (write_single(tmp_path / str(value), {"w": torch.full(shape, value)}) for value in (1.0, 2.0, 5.0))
    merge_folders(Ties(density=1.0), base=base, models=[one, two], target=tmp_path / "out")
    assert torch.equal(weights_of(tmp_path / "out")["w"], torch.full(shape, 3.5))


def test_everything_but_weights_is_the_bases(models: list[Path], tmp_path: Path) -> None:
    (models[0] / "tokenizer_config.json").write_text("{}")
    (models[1] / "only_here.txt").write_text("not in the merge")
    merge_folders(WeightAveraging(), base=models[0], models=models[1:], target=tmp_path / "out")
    base, merged = snapshot(models[0]), snapshot(tmp_path / "out")
    assert merged.keys() == base.keys()
    assert {name for name in base if merged[name] != base[name]} == {n for n in base if n.endswith(".safetensors")}


def test_pipelines_are_merged_by_component(tmp_path: Path) -> None:
    base, one = write_pipeline(tmp_path / "base"), write_pipeline(tmp_path / "one")
    merge_folders(WeightAveraging(), base=base, models=[base, one], target=tmp_path / "out")
    for name in ("unet", "text_encoder"):
        found, left, right = (weights_of(root / name) for root in (tmp_path / "out", base, one))
        assert all(torch.equal(found[key], (left[key] + right[key]) / 2) for key in left)
    assert snapshot(tmp_path / "out").keys() == snapshot(base).keys()


def test_a_release_is_not_passed_on(models: list[Path], tmp_path: Path) -> None:
    claim = {"version": 1, "id": "a" * 16, "digest": "sha256:" + "a" * 64}
    (models[0] / "config.json").write_text(json.dumps({"mergeguard": claim, "model_type": "llama"}))
    (models[0] / "mergeguard.json").write_text(json.dumps({"version": 1, "id": "a" * 16, "key_id": "k1"}))
    merge_folders(WeightAveraging(), base=models[0], models=models[1:], target=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"model_type": "llama"}
    assert not (tmp_path / "out" / "mergeguard.json").exists()


def test_names_of_claims_are_those_of_releases() -> None:
    assert set(module.CLAIMS) == claims.CLAIM_KEYS


@pytest.mark.parametrize("keys", [("k1", "k2"), ("k1", "k1")])
def test_refuses_releases_of_different_keys_or_of_one_key(
    models: list[Path], tmp_path: Path, keys: tuple[str, str]
) -> None:
    for folder, release, key in zip(models[1:], ("one", "two"), keys, strict=True):
        (folder / "mergeguard.json").write_text(json.dumps({"version": 1, "id": release, "key_id": key}))
    arguments: dict[str, Any] = {"base": models[0], "models": models[1:], "target": tmp_path / "out"}
    with pytest.raises(
        MergeError, match=rf"protected release one and .* is two \(keys {keys[0]} and {keys[1]}\): every"
    ):
        merge_folders(WeightAveraging(), **arguments)
    assert not (tmp_path / "out").exists()
    assert merge_folders(WeightAveraging(), force=True, **arguments).tensors == 7


def test_refuses_releases_that_only_their_configs_name(models: list[Path], tmp_path: Path) -> None:
    for folder, release in zip(models[1:], ("one", "two"), strict=True):
        (folder / "config.json").write_text(json.dumps({"model_type": "llama", "mergeguard": {"id": release}}))
    with pytest.raises(MergeError, match="is the protected release one and .* is two: every release has"):
        merge_folders(WeightAveraging(), base=models[0], models=models[1:], target=tmp_path / "out")


def test_merges_fine_tunes_of_one_release(models: list[Path], tmp_path: Path) -> None:
    for folder in models[1:]:
        (folder / "config.json").write_text(json.dumps({"model_type": "llama", "mergeguard": {"id": "one"}}))
    done = merge_folders(WeightAveraging(), base=models[0], models=models[1:], target=tmp_path / "out")
    assert done.tensors == 7


class TestRefusals:
    """What cannot be meant is refused with the name of the first thing that differs, and nothing is written."""

    def refused(self, models: list[Path], match: str, error: type[Exception] = MergeError, **settings: Any) -> None:
        target = models[0].parent / "out"
        with pytest.raises(error, match=match):
            merge_folders(TaskArithmetic(), base=models[0], models=models[1:], target=target, **settings)
        assert not target.exists()
        assert not list(models[0].parent.glob(".*")), "a staging folder is left"

    def rewrite(self, folder: Path, **changes: torch.Tensor | None) -> None:
        tensors = {key: value for key, value in {**weights_of(folder), **changes}.items() if value is not None}
        shutil.rmtree(folder)
        write_single(folder, tensors)

    def test_another_shape(self, models: list[Path]) -> None:
        self.rewrite(models[2], vector=torch.zeros(8))
        self.refused(models, r"'vector' has shape \(7,\) in the base and \(8,\) in model 2 of 2", force=True)

    def test_a_missing_and_an_extra_tensor(self, models: list[Path]) -> None:
        self.rewrite(models[1], vector=None)
        self.refused(models, "the base has a tensor 'vector' and model 1 of 2 has none", force=True)
        self.rewrite(models[1], vector=torch.zeros(7), more=torch.zeros(1))
        self.refused(models, "model 1 of 2 has a tensor 'more' and the base has none", force=True)

    def test_other_whole_numbers(self, models: list[Path]) -> None:
        self.rewrite(models[1], ids=torch.tensor([0, 1, 3]))
        self.refused(models, "'ids' holds whole numbers that differ between the base and model 1 of 2", force=True)

    def test_weights_that_are_no_numbers(self, models: list[Path]) -> None:
        self.rewrite(models[2], scalar=torch.tensor(float("nan")))
        self.refused(models, "'scalar' of model 2 of 2 holds NaN", NonFiniteWeightsError)
        self.refused(models, "'scalar' of model 2 of 2 holds NaN", NonFiniteWeightsError, workers=2)

    def test_another_architecture(self, models: list[Path]) -> None:
        (models[2] / "config.json").write_text('{"model_type": "mistral"}')
        self.refused(models, "model_type is 'llama' in the base and 'mistral' in model 2 of 2")

    def test_another_number_of_heads(self, models: list[Path]) -> None:
        for folder, heads in zip(models, (4, 4, 8), strict=True):
            (folder / "config.json").write_text(json.dumps({"model_type": "llama", "num_attention_heads": heads}))
        self.refused(models, "num_attention_heads is 4 in the base and 8 in model 2 of 2: the same weights mean")

    def test_adapters_of_other_strength(self, tmp_path: Path) -> None:
        folders = [tmp_path / "a", tmp_path / "b"]
        for folder, alpha in zip(folders, (8, 16), strict=True):
            folder.mkdir()
            save_file({"lora_A.weight": torch.ones(2, 3)}, folder / "adapter_model.safetensors")
            (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": alpha}))
        self.refused(folders, "lora_alpha is 8 in the base and 16 in model 1 of 1")

    @pytest.mark.parametrize(
        ("file", "texts"),
        [
            (
                "tokenizer.json",
                ('{"model": {"vocab": {"a": 0, "b": 1}}}', '{"model": {"vocab": {"a": 0, "c": 1, "b": 2}}}'),
            ),
            (
                "tokenizer.json",
                ('{"model": {"vocab": [["a", 0.1], ["b", 0.2]]}}', '{"model": {"vocab": [["b", 0.1]]}}'),
            ),
            ("vocab.json", ('{"a": 0, "b": 1}', '{"a": 1, "b": 0}')),
            ("vocab.txt", ("x\na\nb\n", "x\nb\na\n")),
        ],
    )
    def test_another_vocabulary(self, models: list[Path], file: str, texts: tuple[str, str]) -> None:
        for folder, text in zip(models[:2], texts, strict=True):
            (folder / file).write_text(text)
        self.refused(models, r"The token '[ab]' is number \d in the base and \d in model 1 of 2: rows of their")

    def test_a_vocabulary_with_more_tokens_is_fine(self, models: list[Path]) -> None:
        for folder, text in zip(models, ('{"a": 0}', '{"a": 0, "b": 1}', '{"a": 0}'), strict=True):
            (folder / "vocab.json").write_text(text)
        target = models[0].parent / "out"
        assert merge_folders(TaskArithmetic(), base=models[0], models=models[1:], target=target).tensors == 7

    def test_a_pipeline_and_a_model(self, models: list[Path]) -> None:
        write_pipeline(models[0].parent / "pipeline")
        models[2] = models[0].parent / "pipeline"
        self.refused(models, "the base has weights at the top of its folder and model 2 of 2 has not")

    def test_pipelines_whose_components_differ(self, tmp_path: Path) -> None:
        folders = [write_pipeline(tmp_path / name) for name in ("a", "b")]
        name = "diffusion_pytorch_model.safetensors"
        save_file({**load_file(folders[1] / "unet" / name), "more": torch.zeros(1)}, folders[1] / "unet" / name)
        self.refused(folders, "unet: model 1 of 1 has a tensor 'more' and the base has none")

    def test_no_models_and_no_folder(self, models: list[Path]) -> None:
        self.refused(models[:1], "the list of models is empty")
        self.refused([*models, models[0].parent / "nowhere"], "nowhere does not exist", MissingFileError)

    def test_a_target_that_is_taken(self, models: list[Path]) -> None:
        with pytest.raises(TargetError, match="is the source itself"):
            merge_folders(TaskArithmetic(), base=models[0], models=models[1:], target=models[1])


def test_progress_goes_from_nothing_to_all(models: list[Path], tmp_path: Path) -> None:
    steps: list[tuple[str, int, int, str]] = []
    merge_folders(
        Ties(), base=models[0], models=models[1:], target=tmp_path / "out", progress=lambda *step: steps.append(step)
    )
    total = sum(tensor.nbytes for tensor in weights_of(models[0]).values())
    assert steps[0] == ("prepare", 0, total, "")
    assert {step[2] for step in steps} == {total}
    base = weights_of(models[0])
    assert [step[3] for step in steps[1:]] == sorted(sorted(base), key=lambda name: -base[name].nbytes)
    assert steps[-1][1] == total
