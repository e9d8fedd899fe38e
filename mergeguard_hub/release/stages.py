"""What became of each stage of a recipe, and why."""

from __future__ import annotations

from dataclasses import asdict

from mergeguard_hub.protection.recipe import Recipe, targets
from mergeguard_hub.protection.stage import Stage
from mergeguard_hub.release.report import StageReport
from mergeguard_hub.release.study import Study

# kind of space -> group of the architecture's candidates
GROUPS: dict[str, str] = {
    "hidden_units": "units",
    "query_heads": "heads",
    "key_value_heads": "heads",
}


def stage_reports(found: Study, recipe: Recipe, component: str) -> list[StageReport]:
    """Return one report per stage of the recipe, in order."""
    return [_report(found, stage, component) for stage in recipe.stages]


def _report(found: Study, stage: Stage, component: str) -> StageReport:
    groups = {GROUPS.get(kind, kind) for kind in stage.kinds}
    acting = list(targets(stage, found.layout.spaces))
    proved = {place: p for place, p in found.proof.proved.items() if place[1] in groups and p.claims & stage.needs}
    refused = {place: why for place, why in found.layout.refused.items() if place[1] in groups}
    name, settings = type(stage).__name__, asdict(stage)  # type: ignore[call-overload]
    exceptions = "; ".join(f"{template}: {why}" for (template, _), why in refused.items())
    if acting:
        error = max((p.error for p in proved.values()), default=None)
        reason = f"outputs equal in {found.proof.dtype} on a scaled-down {found.proof.architecture}"
        reason += f"; left alone: {exceptions}" if exceptions else ""
        return StageReport(component, name, settings, "proved", reason, len(acting), error)
    if refused:
        return StageReport(component, name, settings, "refused", exceptions)
    return StageReport(component, name, settings, "not applicable", _absence(found, stage, groups))


def _absence(found: Study, stage: Stage, groups: set[str]) -> str:
    here = {claim for place, p in found.proof.proved.items() if place[1] in groups for claim in p.claims}
    parts = " and ".join(sorted(kind.replace("_", " ") for kind in stage.kinds))
    if here:
        return f"{parts} of {found.proof.architecture} allow only {', '.join(sorted(here))}"
    return f"{found.proof.architecture} has no {parts} that we recognise"
