"""From a study, a recipe and a key to the plan of one component."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.scaling import Room
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.checkpoint import Checkpoint, TensorEntry, has_nonfinite, naming_advice
from mergeguard_hub.errors import BaseModelError, NonFiniteWeightsError
from mergeguard_hub.protection.actions import compose_plan, draw_actions, mark_actions
from mergeguard_hub.protection.headroom import Magnitudes, measure, scale_bounds
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.mismatch import mismatch
from mergeguard_hub.protection.recipe import Recipe, targets
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.unit_rearrangement import UnitRearrangement
from mergeguard_hub.release.spread import spread
from mergeguard_hub.release.study import Study

Permutations = dict[str, NDArray[np.int64]]
SAMPLED_BYTES = 4096  # of each tensor, for the salt


@dataclass(frozen=True, eq=False)
class Draft:
    """What will be done to one component.

    Attributes:
        study: what was proved.
        facts: what stages were told; everything in it goes into the release.
        plan: the composed actions.
        mark: keyed hash of the actions, by which their owner knows them again.
        room: tensor name -> what is known of its numbers.
    """

    study: Study
    facts: Facts
    plan: Plan
    mark: str
    room: Mapping[str, Room] = field(default_factory=dict)


def learn_facts(
    found: Study,
    *,
    recipe: Recipe,
    key: Key,
    base: Checkpoint | None,
    executor: Executor | None,
    done: Callable[[TensorEntry], None],
) -> tuple[Facts, dict[str, Room]]:
    """Read every weight once, for what stages have to know of them.

    Args:
        found: one component.
        recipe: stages in order.
        key: the owner's key.
        base: the same component of the base model, for stages that are computed against it.
        executor: where tensors are read; None for this thread.
        done: called after each tensor.

    Returns:
        What stages are told, and `Draft.room`.

    Raises:
        NonFiniteWeightsError: a weight is NaN or infinite.
        BaseModelError: the base model has other tensors.
    """
    room = _measure_all(found.checkpoint, executor, done)
    facts = Facts(
        dtypes=_dtypes(found.checkpoint),
        bounds=scale_bounds(found.layout.spaces, {name: known.exponent for name, known in room.items()}),
        assignments=_assignments(found, recipe, base),
        salt=salt_of(found.checkpoint, key),
    )
    return facts, room


def salt_of(checkpoint: Checkpoint, key: Key) -> str:
    """Return 32 hex digits that differ between models and tell nothing about them: a keyed hash of sampled weights.

    It takes the first bytes of every tensor. Training moves all of them, and reading everything again would take as
    long as protecting.

    Args:
        checkpoint: one component, unprotected.
        key: the owner's key.
    """
    state = hmac.new(key.secret, b"mergeguard salt v1", hashlib.sha256)
    for name, entry in checkpoint.entries.items():
        state.update(f"{name}\0{entry.dtype}\0{entry.shape}\0".encode() + bytes(checkpoint.raw(name)[:SAMPLED_BYTES]))
    return state.hexdigest()[:32]


def recall_facts(checkpoint: Checkpoint, bounds: dict[str, int], assignments: Permutations, salt: str) -> Facts:
    """Return the facts of a release from its record.

    Args:
        checkpoint: the released component.
        bounds: as recorded.
        assignments: as recorded, opened with the key.
        salt: as recorded.
    """
    return Facts(dtypes=_dtypes(checkpoint), bounds=bounds, assignments=assignments, salt=salt)


def draft(
    found: Study, facts: Facts, *, recipe: Recipe, key: Key, component: str, room: Mapping[str, Room] | None = None
) -> Draft:
    """Draw every action; the same arguments always give the same draft, when protecting and when unlocking.

    Args:
        found: one component.
        facts: what stages may know of its weights.
        recipe: stages in order.
        key: the owner's key.
        component: its name, "" for a plain model folder.
        room: from `learn_facts`, if the weights were read.
    """
    actions = list(draw_actions(found.layout.spaces, recipe=recipe, key=key, component=component, facts=facts))
    plan = compose_plan(dict(found.names.shapes), actions)
    return Draft(found, facts, plan, mark_actions(actions, key), room or {})


def _dtypes(checkpoint: Checkpoint) -> dict[str, str]:
    return {name: entry.dtype for name, entry in checkpoint.entries.items()}


def _measure_all(
    checkpoint: Checkpoint, executor: Executor | None, done: Callable[[TensorEntry], None]
) -> dict[str, Room]:
    entries = list(checkpoint.entries.values())
    room = {}
    for entry, found in zip(entries, spread(_measure_one, checkpoint, entries, executor), strict=True):
        if not found.finite:
            raise NonFiniteWeightsError(
                f"{entry.name} in {entry.file} holds NaN or infinite values. Training probably diverged or the file is "
                "damaged; a protection would hide that. Repair or re-export the model first."
            )
        room[entry.name] = Room(found.headroom, found.zeros)
        done(entry)
    return room


def _measure_one(checkpoint: Checkpoint, entry: TensorEntry) -> Magnitudes:
    if not entry.is_floating or not entry.numel:
        finite = not has_nonfinite(checkpoint.tensor(entry.name))  # float8; stages never reach it
        return Magnitudes(finite, headroom=0, zeros=True)
    return measure(checkpoint.tensor(entry.name))


def _assignments(found: Study, recipe: Recipe, base: Checkpoint | None) -> Permutations:
    """Solve PaRaMS's assignments against the base, for every MLP that is small enough."""
    solved: Permutations = {}
    if base is not None:
        for space in compared_with_base(recipe, found.layout.spaces):
            _require_tensors(base, found.checkpoint, space)
            solved[space.name] = mismatch(space, read=found.checkpoint.tensor, read_base=base.tensor)
    return solved


def _require_tensors(base: Checkpoint, own: Checkpoint, space: Space) -> None:
    missing = next((name for name in space.tensors if name not in base.entries), None)
    if missing is not None:
        raise BaseModelError(
            f"the base model at {base.root} has no tensor {missing}. Give the base model that this one was "
            f"fine-tuned from, in the same format.{naming_advice(base.entries, own.entries)}"
        )


def seal(assignments: Permutations, key: Key, component: str, digest: str) -> str | None:
    """Hide solved permutations for the release record; only the key opens them. None if there are none.

    Args:
        assignments: space name -> permutation.
        key: the owner's key.
        component: its name.
        digest: of the release, so that no two releases are hidden behind the same numbers.
    """
    if not assignments:
        return None
    record = {name: permutation.tolist() for name, permutation in assignments.items()}
    packed = zlib.compress(json.dumps(record, sort_keys=True).encode(), 9)
    return base64.b64encode(key.stream(component, "assignments", digest).mask(packed)).decode("ascii")


def unseal(sealed: str | None, key: Key, component: str, digest: str) -> Permutations:
    """Open what `seal` hid.

    Args:
        sealed: what it returned.
        key: the owner's key.
        component: its name.
        digest: of the release.
    """
    if sealed is None:
        return {}
    packed = key.stream(component, "assignments", digest).mask(base64.b64decode(sealed))
    return {name: np.asarray(p, dtype=np.int64) for name, p in json.loads(zlib.decompress(packed)).items()}


def needed_by(recipe: Recipe, spaces: tuple[Space, ...]) -> bool:
    """Return whether any stage of a recipe acts on any of some spaces.

    Args:
        recipe: stages in order.
        spaces: proved spaces.
    """
    return any(True for stage in recipe.stages for _ in targets(stage, spaces))


def compared_with_base(recipe: Recipe, spaces: tuple[Space, ...]) -> list[Space]:
    """Return the spaces whose permutation is computed against the base model.

    Args:
        recipe: stages in order.
        spaces: proved spaces.
    """
    matching = [s for s in recipe.stages if isinstance(s, UnitRearrangement) and s.assignment == "mismatch"]
    found = {space.name: space for stage in matching for space in targets(stage, spaces) if space.size <= stage.largest}
    return list(found.values())
