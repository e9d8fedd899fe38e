"""From a study, a recipe and a key to the plan of one component."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.checkpoint import Checkpoint, TensorEntry
from mergeguard_hub.errors import BaseModelError, NonFiniteWeightsError
from mergeguard_hub.protection.headroom import Magnitudes, measure, scale_bounds
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.mismatch import mismatch
from mergeguard_hub.protection.recipe import Recipe, build_plan, targets
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.unit_rearrangement import UnitRearrangement
from mergeguard_hub.release.study import Study

Permutations = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Draft:
    """What will be done to one component.

    Attributes:
        study: what was proved.
        facts: what stages were told; everything in it goes into the release.
        plan: the composed actions.
    """

    study: Study
    facts: Facts
    plan: Plan


def draft(
    found: Study, *, recipe: Recipe, key: Key, component: str, base: Checkpoint | None, executor: Executor | None
) -> Draft:
    """Measure the weights and draw every action.

    Raises:
        NonFiniteWeightsError: a weight is NaN or infinite.
        BaseModelError: a stage needs the base model, and it is missing or has other tensors.
    """
    headroom = _measure_all(found.checkpoint, executor)
    facts = Facts(
        dtypes={name: entry.dtype for name, entry in found.checkpoint.entries.items()},
        bounds=scale_bounds(found.layout.spaces, headroom),
        assignments=_assignments(found, recipe, base),
    )
    return redraft(found, facts, recipe=recipe, key=key, component=component)


def redraft(found: Study, facts: Facts, *, recipe: Recipe, key: Key, component: str) -> Draft:
    """Draw the actions of a release again from what it recorded."""
    shapes = dict(found.names.shapes)
    plan = build_plan(shapes, found.layout.spaces, recipe=recipe, key=key, component=component, facts=facts)
    return Draft(found, facts, plan)


def _measure_all(checkpoint: Checkpoint, executor: Executor | None) -> dict[str, int]:
    entries = [entry for entry in checkpoint.entries.values() if entry.is_floating and entry.numel]
    run: Callable[..., Any] = executor.map if executor is not None else map
    measured = list(run(_measure_one, [checkpoint] * len(entries), entries))
    for entry, found in zip(entries, measured, strict=True):
        if not found.finite:
            raise NonFiniteWeightsError(
                f"{entry.name} in {entry.file} holds NaN or infinite values. Training probably diverged or the file is "
                "damaged; a protection would hide that. Repair or re-export the model first."
            )
    return {entry.name: found.headroom for entry, found in zip(entries, measured, strict=True)}


def _measure_one(checkpoint: Checkpoint, entry: TensorEntry) -> Magnitudes:
    return measure(checkpoint.tensor(entry.name))


def _assignments(found: Study, recipe: Recipe, base: Checkpoint | None) -> Permutations:
    """Solve PaRaMS's assignments against the base, for every MLP that is small enough."""
    stages = [s for s in recipe.stages if isinstance(s, UnitRearrangement) and s.assignment == "mismatch"]
    if not stages or base is None:
        return {}
    solved: Permutations = {}
    for space in targets(stages[0], found.layout.spaces):
        if "permute" not in space.claims or space.size > stages[0].largest:
            continue
        missing = next((name for name in space.tensors if name not in base.entries), None)
        if missing is not None:
            raise BaseModelError(
                f"the base model at {base.root} has no tensor {missing}. Give the base model that this one was "
                "fine-tuned from, in the same format."
            )
        solved[space.name] = mismatch(space, read=found.checkpoint.tensor, read_base=base.tensor)
    return solved


def seal(assignments: Permutations, key: Key, component: str) -> str | None:
    """Hide solved permutations for the release record; only the key opens them. None if there are none."""
    if not assignments:
        return None
    record = {name: permutation.tolist() for name, permutation in assignments.items()}
    packed = zlib.compress(json.dumps(record, sort_keys=True).encode(), 9)
    return base64.b64encode(key.stream(component, "assignments").mask(packed)).decode("ascii")


def unseal(sealed: str | None, key: Key, component: str) -> Permutations:
    """Open what `seal` hid."""
    if sealed is None:
        return {}
    packed = key.stream(component, "assignments").mask(base64.b64decode(sealed))
    return {name: np.asarray(p, dtype=np.int64) for name, p in json.loads(zlib.decompress(packed)).items()}


def needed_by(recipe: Recipe, spaces: tuple[Space, ...]) -> bool:
    """Whether any stage of the recipe acts on any of the spaces."""
    return any(True for stage in recipe.stages for _ in targets(stage, spaces))
