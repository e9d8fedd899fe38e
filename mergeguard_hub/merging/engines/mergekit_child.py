"""What runs inside mergekit's own environment: reads one JSON order on stdin, prints one JSON answer.

It is started by path with another interpreter and never imported by this package; it imports nothing of it either.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import sys
from typing import Any


def main() -> None:
    """Carry out the order: {"list": true}, or {"jobs": [{"config", "target", "engine", "seed"}, ...]}."""
    order = json.load(sys.stdin)
    answer = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # their progress bars and prints are not the answer
        found = _methods() if order.get("list") else [_attempt(job) for job in order["jobs"]]
    json.dump(found, answer)


def _methods() -> list[dict[str, Any]]:
    from mergekit.merge_methods import registered_methods

    found = []
    for method in registered_methods():
        spec = method.spec
        contract = spec.contract
        found.append(
            {
                "name": spec.name,
                "title": spec.pretty_name or spec.name,
                "paper": spec.reference_url or "",
                "base": contract.base.value,
                "fewest": contract.min_inputs,
                "most": contract.max_inputs,
                "required": [parameter.name for parameter in spec.parameters if parameter.required],
                "optional": {
                    parameter.name: parameter.default for parameter in spec.parameters if not parameter.required
                },
            }
        )
    return found


def _attempt(job: dict[str, Any]) -> str | None:
    """Return what went wrong, None if nothing did."""
    try:
        {"yaml": _merge_models, "raw": _merge_tensors}[job["engine"]](job)
    except Exception as error:  # noqa: BLE001 -- whatever their code raises is the answer
        return f"{type(error).__name__}: {error}"
    return None


def _merge_models(job: dict[str, Any]) -> None:
    """Merge as `mergekit-yaml` does: knows architectures, writes config, tokenizer and card."""
    import yaml
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge

    config = MergeConfiguration.model_validate(job["config"])
    run_merge(config, job["target"], options=_options(job), config_source=yaml.safe_dump(job["config"]))


def _merge_tensors(job: dict[str, Any]) -> None:
    """Merge as `mergekit-pytorch` does: every tensor of the files, whatever the architecture; folders too."""
    import transformers
    from mergekit.graph import Executor
    from mergekit.io import LazyTensorLoader
    from mergekit.scripts.merge_raw_pytorch import RawPyTorchMergeConfig, SimpleLoaderCache, plan_flat_merge

    transformers.trainer_utils.set_seed(job["seed"])
    config = RawPyTorchMergeConfig.model_validate(job["config"])
    loaders = SimpleLoaderCache()
    loaders.loaders = {
        folder: LazyTensorLoader(_index(folder))
        for folder in {model.model for model in config.models} | ({config.base_model} if config.base_model else set())
    }
    tasks = plan_flat_merge(config, job["target"], tensor_union=False, tensor_intersection=False, options=_options(job))
    Executor(tasks, math_device="cpu", storage_device="cpu").execute()


def _index(folder: str) -> Any:
    """Return mergekit's index of a folder, whatever the stem of its safetensors files."""
    from mergekit.io import ShardedTensorIndex
    from mergekit.io.lazy_tensor_loader import ShardInfo

    indexes = glob.glob(os.path.join(glob.escape(folder), "*.safetensors.index.json"))
    if not indexes:
        (file,) = glob.glob(os.path.join(glob.escape(folder), "*.safetensors"))
        return ShardedTensorIndex.from_file(file)
    with open(indexes[0], encoding="utf-8") as stream:
        places: dict[str, str] = json.load(stream)["weight_map"]
    shards = [ShardInfo(file, [name for name in places if places[name] == file]) for file in sorted({*places.values()})]
    return ShardedTensorIndex(base_path=folder, is_safetensors=True, tensor_paths=places, shards=shards)


def _options(job: dict[str, Any]) -> Any:
    from mergekit.options import MergeOptions

    return MergeOptions(quiet=True, random_seed=job["seed"], **job.get("options", {}))


if __name__ == "__main__":
    main()
