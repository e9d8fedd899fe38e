"""Models on disk as merges and attacks see them: one mapping of tensors, written and loaded as anybody would."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mergeguard_hub.audit.tasks import LanguageModel
from mergeguard_hub.checkpoint import (
    LEFT_OUT,
    Checkpoint,
    CheckpointTensors,
    StagedFolder,
    combine_digests,
    open_folder,
    pipeline_files,
    tensor_bytes,
    tensor_digest,
)
from mergeguard_hub.errors import AuditError
from mergeguard_hub.merging.inputs import CLAIMS

_CONFIG = "config.json"


@dataclass(frozen=True)
class ModelFolder:
    """A model folder or a diffusers pipeline.

    Attributes:
        path: the folder.
    """

    path: Path

    @cached_property
    def components(self) -> dict[str, Checkpoint]:
        """The parts with weights by name; "" is that of a plain model folder."""
        return open_folder(self.path, exclude=LEFT_OUT)

    @property
    def is_pipeline(self) -> bool:
        """Whether it is a diffusers pipeline."""
        return set(self.components) != {""}

    def tensors(self, *parts: str) -> dict[str, Tensor]:
        """Return the tensors of some components, of all without an argument; those of a pipeline as "unet/NAME".

        They are views of the mapped files.
        """
        return {
            _joined(part, name): tensor
            for part in parts or self.components
            for name, tensor in CheckpointTensors(self.components[part]).items()
        }

    def load(self) -> Any:
        """Load it with the plain classes of transformers or diffusers, in float32.

        Returns:
            What a task is put to: a pipeline, an image classifier, or a `LanguageModel`.
        """
        if self.is_pipeline:
            from diffusers import DiffusionPipeline

            pipeline = DiffusionPipeline.from_pretrained(self.path)  # float32 unless told otherwise
            pipeline.set_progress_bar_config(disable=True)
            return pipeline
        names = self.components[""].config.get("architectures") or ()
        if any(name.endswith("ForImageClassification") for name in names):
            from transformers import AutoModelForImageClassification

            return AutoModelForImageClassification.from_pretrained(self.path, dtype=torch.float32).eval()
        return LanguageModel.load(self.path)

    def write(self, weights: Mapping[str, Tensor], target: Path) -> None:
        """Write a folder like this one with other weights, and without a protection's record or claim.

        Args:
            weights: named as by `tensors`; what is missing is this model's own.
            target: must not exist or be empty.

        Raises:
            CheckpointError: it cannot be written.
        """
        with StagedFolder(target, sources=(self.path,)) as staged:
            for part, checkpoint in self.components.items():
                staged.allocate(checkpoint, part)
                for name, entry in checkpoint.entries.items():
                    tensor = weights.get(_joined(part, name))
                    if tensor is None:
                        staged.copy_tensor(checkpoint, entry, part)
                    else:
                        data = tensor.to(entry.torch_dtype).contiguous()
                        staged.write(entry, tensor_bytes(data), subfolder=part)
                self._copy_side_files(part, staged, checkpoint.config)
            if self.is_pipeline:
                for file in pipeline_files(self.path, self.components, exclude=LEFT_OUT):
                    staged.copy_file(self.path / file, file)

    def _copy_side_files(self, part: str, staged: StagedFolder, own: Mapping[str, Any]) -> None:
        checkpoint = self.components[part]
        for file in checkpoint.side_files:
            if file != _CONFIG:
                staged.copy_file(checkpoint.root / file, _joined(part, file))
        if own:
            config = {key: value for key, value in own.items() if key not in CLAIMS}
            staged.write_text(_joined(part, _CONFIG), json.dumps(config, indent=2) + "\n")

    def write_as(self, config: Mapping[str, Any], weights: Mapping[str, Tensor], target: Path) -> None:
        """Write a plain model of another architecture, with the tokenizer and other files of this one.

        Args:
            config: of the new model.
            weights: all that it has, by their names on disk.
            target: must not exist or be empty.

        Raises:
            CheckpointError: it cannot be written.
        """
        from safetensors.torch import save_file

        with StagedFolder(target, sources=(self.path,)) as staged:
            save_file(dict(weights), staged.path / "model.safetensors", metadata={"format": "pt"})
            self._copy_side_files("", staged, config)

    @contextmanager
    def loaded_with(self, weights: Mapping[str, Tensor], config: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """Write these weights to a temporary folder and give the model loaded from there.

        Args:
            weights: see `write`; with a configuration, see `write_as`.
            config: of another architecture; None: this one's.
        """
        with tempfile.TemporaryDirectory(prefix="mergeguard-audit-") as place:
            target = Path(place) / "model"
            if config is None:
                self.write(weights, target)
            else:
                self.write_as(config, weights, target)
            yield ModelFolder(target).load()


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return "sha256:<hex>" of names, dtypes, shapes and bytes: equal exactly for the same weights."""
    return combine_digests(
        {
            name: tensor_digest(name, str(tensor.dtype), tensor.shape, tensor_bytes(tensor.contiguous()))
            for name, tensor in weights.items()
        }
    )


def tuned_components(base: ModelFolder, partner: ModelFolder) -> tuple[str, ...]:
    """Return the components that a free-rider merges: those in which the partner differs from the base.

    Fine-tunes of a pipeline leave its autoencoder alone; a free-rider, who has base and partner, takes that of the
    base.

    Raises:
        AuditError: the partner is not a fine-tune of the base, or the same.
    """
    if set(base.components) != set(partner.components):
        raise AuditError(
            f"{partner.path} has the components {sorted(partner.components)} and the base {sorted(base.components)}: "
            "give a fine-tune of the base."
        )
    found = tuple(part for part in base.components if not _same(base.components[part], partner.components[part]))
    if not found:
        raise AuditError(f"{partner.path} has the weights of the base: there is nothing to merge; give a fine-tune.")
    return found


def _same(one: Checkpoint, other: Checkpoint) -> bool:
    return one.entries.keys() == other.entries.keys() and all(
        torch.equal(one.tensor(name), other.tensor(name)) for name in one.entries
    )


def _joined(part: str, name: str) -> str:
    return f"{part}/{name}" if part else name
