"""Show what could be done to a model, and why, without writing anything."""

from __future__ import annotations

from pathlib import Path

from mergeguard_hub.architecture.layout import coverage
from mergeguard_hub.checkpoint import open_folder
from mergeguard_hub.errors import ArchitectureError
from mergeguard_hub.protection.recipe import Recipe, targets
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.report import ComponentReport, Inspection, ProgressCallback, StageReport
from mergeguard_hub.release.sidecar import LEFT_OUT, read_sidecar
from mergeguard_hub.release.stages import refused_reports, stage_reports
from mergeguard_hub.release.study import Study, study
from mergeguard_hub.release.work import class_name


def inspect_folder(
    path: str | Path, *, recipe: Recipe | str = "exact", progress: ProgressCallback | None = None
) -> Inspection:
    """Prove what a recipe may do to a model, and how many of its weights it would move.

    Args:
        path: model folder or pipeline.
        recipe: a `Recipe` or a preset's name.
        progress: called with `Progress` records.

    Raises:
        CheckpointError: the folder cannot be read.
        ArchitectureError: a plain model folder whose class is unknown; unknown components of a pipeline are reported.
    """
    chosen = Recipe.preset(recipe) if isinstance(recipe, str) else recipe
    components: list[ComponentReport] = []
    stages: list[StageReport] = []
    meter = Meter(progress)
    opened = open_folder(Path(path), exclude=LEFT_OUT)
    meter.begin("prove", sum(checkpoint.nbytes for checkpoint in opened.values()))
    for name, checkpoint in opened.items():
        parameters = sum(entry.numel for entry in checkpoint.entries.values())
        try:
            found = study(checkpoint)
        except ArchitectureError as error:
            if name == "":
                raise
            components.append(ComponentReport(name, class_name(checkpoint), "", parameters, 0.0, 0.0))
            stages += refused_reports(chosen, name, str(error))
        else:
            covered, moved = coverage(found.names, _moved(found, chosen))
            components.append(ComponentReport(name, found.proof.architecture, "", parameters, covered, moved))
            stages += stage_reports(found, chosen, name)
        meter.advance(checkpoint.nbytes, name)
    return Inspection(tuple(components), tuple(stages), read_sidecar(path))


def _moved(found: Study, recipe: Recipe) -> frozenset[str]:
    """Names of all tensors that a recipe may move."""
    acting = (space for stage in recipe.stages for space in targets(stage, found.layout.spaces))
    return frozenset(tensor for space in acting for tensor in space.tensors)
