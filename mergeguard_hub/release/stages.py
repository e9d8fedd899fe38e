"""What became of each stage of a recipe, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mergeguard_hub.architecture.space import Space
from mergeguard_hub.protection.recipe import Recipe, targets
from mergeguard_hub.protection.stage import Facts, Stage
from mergeguard_hub.protection.unit_rearrangement import UnitRearrangement
from mergeguard_hub.release.report import StageReport
from mergeguard_hub.release.study import Study

# kind of space -> group of the architecture's candidates
GROUPS: dict[str, str] = {
    "hidden_units": "units",
    "query_heads": "heads",
    "key_value_heads": "heads",
}


def stage_reports(found: Study, recipe: Recipe, component: str, facts: Facts | None = None) -> list[StageReport]:
    """Return one report per stage of the recipe, in order.

    Args:
        found: one component.
        recipe: what is applied to it.
        component: its name, "" for a plain model folder.
        facts: what stages were told; None before anything is drawn.
    """
    return [_report(found, stage, component, facts) for stage in recipe.stages]


def refused_reports(recipe: Recipe, component: str, reason: str) -> list[StageReport]:
    """Return one report per stage for a component of which nothing is known.

    Args:
        recipe: what would have been applied.
        component: its name.
        reason: why it was not.
    """
    return [
        StageReport(component, type(stage).__name__, _settings(stage), "refused", reason) for stage in recipe.stages
    ]


def _report(found: Study, stage: Stage, component: str, facts: Facts | None) -> StageReport:
    groups = {GROUPS.get(kind, kind) for kind in stage.kinds}
    acting = list(targets(stage, found.layout.spaces))
    proved = {place: p for place, p in found.proof.proved.items() if place[1] in groups and p.claims & stage.needs}
    refused = {place: why for place, why in found.layout.refused.items() if place[1] in groups}
    name, settings = type(stage).__name__, _settings(stage)
    exceptions = "; ".join(f"{template}: {why}" for (template, _), why in refused.items())
    if acting:
        error = max((p.error for p in proved.values()), default=None)
        reason = f"outputs equal in {found.proof.dtype} on a scaled-down {found.proof.architecture}"
        if isinstance(stage, UnitRearrangement) and stage.assignment == "mismatch" and facts is not None:
            reason += _drawn(stage, acting, facts)
        reason += f"; left alone: {exceptions}" if exceptions else ""
        return StageReport(component, name, settings, "proved", reason, len(acting), error)
    if proved:
        missing = f"proved on a scaled-down {found.proof.architecture}, but this checkpoint's tensors read otherwise"
        return StageReport(component, name, settings, "refused", "; ".join(filter(None, [missing, exceptions])))
    if refused:
        return StageReport(component, name, settings, "refused", exceptions)
    return StageReport(component, name, settings, "not applicable", _absence(found, stage, groups))


def _drawn(stage: UnitRearrangement, acting: list[Space], facts: Facts) -> str:
    """Say which permutations were drawn at random although they were to be computed against the base model."""
    drawn = [space for space in acting if space.name not in facts.assignments]
    wide = sum(space.size > stage.largest for space in drawn)
    text = f"; {wide} of {len(acting)} permutations drawn at random: more than {stage.largest} units" if wide else ""
    rest = len(drawn) - wide
    return text + (f"; {rest} of {len(acting)} permutations drawn at random: no base model was given" if rest else "")


def _absence(found: Study, stage: Stage, groups: set[str]) -> str:
    here = {claim for place, p in found.proof.proved.items() if place[1] in groups for claim in p.claims}
    parts = " and ".join(sorted(kind.replace("_", " ") for kind in stage.kinds))
    if here:
        return f"{parts} of {found.proof.architecture} allow only {', '.join(sorted(here))}"
    return f"{found.proof.architecture} has no {parts} that we recognise"


def _settings(stage: Stage) -> dict[str, Any]:
    return asdict(stage)  # type: ignore[call-overload, no-any-return]
