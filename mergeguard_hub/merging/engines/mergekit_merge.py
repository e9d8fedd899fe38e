"""A merge by mergekit in the shape of our own methods, so that an audit can run the tool that free-riders have."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from safetensors.torch import load_file, save_file
from torch import Tensor

from mergeguard_hub.merging.engines.mergekit import merge_with_mergekit, mergekit_config

_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class MergekitMerge:
    """Merge with mergekit's engine for raw tensors, in a process of its own.

    Attributes:
        method: mergekit's name of it.
        parameters: for all models, as `mergekit_config` takes them.
        weight: of every model; None leaves it to the method.
        with_base: whether the method takes the base model.
    """

    paper: ClassVar[str] = "https://arxiv.org/abs/2403.13257"

    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    weight: float | None = None
    with_base: bool = True

    @property
    def title(self) -> str:
        """The name of the method with that of the tool."""
        return f"mergekit's {self.method}"

    def merge(self, base: Mapping[str, Tensor], models: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Merge models in memory, by way of temporary files.

        Args:
            base: tensors of the base model by name.
            models: tensors of each fine-tuned model.

        Raises:
            EngineError: there is no mergekit, it failed, or it lost tensors.
        """
        with tempfile.TemporaryDirectory(prefix="mergeguard-mergekit-") as place:
            folders = [Path(place) / name for name in ("base", *map(str, range(len(models))))]
            for folder, tensors in zip(folders, (base, *models), strict=True):
                folder.mkdir()
                save_file({name: t.contiguous() for name, t in tensors.items()}, folder / _WEIGHTS, {"format": "pt"})
            config = mergekit_config(
                self.method,
                base=folders[0] if self.with_base else None,
                models=folders[1:],
                weights=None if self.weight is None else [self.weight] * len(models),
                **self.parameters,
            )
            target = Path(place) / "merged"
            merge_with_mergekit(config, target, engine="raw")
            found = {name: t for file in sorted(target.glob("*.safetensors")) for name, t in load_file(file).items()}
        return {name: found[name].to(tensor.dtype) for name, tensor in base.items()}
