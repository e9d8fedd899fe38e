"""The folders that go into a merge: opened, and refused where a merge of them cannot be meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergeguard_hub.checkpoint import LEFT_OUT, SIDECAR, Checkpoint, open_folder
from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.layout import ARITHMETIC, Kind, check_same_content, check_same_kinds, place
from mergeguard_hub.merging.text_files import read_json
from mergeguard_hub.merging.vocabulary import check_vocabularies

CLAIMS = ("mergeguard", "_mergeguard")  # the key of a release record in a config.json
ADAPTER = "adapter_config.json"
# What the same tensors mean something else with. Lengths, dropouts and names may differ between fine-tunes.
_MEANING = (
    *("model_type", "_class_name", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act"),
    *("peft_type", "r", "lora_alpha", "use_rslora", "use_dora"),
)


@dataclass(frozen=True)
class Inputs:
    """The base model and the models, opened.

    Attributes:
        base: component name -> checkpoint; "" for a plain model folder.
        models: the same of each model, in order.
    """

    base: dict[str, Checkpoint]
    models: list[dict[str, Checkpoint]]

    def of(self, component: str) -> tuple[Checkpoint, list[Checkpoint]]:
        """Return one component of the base and of each model."""
        return self.base[component], [model[component] for model in self.models]


def open_inputs(base: Path, models: Sequence[Path], *, force: bool = False) -> Inputs:
    """Open folders and check that they fit together; no weights are read but whole numbers and masks.

    Args:
        base: folder of the base model.
        models: folders of the models.
        force: skip what is only about meaning: architectures, vocabularies, releases. Tensors must always fit.

    Raises:
        MergeError: they do not fit together; the message names the tensor, token, setting or release.
        CheckpointError: a folder cannot be read.
    """
    inputs = Inputs(open_folder(base, exclude=LEFT_OUT), [open_folder(model, exclude=LEFT_OUT) for model in models])
    _check_components(inputs)
    if not force:
        _check_releases([base, *models])
        for name in inputs.base:
            _check_configs(*inputs.of(name))
        for folder in sorted({path.name for path in base.iterdir() if path.is_dir()} | {""}):
            check_vocabularies(base / folder, [model / folder for model in models])
    for name in inputs.base:
        try:
            _check_tensors(*inputs.of(name))
        except MergeError as error:
            raise MergeError(f"{name}: {error}" if name else str(error)) from None
    return inputs


def _check_components(inputs: Inputs) -> None:
    for position, model in enumerate(inputs.models):
        where = place(position, len(inputs.models))
        for name in sorted(inputs.base.keys() ^ model.keys()):
            owner, other = ("the base", where) if name in inputs.base else (where, "the base")
            what = f"the component {name!r}" if name else "weights at the top of its folder"
            raise MergeError(f"{owner} has {what} and {other} has not: merge pipelines of the same kind.")


def _check_tensors(base: Checkpoint, models: Sequence[Checkpoint]) -> None:
    check_same_kinds(_kinds(base), [_kinds(model) for model in models])
    for name, entry in base.entries.items():
        if entry.torch_dtype not in ARITHMETIC:
            check_same_content(name, base.tensor(name), [model.tensor(name) for model in models])


def _kinds(checkpoint: Checkpoint) -> dict[str, Kind]:
    return {name: (entry.shape, entry.torch_dtype) for name, entry in checkpoint.entries.items()}


def _check_configs(base: Checkpoint, models: Sequence[Checkpoint]) -> None:
    expected = _config(base)
    for position, model in enumerate(models):
        found = _config(model)
        for key in _MEANING:
            if key in expected and key in found and expected[key] != found[key]:
                raise MergeError(
                    f"{key} is {expected[key]!r} in the base and {found[key]!r} in {place(position, len(models))}: "
                    "the same weights mean different functions in them. Merge only models of the same architecture."
                )


def _config(checkpoint: Checkpoint) -> Mapping[str, Any]:
    adapter = checkpoint.root / ADAPTER
    return {**checkpoint.config, **(read_json(adapter) if adapter.is_file() else {})}


def _check_releases(folders: Sequence[Path]) -> None:
    releases = {str(folder): found for folder in folders if (found := _release(folder)) is not None}
    for one, (one_id, one_key) in releases.items():
        for other, (other_id, other_key) in releases.items():
            if one_id == other_id:
                continue
            known = one_key is not None and other_key is not None
            keys = f" (keys {one_key} and {other_key})" if known else ""
            raise MergeError(
                f"{one} is the protected release {one_id} and {other} is {other_id}{keys}: every release has "
                "coordinates of its own, so their weights have no meaningful average. Merge the original models "
                "before protecting; force merges them as they are."
            )


def _release(folder: Path) -> tuple[str, str | None] | None:
    """Return the id of the release that a folder is or was trained from, and its key's id if that is known."""
    if (folder / SIDECAR).is_file():
        record = read_json(folder / SIDECAR)
        return str(record.get("id")), str(record.get("key_id"))
    for path in sorted([folder / "config.json", *folder.glob("*/config.json")]):
        config = read_json(path) if path.is_file() else {}
        for key in CLAIMS:
            claim = config.get(key)
            if isinstance(claim, Mapping):
                return str(claim.get("id")), None
    return None
