"""Merge methods as pure functions on tensors: what a free-rider does with a released model."""

from __future__ import annotations

from mergeguard_hub.merging.method import MergeMethod
from mergeguard_hub.merging.task_arithmetic import TaskArithmetic
from mergeguard_hub.merging.ties import Ties
from mergeguard_hub.merging.weight_averaging import WeightAveraging

__all__ = ["MERGE_METHODS", "MergeMethod", "TaskArithmetic", "Ties", "WeightAveraging"]

MERGE_METHODS: dict[str, type[MergeMethod]] = {
    "weight_averaging": WeightAveraging,
    "task_arithmetic": TaskArithmetic,
    "ties": Ties,
}
