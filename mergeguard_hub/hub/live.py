"""Proving a module of the publisher's own class on a copy of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergeguard_hub.errors import HookError
from mergeguard_hub.hub.families import plain_class

if TYPE_CHECKING:
    from mergeguard_hub.architecture.prove import Proof


def live_proof(model: Any, raw: Path, inputs: Mapping[str, Any] | Sequence[Any] | None) -> Proof | None:
    """Return what was proved on a copy of the model; None where its folder names a class that a library has.

    Args:
        model: a PyTorchModelHubMixin.
        raw: the folder it was saved to, which tells names and configuration.
        inputs: arguments of its forward pass.

    Raises:
        HookError: inputs are needed and none were given.
        ArchitectureError: the copy does not run on them.
    """
    from mergeguard_hub.architecture.live import LiveInstance
    from mergeguard_hub.architecture.prove import prove
    from mergeguard_hub.checkpoint import Checkpoint

    checkpoint = Checkpoint.open(raw)
    if "_class_name" in checkpoint.config or "model_type" in checkpoint.config:
        return None
    if inputs is None:
        raise HookError(
            f"{plain_class(type(model)).__name__} is a class of your own, so nothing is known about its layout. Give "
            "enable(model, example_inputs=...) arguments of its forward pass, and it is proved on a copy of the model."
        )
    return prove(LiveInstance(model, inputs, stored=list(checkpoint.entries), config=checkpoint.config))
