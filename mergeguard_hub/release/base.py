"""The base model that some stages are computed against."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path

from mergeguard_hub.checkpoint import Checkpoint, open_folder
from mergeguard_hub.errors import BaseModelError
from mergeguard_hub.release.claims import whole_digest
from mergeguard_hub.release.sidecar import LEFT_OUT


def open_base(base: str | Path, components: Mapping[str, Checkpoint]) -> dict[str, Checkpoint]:
    """Open the base model of a folder, or those of a pipeline's components.

    Args:
        base: its folder.
        components: the fine-tuned model, opened.

    Raises:
        BaseModelError: there is no such folder, or it is a pipeline where a model is needed, or the other way round.
        CheckpointError: it cannot be read.
    """
    if not Path(base).is_dir():
        raise BaseModelError(
            f"there is no base model folder at {base}; give the folder of the model that was fine-tuned."
        )
    found = open_folder(Path(base).absolute(), exclude=LEFT_OUT)
    if not found.keys() & components.keys():
        kinds = [_kind(folder) for folder in (found, components)]
        raise BaseModelError(
            f"the base model at {base} is {kinds[0]}, the fine-tuned one is {kinds[1]}. Give the base model that this "
            "one was fine-tuned from, in the same format."
        )
    return found


def base_digest(bases: Mapping[str, Checkpoint], executor: Executor | None) -> str | None:
    """Return the digest by which a base model is known, None if there is none.

    A path would tell where the publisher keeps it, and be another one on the next machine.

    Args:
        bases: the base model, opened.
        executor: where tensors are hashed; None for this thread.
    """
    return whole_digest({name: base.digest(executor=executor) for name, base in bases.items()}) if bases else None


def _kind(components: Mapping[str, Checkpoint]) -> str:
    return "a model folder" if set(components) == {""} else f"a pipeline of {', '.join(components)}"
