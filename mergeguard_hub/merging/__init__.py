"""Merge methods as pure functions on tensors, and merging folders: what a free-rider does with a released model."""

from __future__ import annotations

from mergeguard_hub.merging.ada_merging import AdaMerge, AdaMerging
from mergeguard_hub.merging.breadcrumbs import Breadcrumbs
from mergeguard_hub.merging.dare import Dare
from mergeguard_hub.merging.dare_ties import DareTies
from mergeguard_hub.merging.folders import FolderMerge, merge_folders
from mergeguard_hub.merging.iso_c import IsoC
from mergeguard_hub.merging.method import MergeMethod
from mergeguard_hub.merging.metrics_weighted_averaging import MetricsWeightedAveraging
from mergeguard_hub.merging.model_stock import ModelStock
from mergeguard_hub.merging.slerp import Slerp
from mergeguard_hub.merging.subspace_boosting import BoostedTaskArithmetic, BoostedTies
from mergeguard_hub.merging.task_arithmetic import TaskArithmetic
from mergeguard_hub.merging.ties import Ties
from mergeguard_hub.merging.tsv_merge import TsvMerge
from mergeguard_hub.merging.weight_averaging import WeightAveraging

__all__ = [
    "MERGE_METHODS",
    "AdaMerge",
    "AdaMerging",
    "BoostedTaskArithmetic",
    "BoostedTies",
    "Breadcrumbs",
    "Dare",
    "DareTies",
    "FolderMerge",
    "IsoC",
    "MergeMethod",
    "MetricsWeightedAveraging",
    "ModelStock",
    "Slerp",
    "TaskArithmetic",
    "Ties",
    "TsvMerge",
    "WeightAveraging",
    "merge_folders",
]

MERGE_METHODS: dict[str, type[MergeMethod]] = {
    "weight_averaging": WeightAveraging,
    "task_arithmetic": TaskArithmetic,
    "ties": Ties,
    "dare": Dare,
    "dare_ties": DareTies,
    "slerp": Slerp,
    "model_stock": ModelStock,
    "tsv_merge": TsvMerge,
    "iso_c": IsoC,
    "boosted_task_arithmetic": BoostedTaskArithmetic,
    "boosted_ties": BoostedTies,
    "breadcrumbs": Breadcrumbs,
    "metrics_weighted_averaging": MetricsWeightedAveraging,
}
