"""Give the owner the original weights back."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mergeguard_hub.architecture.action import Plan
from mergeguard_hub.checkpoint import Checkpoint, StagedFolder, open_folder
from mergeguard_hub.errors import ModifiedReleaseError, NotProtectedError, WrongKeyError
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.recipe import Recipe
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.release.claims import plan_mark, whole_digest
from mergeguard_hub.release.draft import redraft, unseal
from mergeguard_hub.release.meter import Meter
from mergeguard_hub.release.report import ProgressCallback, Report
from mergeguard_hub.release.side_files import report_of, write_side_files
from mergeguard_hub.release.sidecar import SIDECAR, read_sidecar
from mergeguard_hub.release.store import store
from mergeguard_hub.release.study import proof_from_dict, settle


def unlock_folder(
    source: str | Path,
    target: str | Path,
    *,
    key: Key | str | Path,
    passphrase: str | None = None,
    workers: int = 1,
    progress: ProgressCallback | None = None,
) -> Report:
    """Write the original model again: to the byte for exact recipes, up to one rounding for others.

    Nothing is proved again and no model class is loaded: the release's record says what was done, the key says how.

    Args:
        source: a protected release.
        target: folder to write; must not exist or be empty.
        key: the owner's key or its file.
        passphrase: for a key file that has one.
        workers: threads that work on tensors.
        progress: called with `Progress` records.

    Returns:
        The report of the release that was unlocked.

    Raises:
        NotProtectedError: there is no release record.
        ModifiedReleaseError: the weights are not those of the record.
        WrongKeyError: the release was protected with another key.
        CheckpointError, KeyFileError: as their names say.
    """
    source, target = Path(source), Path(target)
    components = open_folder(source, exclude=(SIDECAR,))
    record = read_sidecar(source)
    if record is None:
        raise NotProtectedError(f"{source} has no {SIDECAR}: it is not protected, or the file was left out of a copy.")
    owner = key if isinstance(key, Key) else Key.load(key, passphrase=passphrase)
    if owner.id != record["key_id"]:
        raise WrongKeyError(
            f"this release was protected with key {record['key_id']}, the given key is {owner.id}. Use the key file that was "
            "used, or told, when it was saved."
        )
    with ExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(workers)) if workers > 1 else None
        meter = Meter(progress)
        meter.begin("digest", sum(checkpoint.nbytes for checkpoint in components.values()))
        _require_unmodified(source, components, record, executor, meter)
        plans = {name: _inverse(name, checkpoint, record, owner) for name, checkpoint in components.items()}
        staged = stack.enter_context(StagedFolder(target, sources=(source,)))
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
        write_side_files(source, components, staged, None)
    return report_of(record)


def _require_unmodified(
    source: Path,
    components: Mapping[str, Checkpoint],
    record: Mapping[str, Any],
    executor: Executor | None,
    meter: Meter,
) -> None:
    digests = {
        name: checkpoint.digest(executor=executor, progress=lambda e: meter.advance(e.nbytes, e.name))
        for name, checkpoint in components.items()
    }
    if whole_digest(digests) != record["digest"]:
        raise ModifiedReleaseError(
            f"the weights in {source} are not those that were released (digest {whole_digest(digests)}, the record says "
            f"{record['digest']}). They were trained, merged or converted since, and cannot be unlocked."
        )


def _inverse(name: str, checkpoint: Checkpoint, record: Mapping[str, Any], key: Key) -> Plan:
    """Draw a component's plan again and turn it round; an untouched component has an empty one."""
    written = record["components"].get(name, {}).get("draft")
    if written is None:
        return Plan({})
    recipe = Recipe.from_settings(record["recipe"]["stages"], name=record["recipe"]["name"])
    found = settle(checkpoint, proof_from_dict(written["proof"]), written["config"])
    facts = Facts(
        dtypes={entry.name: entry.dtype for entry in checkpoint.entries.values()},
        bounds=written["bounds"],
        assignments=unseal(written["assignments"], key, name),
    )
    made = redraft(found, facts, recipe=recipe, key=key, component=name)
    if plan_mark(made.plan, key) != written["plan"]:
        raise ModifiedReleaseError(
            f"the actions drawn for component {name!r} are not those of the release. Its {SIDECAR} was edited, or it was made "
            f"by another version ({record['tools'].get('mergeguard-hub')}); install that version to unlock it."
        )
    return made.plan.inverse()
