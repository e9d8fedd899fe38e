"""What a release says of itself: composing the record and checking an earlier claim."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mergeguard_hub.architecture.action import Gather, Plan
from mergeguard_hub.checkpoint import Checkpoint, combine_digests
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.recipe import Recipe
from mergeguard_hub.release.draft import Draft, seal
from mergeguard_hub.release.report import ComponentReport, Report, StageReport
from mergeguard_hub.release.sidecar import VERSION, claim_key
from mergeguard_hub.release.study import proof_to_dict

TOOLS = ("mergeguard-hub", "torch", "transformers", "diffusers")


def whole_digest(digests: Mapping[str, str]) -> str:
    """Return the digest of a folder: the component's own where there is one, else over all of them."""
    return digests[""] if set(digests) == {""} else combine_digests(digests)


def earlier_claim(components: Mapping[str, Checkpoint]) -> dict[str, Any] | None:
    """Return the claim that the configuration still carries from a release it was loaded from, if any."""
    for checkpoint in components.values():
        key = claim_key(checkpoint.config)
        claim = checkpoint.config.get(key) if key else None
        if isinstance(claim, dict) and isinstance(claim.get("digest"), str):
            return claim
    return None


def claim_holds(components: Mapping[str, Checkpoint], claim: Mapping[str, Any], executor: Executor | None) -> bool:
    """Whether the weights are still those that the claim was made about."""
    return whole_digest({n: c.digest(executor=executor) for n, c in components.items()}) == claim["digest"]


def compose(
    recipe: Recipe,
    key: Key,
    drafts: Mapping[str, Draft],
    components: Sequence[ComponentReport],
    stages: Sequence[StageReport],
    *,
    parent: str | None,
    base: str | None,
) -> Report:
    """Return the report of a release.

    Args:
        recipe, key: what was applied.
        drafts: component name -> its draft, for components that were changed.
        components, stages: reports.
        parent: digest of the release that these weights were trained from.
        base: how the base model was named.
    """
    digest = whole_digest({report.name: report.digest for report in components})
    return Report(
        version=VERSION,
        id=release_id(digest),
        digest=digest,
        recipe=recipe.name,
        key_id=key.id,
        components=tuple(components),
        stages=tuple(stages),
        parent=parent,
        base=base,
        exact=recipe.exact,
        narrowed={f"{name}:{block}": n for name, made in drafts.items() for block, n in made.facts.bounds.items()},
        tools=_tools(),
    )


def release_id(digest: str) -> str:
    """Return the short name of a release: the first 16 hex digits of its digest."""
    return digest.removeprefix("sha256:")[:16]


def record_of(report: Report, recipe: Recipe, key: Key, drafts: Mapping[str, Draft]) -> dict[str, Any]:
    """Return the release record: the report, and what the owner needs to draw the same actions again."""
    record: dict[str, Any] = {k: v for k, v in asdict(report).items() if k not in ("already", "narrowed")}
    record["recipe"] = {"name": recipe.name, "stages": recipe.settings}
    record["components"] = {component.name: asdict(component) for component in report.components}
    for name, made in drafts.items():
        record["components"][name]["draft"] = {
            "bounds": dict(made.facts.bounds),
            "assignments": seal(dict(made.facts.assignments), key, name),
            "config": made.study.config,
            "proof": proof_to_dict(made.study.proof),
            "plan": plan_mark(made.plan, key),
        }
    return record


def plan_mark(plan: Plan, key: Key) -> str:
    """Return a keyed hash of a plan: whoever unlocks can tell that the same plan was drawn, nobody learns anything of
    it.
    """
    state = hmac.new(key.secret, b"mergeguard plan v1", hashlib.sha256)
    for name in sorted(plan.steps):
        for axis in sorted(plan.steps[name]):
            for step in plan.steps[name][axis]:
                arrays = [step.index, step.factor] if isinstance(step, Gather) else step.positions
                state.update(f"{name}\0{axis}\0{len(arrays)}\0".encode())
                for array in arrays:
                    state.update(array.tobytes())
    state.update(repr(sorted(plan.source.items())).encode())
    return state.hexdigest()


def _tools() -> dict[str, str]:
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
