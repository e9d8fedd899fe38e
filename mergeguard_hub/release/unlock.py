"""Give the owner the original weights back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, open_folder, patterns_of
from mergeguard_hub.errors import ModifiedReleaseError, NotProtectedError, WrongKeyError
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.recipe import Recipe
from mergeguard_hub.release.claims import digests_of, whole_digest
from mergeguard_hub.release.draft import draft, recall_facts, unseal
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.proof_record import proof_from_dict
from mergeguard_hub.release.record import report_of, require_sealed
from mergeguard_hub.release.report import ProgressCallback, Report
from mergeguard_hub.release.side_files import config_texts, copy_side_files, side_files, unclaimed_text
from mergeguard_hub.release.sidecar import LEFT_OUT, SIDECAR, read_sidecar
from mergeguard_hub.release.spread import threads
from mergeguard_hub.release.store import store
from mergeguard_hub.release.study import settle


def unlock_folder(
    source: str | Path,
    target: str | Path,
    *,
    key: Key | str | Path,
    passphrase: str | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    exclude: Sequence[str] = (),
    progress: ProgressCallback | None = None,
) -> Report:
    """Write the original model again: to the byte for exact recipes, up to one rounding for others.

    Nothing is proved again and no model class is loaded: the release's record says what was done, the key says how.
    Files beside the weights come back as they were, but for records of still earlier releases, which are left out.

    Args:
        source: a protected release.
        target: folder to write; must not exist or be empty.
        key: the owner's key or its file.
        passphrase: for a key file that has one.
        workers: threads that work on tensors; by default one per processor, at most four.
        executor: what works on tensors instead, any `concurrent.futures.Executor`.
        exclude: `fnmatch` patterns of files to leave out, such as a Trainer's `optimizer.pt`.
        progress: called with `Progress` records.

    Returns:
        The report of the release that was unlocked.

    Raises:
        NotProtectedError: there is no release record.
        ModifiedReleaseError: the weights or the record are not those of the release.
        InvalidCheckpointError: the record is not whole.
        WrongKeyError: the release was protected with another key.
        RecipeError: the release was made by a newer version of this package.
        CheckpointError, KeyFileError: as their names say.
    """
    source, target = Path(source).absolute(), Path(target)  # workers may run in another folder
    components = open_folder(source, exclude=(*patterns_of(exclude), *LEFT_OUT))
    files = side_files(source, components, exclude=exclude)
    folder = StagedFolder(target, sources=(source,))
    record, owner = _opened(source, key, passphrase)
    report = report_of(record)
    meter = Meter(progress)
    with ExitStack() as stack:
        executor = stack.enter_context(threads(workers, executor))
        _require_unmodified(source, whole_digest(digests_of(components, executor, meter)), record)
        plans = {name: _inverse(name, checkpoint, record, owner) for name, checkpoint in components.items()}
        staged = stack.enter_context(folder)
        meter.begin("unlock", sum(checkpoint.nbytes for checkpoint in components.values()))
        for name, checkpoint in components.items():
            store(
                checkpoint,
                plans[name],
                staged,
                subfolder=name,
                executor=executor,
                done=lambda entry: meter.advance(entry.nbytes, entry.name),
            )
        copy_side_files(files, components, staged, _original_texts(components, record))
    return report


def _opened(source: Path, key: Key | str | Path, passphrase: str | None) -> tuple[dict[str, Any], Key]:
    """Return the record and the key that it was sealed with."""
    record = read_sidecar(source)
    if record is None:
        raise NotProtectedError(f"{source} has no {SIDECAR}: it is not protected, or the file was left out of a copy.")
    owner = key if isinstance(key, Key) else Key.load(key, passphrase=passphrase)
    if owner.id != record["key_id"]:
        raise WrongKeyError(
            f"this release was protected with key {record['key_id']}, the given key is {owner.id}. Use the key file "
            "that was used, or told, when it was saved."
        )
    require_sealed(record, owner)
    return record, owner


def _require_unmodified(source: Path, digest: str, record: Mapping[str, Any]) -> None:
    if digest != record["digest"]:
        raise ModifiedReleaseError(
            f"the weights in {source} are not those that were released (digest {digest}, the record says "
            f"{record['digest']}). They were trained, merged or converted since, and cannot be unlocked."
        )


def _inverse(name: str, checkpoint: Checkpoint, record: Mapping[str, Any], key: Key) -> Plan:
    """Draw a component's plan again and turn it round; an untouched component has an empty one."""
    written = record["components"][name].get("draft")
    if written is None:
        return Plan({})
    recipe = Recipe.from_settings(record["recipe"]["stages"], name=record["recipe"]["name"])
    found = settle(checkpoint, proof_from_dict(written["proof"]), written["config"])
    assignments = unseal(written["assignments"], key, name, record["digest"])
    facts = recall_facts(checkpoint, written["bounds"], assignments, written["salt"])
    made = draft(found, facts, recipe=recipe, key=key, component=name)
    if made.mark != written["actions"]:
        raise ModifiedReleaseError(
            f"the actions drawn for component {name!r} are not those of the release. It was made by another version "
            f"({record['tools'].get('mergeguard-hub')}); install that version to unlock it."
        )
    return made.plan.inverse()


def _original_texts(components: Mapping[str, Checkpoint], record: Mapping[str, Any]) -> dict[str, str]:
    """Return the original config.json of every component: as recorded, else the released one without its claim."""
    return {
        name: record["components"][name].get("config_text", unclaimed_text(text))
        for name, text in config_texts(components).items()
    }
