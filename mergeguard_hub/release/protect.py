"""Protect a folder: the one function that the hook, the command line and the Space all call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.layout import coverage
from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, TensorEntry, open_folder
from mergeguard_hub.errors import ArchitectureError, BaseModelError, UnprovedLayoutError, VerificationError
from mergeguard_hub.protection.key import Key, resolve_key
from mergeguard_hub.protection.recipe import Recipe
from mergeguard_hub.release.claims import claim_holds, compose, earlier_claim, record_of, whole_digest
from mergeguard_hub.release.draft import Draft, draft, needed_by
from mergeguard_hub.release.drift import ROUNDINGS, blocks_drift, fits, model_drift, rounding_drift, tolerance
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.report import ComponentReport, ProgressCallback, Report
from mergeguard_hub.release.side_files import copy_through, write_side_files
from mergeguard_hub.release.sidecar import SIDECAR, sidecar_text
from mergeguard_hub.release.stages import stage_reports
from mergeguard_hub.release.store import open_weights, store
from mergeguard_hub.release.study import study


def protect_folder(
    source: str | Path,
    target: str | Path,
    *,
    recipe: Recipe | str = "exact",
    key: Key | str | Path | None = None,
    base: str | Path | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    verify: bool = True,
    replace: bool = False,
    exclude: Sequence[str] = (),
    architecture: str | None = None,
    progress: ProgressCallback | None = None,
) -> Report:
    """Write a protected copy of a model folder or diffusers pipeline: same function alone, worthless in a merge.

    Memory stays at a few pieces of the largest tensors, whatever the size of the checkpoint. The source is only read.
    The target appears whole or not at all. It does not stop whoever aligns the release to the public base model
    first; see docs/threat-model.md.

    Args:
        source: model folder, or pipeline folder with a model_index.json.
        target: folder to write; must not exist or be empty unless `replace`.
        recipe: a `Recipe` or a preset's name.
        key: the owner's key, a key file (made if missing), or None for one under the user's config directory.
        base: folder of the base model, for stages that are computed against it.
        workers: threads that work on tensors.
        executor: a thread pool to use instead.
        verify: compare every block, and small models as a whole, before the target appears.
        replace: accept a target with files, and replace the weights in it.
        exclude: `fnmatch` patterns of files to leave out of the release.
        architecture: class name to write into config.json instead of the one that is there.
        progress: called with `Progress` records.

    Raises:
        CheckpointError: source or target cannot be read or written.
        ArchitectureError: nothing could be proved about the model's class.
        RecipeError, BaseModelError, KeyFileError: as their names say.
        VerificationError: the release does not compute what the original computes; nothing is left.
    """
    source, target = Path(source), Path(target)
    chosen = Recipe.preset(recipe) if isinstance(recipe, str) else recipe
    components = open_folder(source, exclude=(*exclude, SIDECAR))
    with ExitStack() as stack:
        if executor is None and workers > 1:
            executor = stack.enter_context(ThreadPoolExecutor(workers))
        staged = stack.enter_context(StagedFolder(target, sources=(source,), replace=replace))
        claim = earlier_claim(components)
        if claim is not None and claim_holds(components, claim, executor):
            return copy_through(source, target, components, staged, claim, exclude=exclude)
        owner, _, _ = resolve_key(key, name=source.name, forbidden=(source, target))
        work = _Work(chosen, owner, executor, Meter(progress), verify)
        drafts = work.draft_all(components, _open_base(base))
        digests = work.write_all(components, drafts, staged)
        written = write_side_files(
            source, components, staged, whole_digest(digests), architecture=architecture, exclude=exclude
        )
        reports = [work.report(name, components[name], drafts.get(name), digests[name], written) for name in components]
        stages = [entry for name, made in drafts.items() for entry in stage_reports(made.study, chosen, name)]
        parent = None if claim is None else str(claim["digest"])
        report = compose(
            chosen, owner, drafts, reports, stages, parent=parent, base=None if base is None else str(base)
        )
        staged.write_text(SIDECAR, sidecar_text(record_of(report, chosen, owner, drafts)))
    return report


def _open_base(base: str | Path | None) -> dict[str, Checkpoint]:
    if base is None:
        return {}
    if not Path(base).is_dir():
        raise BaseModelError(
            f"there is no base model folder at {base}; give the folder of the model that was fine-tuned."
        )
    return open_folder(Path(base), exclude=(SIDECAR,))


@dataclass(frozen=True)
class _Work:
    """One run: what to do, with which key, where, and who is told."""

    recipe: Recipe
    key: Key
    executor: Executor | None
    meter: Meter
    verify: bool

    def draft_all(self, components: Mapping[str, Checkpoint], bases: Mapping[str, Checkpoint]) -> dict[str, Draft]:
        """Prove and draw every component; in a pipeline, those of unknown classes are left as they are."""
        drafts: dict[str, Draft] = {}
        unknown: list[str] = []
        for name, checkpoint in components.items():
            self.meter.begin("prove", checkpoint.nbytes, name)
            try:
                found = study(checkpoint)
            except ArchitectureError as error:
                if name == "":
                    raise
                unknown.append(f"{name}: {error}")
                continue
            if needed_by(self.recipe, found.layout.spaces):
                drafts[name] = draft(
                    found,
                    recipe=self.recipe,
                    key=self.key,
                    component=name,
                    base=bases.get(name),
                    executor=self.executor,
                )
            else:
                reasons = (f"{place[0]} ({place[1]}): {why}" for place, why in found.layout.refused.items())
                unknown.append(f"{found.proof.architecture}: " + ("; ".join(reasons) or "no block was recognised"))
        if not drafts:
            raise UnprovedLayoutError(
                f"no stage of the recipe {self.recipe.name!r} could be proved, so nothing was protected. {' '.join(unknown)}"
            )
        return drafts

    def write_all(
        self, components: Mapping[str, Checkpoint], drafts: Mapping[str, Draft], staged: StagedFolder
    ) -> dict[str, str]:
        """Write every component's weights and return their digests."""
        total = sum(checkpoint.nbytes for checkpoint in components.values())
        self.meter.begin("protect", total)
        for name, checkpoint in components.items():
            plan = drafts[name].plan if name in drafts else Plan({})
            store(checkpoint, plan, staged, subfolder=name, executor=self.executor, done=self._count)
        self.meter.begin("digest", total)
        return {
            name: open_weights(checkpoint, staged.path / name).digest(executor=self.executor, progress=self._count)
            for name, checkpoint in components.items()
        }

    def _count(self, entry: TensorEntry) -> None:
        self.meter.advance(entry.nbytes, entry.name)

    def report(
        self, name: str, original: Checkpoint, made: Draft | None, digest: str, written: Path
    ) -> ComponentReport:
        """Verify one component and say what was done to it."""
        parameters = sum(entry.numel for entry in original.entries.values())
        if made is None:
            return ComponentReport(name, str(original.config.get("_class_name", "")), digest, parameters, 0.0, 0.0)
        covered, moved = coverage(made.study.names, made.plan.moved)
        release = open_weights(original, written / name)
        blocks, model = self._verify(made, original, release) if self.verify else (None, None)
        architecture = made.study.proof.architecture
        return ComponentReport(name, architecture, digest, parameters, covered, moved, blocks, model)

    def _verify(self, made: Draft, original: Checkpoint, release: Checkpoint) -> tuple[float, float | None]:
        allowed = tolerance(original, exact=self.recipe.exact)
        self.meter.begin("verify", release.nbytes)
        blocks, worst = blocks_drift(
            made, release, executor=self.executor, done=lambda block: self.meter.advance(0, block)
        )
        _require(blocks, allowed, worst)
        model = model_drift(original, release.root) if fits(original) else None
        if model is not None and not model <= allowed:
            allowed = max(allowed, ROUNDINGS * rounding_drift(original))
            _require(model, allowed, f"the whole {made.study.proof.architecture}")
        return blocks, model


def _require(error: float, allowed: float, what: str) -> None:
    if not error <= allowed:
        raise VerificationError(
            f"{what} answers differently by {error:.1e} relative after protection, {allowed:.0e} is allowed for its dtype. "
            "Nothing was written. Try the preset 'exact', which does not round, and report this model."
        )
