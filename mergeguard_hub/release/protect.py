"""Protect a folder: the one function that the hook, the command line and the Space all call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mergeguard_hub.architecture.prove import Proof
from mergeguard_hub.checkpoint import StagedFolder, open_folder, patterns_of, refuse_other_variant
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.recipe import Recipe
from mergeguard_hub.release.already import copy_through, require_own
from mergeguard_hub.release.base import base_digest, open_base
from mergeguard_hub.release.claims import earlier_release, parent_in, remember_release, whole_digest
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.owner import owners_key
from mergeguard_hub.release.record import compose, record_of
from mergeguard_hub.release.report import ProgressCallback, Report
from mergeguard_hub.release.side_files import config_texts, copy_side_files, released_texts, side_files, unclaimed_text
from mergeguard_hub.release.sidecar import LEFT_OUT, SIDECAR, sidecar_text
from mergeguard_hub.release.spread import threads
from mergeguard_hub.release.work import Work


def protect_folder(
    source: str | Path,
    target: str | Path,
    *,
    recipe: Recipe | str = "exact",
    key: Key | str | Path | None = None,
    base: str | Path | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    verify: bool = True,
    replace: bool = False,
    exclude: Sequence[str] = (),
    architecture: str | None = None,
    proof: Proof | None = None,
    training: Mapping[str, Any] | None = None,
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
        key: the owner's key, a key file (made if missing), or None for one under the user's config directory. The path
            of a key that was made is logged once; nothing is left of it if protecting fails.
        base: folder of the base model, for stages that are computed against it; others do not look at it.
        workers: threads that work on tensors; by default one per processor, at most four.
        executor: what works on tensors instead, any `concurrent.futures.Executor`.
        verify: compare every block, and small models as a whole, before the target appears.
        replace: accept a target with files, and replace the weights in it.
        exclude: `fnmatch` patterns of files to leave out of the release.
        architecture: class name to write into config.json instead of the one that is there.
        proof: what holds for a model folder whose class no library can build, from `prove(LiveInstance(...))`.
        training: component name -> how it was hardened before, for the release record; JSON-ready, nothing secret.
        progress: called with `Progress` records.

    Returns:
        What was done. A source that is a release of this key and recipe already, unchanged, is copied as it is. Its
        `parent` is the release that the source says it was loaded from, else the one that the target held before, if
        that is of the same key.

    Raises:
        CheckpointError: source or target cannot be read or written.
        ArchitectureError: nothing could be proved about the model's class.
        RecipeError, BaseModelError, KeyFileError: as their names say.
        WrongKeyError, ReleaseError: the source is a release already, of another key or by another recipe.
        VerificationError: the release does not compute what the original computes; nothing is left.
    """
    source, target = Path(source).absolute(), Path(target)  # workers may run in another folder
    chosen = Recipe.preset(recipe) if isinstance(recipe, str) else recipe
    components = open_folder(source, exclude=(*patterns_of(exclude), *LEFT_OUT))
    files = side_files(source, components, exclude=exclude)
    bases = open_base(base, components) if base is not None and chosen.needs_base else {}
    folder = StagedFolder(target, sources=(source, *([Path(base)] if base and bases else [])), replace=replace)
    if replace:
        refuse_other_variant(folder.target, components)
    meter = Meter(progress)
    with ExitStack() as stack:
        executor = stack.enter_context(threads(workers, executor))
        earlier = earlier_release(source, target, components, executor, meter)
        owner = stack.enter_context(owners_key(key, name=source.resolve().name, forbidden=(source, target)))
        if earlier is not None and earlier.record is not None:
            require_own(earlier.record[0], owner, chosen)
            staged = stack.enter_context(folder)
            return copy_through(components, files, staged, earlier.record, architecture=architecture, meter=meter)
        staged = stack.enter_context(folder)
        work = Work(chosen, owner, executor, meter, verify, proof)
        drafts, refused = work.draft_all(components, bases)
        digests = work.write_all(components, drafts, staged)
        originals = config_texts(components)
        claimed = {name: digest for name, digest in digests.items() if name in drafts}
        texts = released_texts(originals, components, claimed, release=whole_digest(digests), architecture=architecture)
        copy_side_files(files, components, staged, texts)
        written = work.open_written(components, staged.path)
        report = compose(
            chosen,
            owner,
            drafts,
            work.verify_all(components, written, drafts, digests),
            work.stages(components, drafts, refused),
            parent=parent_in(folder.target, owner.id, whole_digest(digests)) if earlier is None else earlier.digest,
            base=base_digest(bases, executor),
        )
        lost = {name: text for name, text in originals.items() if unclaimed_text(texts[name]) != text}
        record = record_of(report, chosen, owner, drafts, lost) | ({"training": dict(training)} if training else {})
        staged.write_text(SIDECAR, sidecar_text(record))
        remember_release(written, folder.target)
    return report
