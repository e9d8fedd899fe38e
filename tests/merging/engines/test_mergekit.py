"""mergekit itself, in its own environment: all its methods, what it loses, and where it agrees with ours.

`make test` makes that environment. A single process of mergekit does all merges of this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, ViTForImageClassification

from mergeguard_hub.errors import EngineError
from mergeguard_hub.merging import Dare, DareTies, ModelStock, Slerp, TaskArithmetic, Ties, merge_folders
from mergeguard_hub.merging.engines import (
    MergekitJob,
    MergekitMerge,
    MergekitMethod,
    merge_many_with_mergekit,
    merge_with_mergekit,
    mergekit_config,
    mergekit_methods,
)
from mergeguard_hub.merging.engines.mergekit_process import PYTHON_VARIABLE
from mergeguard_hub.merging.mergekit_config import parse_mergekit_config
from tests import tiny
from tests.merging.engines.models import distance, family, weights_of

METHODS = (
    *("multislerp", "nearswap", "ram", "ramplus_tl", "sce", "linear", "slerp", "nuslerp", "passthrough", "model_stock"),
    *("arcee_fusion", "karcher", "task_arithmetic", "ties", "dare_ties", "dare_linear", "breadcrumbs"),
    *("breadcrumbs_ties", "della", "della_linear"),
)
SETTINGS: dict[str, dict[str, Any]] = {
    "della": {"density": 0.5},
    "della_linear": {"density": 0.5},
    "nearswap": {"t": 1e-4},
    "sce": {"select_topk": 0.1},
    "slerp": {"t": 0.3},
}
# Configurations of methods that are named the same and are the same mathematics; weights are about 0.3.
AGREE: dict[str, dict[str, Any]] = {
    "linear": {"weight": 0.5},
    "task_arithmetic": {"weight": 0.4, "lambda": 0.7},
    "ties": {"weight": 0.5, "density": 0.5, "lambda": 0.9},
    "slerp": {"t": 0.3},
    "model_stock": {},
    "breadcrumbs": {"weight": 0.5, "density": 0.5, "gamma": 0.125},
    "dare_linear": {"weight": 0.5, "density": 1.0},
    "dare_ties": {"weight": 0.5, "density": 1.0, "normalize": True},
}
RAW = ("linear", "ties", "slerp")


def config_for(method: MergekitMethod, folders: list[Path], **settings: Any) -> dict[str, Any]:
    """Return a config with as many models as the method takes, and its required parameters."""
    base = None if method.base in {"ignored", "forbidden"} and method.fewest <= 1 else folders[0]
    models = folders[1:] if method.most is None else folders[1 : max(2, method.most)]
    if method.name in {"multislerp", "nuslerp", "karcher"}:
        base = None
    if method.name == "passthrough":
        models = folders[1:2]
    weights = [0.5] * len(models) if "weight" in method.required else None
    return mergekit_config(method.name, base=base, models=models, weights=weights, **settings)


def shared_config(name: str, folders: list[Path], dtype: str | None = None) -> dict[str, Any]:
    """Return a config of a method that is ours as well."""
    models = folders[1:2] if name == "slerp" else folders[1:]
    config = mergekit_config(name, base=None if name == "linear" else folders[0], models=models, **AGREE[name])
    return {**config, "dtype": dtype} if dtype else config


class Runs:
    """Everything that mergekit did for this file.

    Attributes:
        root: where the merges are, by their names.
        folders: base and fine-tuned models.
        errors: name of a merge -> what went wrong, None if nothing did.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders = family(root / "float32", tiny.llama(), max_shard_size="20KB")
        self.halves = family(root / "bfloat16", tiny.llama(dtype=torch.bfloat16))
        self.images = family(root / "vit", tiny.vit())
        self.misfit = self._misfit()
        self.jobs: dict[str, MergekitJob] = {}
        self.methods = mergekit_methods()
        for name, method in self.methods.items():
            self.add(f"all-{name}", config_for(method, self.folders, **SETTINGS.get(name, {})))
        for name in AGREE:
            self.add(f"agree-{name}", shared_config(name, self.folders))
        for name in RAW:
            self.add(f"raw-{name}", shared_config(name, self.folders), engine="raw")
        self.add("half", shared_config("task_arithmetic", self.halves, "bfloat16"))
        for engine in ("yaml", "raw"):
            self.add(f"vit-{engine}", shared_config("ties", self.images), engine=engine)
        base, one, _ = self.folders
        dare = mergekit_config("dare_linear", base=base, models=[one], weights=[1.0], density=0.5)
        for label, seed in (("one", 1), ("again", 1), ("two", 2)):
            self.add(f"seed-{label}", dare, seed=seed)
        self.add("unknown", mergekit_config("stew", base=self.folders[0], models=self.folders[1:]))
        self.add("misfit", mergekit_config("linear", base=None, models=[self.folders[0], self.misfit], weights=[1, 1]))
        self.errors = dict(zip(self.jobs, merge_many_with_mergekit(list(self.jobs.values())), strict=True))

    def add(self, name: str, config: dict[str, Any], **options: Any) -> None:
        self.jobs[name] = MergekitJob(config, self.root / name, **options)

    def _misfit(self) -> Path:
        folder = tiny.save(tiny.llama(), self.root / "other" / "misfit")
        tensors = weights_of(folder)
        tensors["model.norm.weight"] = torch.ones(33)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("mergekit"))


def test_lists_all_methods_with_their_parameters(runs: Runs) -> None:
    assert sorted(runs.methods) == sorted(METHODS)
    ties = runs.methods["ties"]
    assert (ties.title, ties.paper, ties.base) == ("TIES", "https://arxiv.org/abs/2306.01708", "required")
    assert (ties.required, ties.optional["density"], runs.methods["slerp"].most) == (("weight",), 1.0, 2)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_merges_and_loads(runs: Runs, name: str) -> None:
    assert runs.errors[f"all-{name}"] is None
    model = AutoModelForCausalLM.from_pretrained(runs.root / f"all-{name}").eval()
    assert torch.isfinite(model(torch.tensor([[1, 5, 7]])).logits).all()
    assert weights_of(runs.root / f"all-{name}").keys() == weights_of(runs.folders[0]).keys()


@pytest.mark.parametrize("name", AGREE)
def test_the_same_configuration_gives_the_same_weights_as_ours(runs: Runs, name: str, tmp_path: Path) -> None:
    assert runs.errors[f"agree-{name}"] is None
    plan = parse_mergekit_config(shared_config(name, runs.folders))
    merge_folders(plan.method, base=plan.base, models=plan.models, target=tmp_path / "ours")
    assert distance(runs.root / f"agree-{name}", tmp_path / "ours") < 1e-6
    assert distance(tmp_path / "ours", runs.folders[0]) > 1e-3


@pytest.mark.parametrize("name", RAW)
def test_both_engines_agree(runs: Runs, name: str) -> None:
    assert runs.errors[f"raw-{name}"] is None
    assert distance(runs.root / f"raw-{name}", runs.root / f"agree-{name}") < 1e-6
    config = json.loads((runs.root / f"raw-{name}" / "config.json").read_text())
    assert config["model_type"] == "llama"


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("ties", Ties(density=0.5, scale=0.9)),  # the paper trims over the whole model
        ("slerp", Slerp(t=0.7)),
    ],
    ids=["ties over the whole model", "slerp from the other end"],
)
def test_differs_from_other_definitions_of_the_same_name(runs: Runs, name: str, other: Any, tmp_path: Path) -> None:
    models = runs.folders[:2] if name == "slerp" else runs.folders[1:]
    merge_folders(other, base=runs.folders[0], models=models, target=tmp_path / "ours")
    assert distance(runs.root / f"agree-{name}", tmp_path / "ours") > 1e-3


def test_agrees_with_ours_by_these_settings(runs: Runs, tmp_path: Path) -> None:
    """What to write to have mergekit's arithmetic from ours."""
    ours = {
        "task_arithmetic": TaskArithmetic(scale=0.7, weights=(0.4, 0.4)),
        "ties": Ties(density=0.5, scale=0.9, weights=(0.5, 0.5), per_tensor=True),
        "slerp": Slerp(t=0.3),
        "model_stock": ModelStock(),
        "dare_linear": Dare(density=1.0, scale=1.0, weights=(0.5, 0.5)),
        "dare_ties": DareTies(density=1.0, weights=(0.5, 0.5)),
    }
    for name, method in ours.items():
        models = runs.folders[:2] if name == "slerp" else runs.folders[1:]
        merge_folders(method, base=runs.folders[0], models=models, target=tmp_path / name)
        assert distance(runs.root / f"agree-{name}", tmp_path / name) < 1e-6


def test_dare_rescales_to_the_same_sum_and_not_by_the_density(runs: Runs) -> None:
    base, tuned, merged = (weights_of(folder) for folder in (*runs.folders[:2], runs.root / "seed-one"))
    for name, tensor in base.items():
        if tensor.numel() < 1000:
            continue
        vector, found = tuned[name] - tensor, merged[name] - tensor
        assert float(found.abs().sum() / vector.abs().sum()) == pytest.approx(1.0, abs=1e-4)
        factor = (found / vector)[found.abs() > 1e-4].median()  # not exactly the paper's 2
        assert float(factor) == pytest.approx(2.0, rel=0.2)


def test_seeds_decide_what_is_dropped(runs: Runs) -> None:
    assert distance(runs.root / "seed-one", runs.root / "seed-again") == 0
    assert distance(runs.root / "seed-one", runs.root / "seed-two") > 1e-3


def test_computes_in_bfloat16_where_ours_rounds_once(runs: Runs, tmp_path: Path) -> None:
    plan = parse_mergekit_config(shared_config("task_arithmetic", runs.halves, "bfloat16"))
    merge_folders(plan.method, base=plan.base, models=plan.models, target=tmp_path / "ours")
    wide = [{name: tensor.double() for name, tensor in weights_of(folder).items()} for folder in runs.halves]
    exact = plan.method.merge(wide[0], wide[1:])
    ours, theirs = weights_of(tmp_path / "ours"), weights_of(runs.root / "half")
    assert all(torch.equal(ours[name], exact[name].float().bfloat16()) for name in ours)
    errors = [{name: (found[name].double() - exact[name]).abs() for name in exact} for found in (ours, theirs)]
    errors = [{name: (found[name].double() - exact[name]).abs() for name in exact} for found in (ours, theirs)]
    worse = sum(int((errors[1][name] > errors[0][name]).sum()) for name in exact)
    assert worse > 1000


def test_lost_tensors_are_an_error(runs: Runs) -> None:
    found = runs.errors["vit-yaml"]
    assert isinstance(found, EngineError)
    assert "lost 32 tensors without a word, 'vit.encoder.layer.0" in str(found)
    assert 'Use engine="raw"' in str(found)
    assert not (runs.root / "vit-yaml").exists()


def test_the_raw_engine_loses_nothing(runs: Runs) -> None:
    assert runs.errors["vit-raw"] is None
    assert weights_of(runs.root / "vit-raw").keys() == weights_of(runs.images[0]).keys()
    model = ViTForImageClassification.from_pretrained(runs.root / "vit-raw")
    assert model.config.model_type == "vit"


def test_what_mergekit_refuses_is_told_and_leaves_nothing(runs: Runs) -> None:
    assert "cannot merge by 'stew': RuntimeError: Unimplemented merge method stew" in str(runs.errors["unknown"])
    assert "cannot merge by 'linear': " in str(runs.errors["misfit"])
    assert not (runs.root / "misfit").exists()
    assert not list(runs.root.glob(".mergekit-*"))


def test_refuses_a_target_that_is_taken(runs: Runs) -> None:
    job = runs.jobs["agree-linear"]
    with pytest.raises(EngineError, match="agree-linear exists and is not empty"):
        merge_with_mergekit(job.config, job.target)


def test_says_how_to_get_mergekit_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    with pytest.raises(EngineError, match=r"none is named. Make one with .* install mergekit==0.1.5.*make mergekit"):
        mergekit_methods()
    with pytest.raises(EngineError, match="nowhere is no program, and should be the Python that has mergekit"):
        mergekit_methods(python=tmp_path / "nowhere")
    empty = tmp_path / "python"
    empty.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'mergekit'\" >&2; exit 1\n")
    empty.chmod(0o755)
    with pytest.raises(EngineError, match="python has no mergekit. Make one with"):
        mergekit_methods(python=empty)
    empty.write_text("#!/bin/sh\necho Killed >&2; exit 137\n")
    with pytest.raises(EngineError, match="mergekit ended with code 137 and said: Killed. Was it killed"):
        mergekit_methods(python=empty)


def test_it_merges_tensors_as_our_methods_do() -> None:
    """The shape in which an audit uses it: same interface, same result."""
    generator = torch.Generator().manual_seed(0)
    base, one, two = ({"w": torch.randn(6, 4, generator=generator)} for _ in range(3))
    found = MergekitMerge("task_arithmetic", {"lambda": 0.7}, 1.0).merge(base, [one, two])
    expected = TaskArithmetic(scale=0.7).merge(base, [one, two])
    assert torch.allclose(found["w"], expected["w"], atol=1e-6)
    assert MergekitMerge("ties").title == "mergekit's ties"
