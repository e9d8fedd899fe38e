"""The variant in the names of weight files, such as "fp16" in model.fp16.safetensors; one folder holds one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mergeguard_hub.checkpoint.folder import Checkpoint
from mergeguard_hub.errors import TargetError

_NAME = re.compile(
    r"(?:diffusion_pytorch_)?model(?:\.(?P<variant>[^.]+?))?(?:-\d{5}-of-\d{5})?(?:\.(?P<trailing>[^.]+))?\.safetensors"
)


def variant_in(name: str) -> str | None:
    """Return the variant in the name of a weight file, "" for none; None for a name of another kind.

    >>> [variant_in(f"{name}.safetensors") for name in ("model", "model.fp16-00001-of-00002", "lora")]
    ['', 'fp16', None]
    """
    found = _NAME.fullmatch(name)
    return None if found is None else found["variant"] or found["trailing"] or ""


def refuse_other_variant(target: Path, components: Mapping[str, Checkpoint]) -> None:
    """Refuse to write weights beside another variant of them: one record cannot describe both.

    Args:
        target: the folder that is to be replaced.
        components: component name -> what will be written.

    Raises:
        TargetError: the target has weights of another variant.
    """
    for component, checkpoint in components.items():
        new = {variant_in(file) for file in checkpoint.weight_files}
        folder = target / component
        for path in sorted(folder.iterdir()) if None not in new and folder.is_dir() else []:
            if (old := variant_in(path.name)) is not None and old not in new:
                raise TargetError(
                    f"{target} holds {path.relative_to(target)}, weights of another variant than "
                    f"{checkpoint.weight_files[0]}, and a release is one set of weights. Save to another folder."
                )
