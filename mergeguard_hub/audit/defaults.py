"""What an audit tries unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from mergeguard_hub.attacks import (
    ATTACKS,
    Attack,
    Frankenmerge,
    LayerSearch,
    MergeAttack,
    PlaneSearch,
    Rebasing,
    Rounding,
    Unmask,
    Upcycling,
)
from mergeguard_hub.audit.ada_merging import AdaMergingSearch
from mergeguard_hub.audit.merge_path import MergePath
from mergeguard_hub.merging import MERGE_METHODS, MergeMethod, TaskArithmetic

WITHOUT = "without_our_model"
"""The name of the cells that show what a free-rider gets from the partner's task vector alone."""

PATH = "merge_path"
"""The name of the cells whose points make the plot of skill against merge weight."""

METHODS_TRIED: Mapping[str, MergeMethod] = {
    "weight_averaging": MERGE_METHODS["weight_averaging"](),
    "task_arithmetic": TaskArithmetic(),
    "task_arithmetic_0.6": TaskArithmetic(scale=0.6),
    **{
        name: method()
        for name, method in MERGE_METHODS.items()
        # Metrics-Weighted Averaging is an average whose weights come from metrics of training runs.
        if name not in ("weight_averaging", "task_arithmetic", "metrics_weighted_averaging")
    },
}

MERGE_ATTACKS_TRIED: Mapping[str, MergeAttack] = {
    "rebasing": Rebasing(),
    "plane_search": PlaneSearch(ours=(0.2, 0.4, 0.6, 0.8, 1.0, 1.2), theirs=(0.2, 0.4, 0.6, 0.8, 1.0)),
    "unmask": Unmask(),
    "frankenmerge": Frankenmerge(),
    "upcycling": Upcycling(),
    PATH: MergePath(),
    WITHOUT: PlaneSearch(ours=(0.0,), theirs=(0.2, 0.4, 0.6, 0.8, 1.0, 1.2)),
}
"""The plane leaves out our coefficient 0, which is what the cells without our model are for."""

MERGE_ATTACKS_NAMED: Mapping[str, MergeAttack] = {
    "layer_search": LayerSearch(),
    "unmask_literal": Unmask(mode="literal"),
    "ada_merging": AdaMergingSearch(),
}
"""Tried where they are named: they take minutes a cell, or are a reading of a paper that leaves a broken network."""

ATTACKS_TRIED: Mapping[str, Attack] = {
    **{name: attack() for name, attack in ATTACKS.items() if name != "rounding"},
    "rounding_8_bit": Rounding(bits=8),
    "rounding_4_bit": Rounding(bits=4),
}
