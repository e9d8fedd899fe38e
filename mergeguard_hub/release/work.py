"""The work on one folder: draft, write, compare, report."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.architecture.layout import coverage
from mergeguard_hub.architecture.prove import Proof
from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, TensorEntry, combine_digests
from mergeguard_hub.errors import ArchitectureError, BaseModelError, UnprovedLayoutError, VerificationError
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.recipe import Recipe
from mergeguard_hub.release.draft import Draft, compared_with_base, draft, learn_facts, needed_by
from mergeguard_hub.release.drift import (
    block_tolerance,
    blocks_drift,
    blocks_nbytes,
    fits,
    model_drift,
    model_tolerance,
)
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.report import ComponentReport, StageReport
from mergeguard_hub.release.stages import refused_reports, stage_reports
from mergeguard_hub.release.store import open_weights, store
from mergeguard_hub.release.study import Study, settle, study
from mergeguard_hub.release.unproved import StudyOrReason, warn_of_largest, why

Components = Mapping[str, Checkpoint]


@dataclass(frozen=True)
class Work:
    """One run: what to do, with which key, where, and who is told.

    Attributes:
        recipe: stages in order.
        key: the owner's key.
        executor: where tensors are worked on; None for this thread.
        meter: told of every phase.
        verify: whether the release is compared with the original.
        proof: of a class that no library can build; None to prove every component's class here.
    """

    recipe: Recipe
    key: Key
    executor: Executor | None
    meter: Meter
    verify: bool
    proof: Proof | None = None

    def draft_all(self, components: Components, bases: Components) -> tuple[dict[str, Draft], dict[str, StudyOrReason]]:
        """Prove and draw every component; in a pipeline, those that cannot be protected are left as they are.

        Args:
            components: the original.
            bases: the base model; {} if none was given.

        Returns:
            Component name -> its draft, and component name -> what is known of those without one.

        Raises:
            ArchitectureError: nothing can be proved about a model folder.
            UnprovedLayoutError: no stage acts on anything.
            BaseModelError: a component that is computed against the base model is not in it.
        """
        drafts: dict[str, Draft] = {}
        refused: dict[str, StudyOrReason] = {}
        self.meter.begin("prove", sum(checkpoint.nbytes for checkpoint in components.values()))
        for name, checkpoint in components.items():
            found = self._study(name, checkpoint)
            if isinstance(found, Study) and needed_by(self.recipe, found.layout.spaces):
                drafts[name] = self._draft(name, found, bases)
            else:
                refused[name] = found
                self.meter.advance(checkpoint.nbytes, name)
        if not drafts:
            reasons = " ".join(why(name, found) for name, found in refused.items())
            raise UnprovedLayoutError(
                f"no stage of the recipe {self.recipe.name!r} could be proved, so nothing was protected. {reasons}"
            )
        warn_of_largest(components, refused)
        return drafts, refused

    def _study(self, name: str, checkpoint: Checkpoint) -> StudyOrReason:
        if self.proof is not None:
            return settle(checkpoint, self.proof, dict(checkpoint.config))
        try:
            return study(checkpoint)
        except ArchitectureError as error:
            if name == "":
                raise
            return str(error)

    def _draft(self, name: str, found: Study, bases: Components) -> Draft:
        if bases and name not in bases and compared_with_base(self.recipe, found.layout.spaces):
            raise BaseModelError(
                f"the base model has no component {name!r}, only {', '.join(bases)}. Give the base model that this one "
                "was fine-tuned from, in the same format."
            )
        facts, room = learn_facts(
            found,
            recipe=self.recipe,
            key=self.key,
            base=bases.get(name),
            executor=self.executor,
            done=self._count,
        )
        return draft(found, facts, recipe=self.recipe, key=self.key, component=name, room=room)

    def write_all(self, components: Components, drafts: Mapping[str, Draft], staged: StagedFolder) -> dict[str, str]:
        """Write the weights of every component and return their digests, taken on the way.

        Args:
            components: the original.
            drafts: what is done to them; nothing to those without a draft.
            staged: where they go.
        """
        self.meter.begin("protect", sum(checkpoint.nbytes for checkpoint in components.values()))
        digests = {}
        for name, checkpoint in components.items():
            made = drafts.get(name)
            written = store(
                checkpoint,
                Plan({}) if made is None else made.plan,
                staged,
                subfolder=name,
                executor=self.executor,
                done=self._count,
                digest=True,
                room={} if made is None else made.room,
            )
            digests[name] = combine_digests(written)
        return digests

    def open_written(self, components: Components, root: Path) -> dict[str, Checkpoint]:
        """Return the weights that were written.

        Args:
            components: the original.
            root: the folder they were written to.
        """
        return {name: open_weights(checkpoint, root / name) for name, checkpoint in components.items()}

    def verify_all(
        self, components: Components, written: Components, drafts: Mapping[str, Draft], digests: Mapping[str, str]
    ) -> list[ComponentReport]:
        """Compare the release with the original, and say what was done to every component.

        Args:
            components: the original.
            written: the release.
            drafts: what was done.
            digests: of the release.

        Raises:
            VerificationError: the release does not compute what the original computes.
        """
        if self.verify:
            self.meter.begin("verify", sum(blocks_nbytes(made) for made in drafts.values()))
        return [
            self._report(name, components[name], written[name], drafts.get(name), digests[name]) for name in components
        ]

    def stages(
        self, components: Components, drafts: Mapping[str, Draft], refused: Mapping[str, StudyOrReason]
    ) -> list[StageReport]:
        """Return what became of each stage on each component.

        Args:
            components: the original.
            drafts: what was done.
            refused: what is known of components that were left as they are.
        """
        found: list[StageReport] = []
        for name in components:
            left = refused.get(name)
            if isinstance(left, str):
                found += refused_reports(self.recipe, name, left)
            elif left is not None:
                found += stage_reports(left, self.recipe, name)
            else:
                found += stage_reports(drafts[name].study, self.recipe, name, drafts[name].facts)
        return found

    def _count(self, entry: TensorEntry) -> None:
        self.meter.advance(entry.nbytes, entry.name)

    def _report(
        self, name: str, original: Checkpoint, release: Checkpoint, made: Draft | None, digest: str
    ) -> ComponentReport:
        parameters = sum(entry.numel for entry in original.entries.values())
        if made is None:
            return ComponentReport(name, class_name(original), digest, parameters, 0.0, 0.0)
        covered, moved = coverage(made.study.names, made.plan.moved)
        blocks, model = self._verify(made, original, release) if self.verify else (None, None)
        architecture = made.study.proof.architecture
        return ComponentReport(name, architecture, digest, parameters, covered, moved, blocks, model)

    def _verify(self, made: Draft, original: Checkpoint, release: Checkpoint) -> tuple[float, float | None]:
        exact = self.recipe.exact
        blocks, worst = blocks_drift(
            made, release, executor=self.executor, done=lambda block, nbytes: self.meter.advance(nbytes, block)
        )
        _require(blocks, block_tolerance(original, exact=exact), worst, exact=exact)
        model = model_drift(original, release.root) if self.proof is None and fits(original) else None
        if model is not None:
            whole = f"the whole {made.study.proof.architecture}"
            _require(model, model_tolerance(original, model, exact=exact), whole, exact=exact)
        return _figures(blocks), None if model is None else _figures(model)


def class_name(checkpoint: Checkpoint) -> str:
    """Return the class that a configuration names, "" if it names none.

    Args:
        checkpoint: one component.
    """
    named = checkpoint.config.get("architectures")
    return str(checkpoint.config.get("_class_name") or (named[0] if isinstance(named, list) and named else ""))


def _figures(error: float) -> float:
    """Return an error to two figures; the others depend on the machine and its number of threads."""
    return float(f"{error:.1e}")


def _require(error: float, allowed: float, what: str, *, exact: bool) -> None:
    if not error <= allowed:
        if exact:
            advice = "Does the original hold every weight that its configuration asks for? If so, report this model"
        else:
            advice = "Try the preset 'exact', which does not round, and report this model"
        raise VerificationError(
            f"{what} answers differently by {error:.1e} relative after protection, {allowed:.0e} is allowed for its "
            f"dtype. Nothing was written. {advice}."
        )
