"""What a training says of itself: a note on the model, which a protected save writes into the release record."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from mergeguard_hub.training.cells import Objective

NOTE = "mergeguard_training"  # where `save_pretrained` of an enabled model looks


def note_training(model: nn.Module, objective: Objective, *, cap: float, partners: int, batches: int) -> None:
    """Note on a model how it was hardened. It stays with the object, and is in no file until a protected save.

    What is trained afterwards without the objective does not take the note away.

    Args:
        model: what is trained, without wrappers. An adapter's model is noted as well: merging returns that.
        objective: what was trained against.
        cap: loss off nominal from which on nothing is pushed further.
        partners: how many surrogates there were.
        batches: how many a merge was drawn for.
    """
    note: dict[str, Any] = {
        "objective": type(objective).__name__,
        "settings": dict(vars(objective)),
        "cap": cap if math.isfinite(cap) else None,
        "partners": partners,
        "batches": batches,
    }
    inner = getattr(model, "get_base_model", None)
    for noted in (model, inner() if callable(inner) else model):
        vars(noted)[NOTE] = note
