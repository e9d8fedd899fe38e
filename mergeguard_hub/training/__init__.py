"""Protection while fine-tuning: MergeGuard's two stages, Trap² and the hardened recipe."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mergeguard_hub.training.base_weights import FolderTensors
from mergeguard_hub.training.cells import Cell, Hardened, Trap2
from mergeguard_hub.training.criticality import Criticality
from mergeguard_hub.training.density import DensityPenalty
from mergeguard_hub.training.directions import TaskVector, random_direction
from mergeguard_hub.training.disk_names import on_disk
from mergeguard_hub.training.gate import Gate
from mergeguard_hub.training.guessing import class_guessing, unigram_entropy, zero_prediction
from mergeguard_hub.training.hardening import HardeningLoss
from mergeguard_hub.training.last_good import LastGood
from mergeguard_hub.training.layers import language_roles, layers_of
from mergeguard_hub.training.negate_folder import NegatedFolder, negate_folder, rank_without_data
from mergeguard_hub.training.negation import Negation
from mergeguard_hub.training.presets import TRAP2_PRESETS, Trap2Preset
from mergeguard_hub.training.ranking import rank_by_gradient, rank_exactly, tuned_layers
from mergeguard_hub.training.refining import Race, refine
from mergeguard_hub.training.relearning import Relearning
from mergeguard_hub.training.running import Losses

if TYPE_CHECKING:
    from mergeguard_hub.training.callback import MergeGuardCallback
    from mergeguard_hub.training.trainer import MergeGuardTrainerMixin, ProtectedTrainer

__all__ = [
    "TRAP2_PRESETS",
    "Cell",
    "Criticality",
    "DensityPenalty",
    "FolderTensors",
    "Gate",
    "Hardened",
    "HardeningLoss",
    "LastGood",
    "Losses",
    "MergeGuardCallback",
    "MergeGuardTrainerMixin",
    "NegatedFolder",
    "Negation",
    "ProtectedTrainer",
    "Race",
    "Relearning",
    "TaskVector",
    "Trap2",
    "Trap2Preset",
    "class_guessing",
    "language_roles",
    "layers_of",
    "negate_folder",
    "on_disk",
    "random_direction",
    "rank_by_gradient",
    "rank_exactly",
    "rank_without_data",
    "refine",
    "tuned_layers",
    "unigram_entropy",
    "zero_prediction",
]

_WITH_TRANSFORMERS = {
    "MergeGuardCallback": "callback",
    "MergeGuardTrainerMixin": "trainer",
    "ProtectedTrainer": "trainer",
}


def __getattr__(name: str) -> Any:
    """Import what needs transformers' Trainer, which is slow to load, when it is first used."""
    if name not in _WITH_TRANSFORMERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WITH_TRANSFORMERS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
