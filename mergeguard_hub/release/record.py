"""The release record: public and complete, so that with it and the owner's key nothing has to be proved again.

Nothing in it depends on the time, so saving twice on one machine gives the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mergeguard_hub.errors import InvalidCheckpointError, ModifiedReleaseError
from mergeguard_hub.protection.key import Key
from mergeguard_hub.protection.recipe import Recipe
from mergeguard_hub.release.claims import release_id, whole_digest
from mergeguard_hub.release.draft import Draft, seal
from mergeguard_hub.release.proof_record import proof_to_dict
from mergeguard_hub.release.report import ComponentReport, Report, StageReport
from mergeguard_hub.release.sidecar import SIDECAR, VERSION

TOOLS = ("torch", "transformers", "diffusers")
# What unlocking relies on. The rest of the file is for readers, who may add to it.
_SEALED = ("version", "id", "digest", "key_id", "recipe", "components", "exact")
_SEAL_LABEL = b"mergeguard record v1"


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
        recipe: what was applied.
        key: the owner's key.
        drafts: component name -> its draft, for components that were changed.
        components: one report per component.
        stages: one report per component and stage.
        parent: digest of the release that these weights were trained from.
        base: digest of the base model.
    """
    digest = whole_digest({report.name: report.digest for report in components})
    bounds = {name: made.facts.bounds for name, made in drafts.items()}
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
        narrowed=_narrowed(bounds),
        tools=_tools(),
    )


def record_of(
    report: Report, recipe: Recipe, key: Key, drafts: Mapping[str, Draft], configs: Mapping[str, str]
) -> dict[str, Any]:
    """Return the release record: the report, and what the owner needs to draw the same actions again.

    Args:
        report: of the release.
        recipe: what was applied.
        key: the owner's key; it seals the record and does not enter it.
        drafts: component name -> its draft.
        configs: component name -> text of its original config.json, where the released one does not tell.
    """
    record: dict[str, Any] = {k: v for k, v in asdict(report).items() if k not in ("already", "narrowed")}
    record["recipe"] = {"name": recipe.name, "stages": recipe.settings}
    record["components"] = {component.name: asdict(component) for component in report.components}
    for name, made in drafts.items():
        record["components"][name]["draft"] = {
            "bounds": dict(made.facts.bounds),
            "salt": made.facts.salt,
            "assignments": seal(dict(made.facts.assignments), key, name, report.digest),
            "config": made.study.config,
            "proof": proof_to_dict(made.study.proof),
            "actions": made.mark,
        }
    for name, text in configs.items():
        record["components"][name]["config_text"] = text
    return {**record, "seal": _seal(record, key)}


def require_sealed(record: Mapping[str, Any], key: Key) -> None:
    """Refuse a record that is not as its owner's key sealed it.

    Args:
        record: as read.
        key: the owner's key.

    Raises:
        ModifiedReleaseError: it was edited.
    """
    if not hmac.compare_digest(str(record.get("seal")).encode(), _seal(record, key).encode()):
        raise ModifiedReleaseError(
            f"{SIDECAR} of release {record['id']} was edited after the release was made, so it does not tell how to "
            "undo it. Fetch the original file again."
        )


def report_of(record: Mapping[str, Any], *, already: bool = False) -> Report:
    """Return the report that a record was written from.

    Args:
        record: as `read_sidecar` returned it.
        already: whether the report is of a release that was only copied.

    Raises:
        InvalidCheckpointError: a part of it is missing or of another kind.
    """
    fields = ("name", "architecture", "digest", "parameters", "covered", "moved", "block_drift", "model_drift")
    try:
        return Report(
            version=record["version"],
            id=record["id"],
            digest=record["digest"],
            recipe=record["recipe"]["name"],
            key_id=record["key_id"],
            components=tuple(ComponentReport(**{k: c[k] for k in fields}) for c in record["components"].values()),
            stages=tuple(StageReport(**stage) for stage in record["stages"]),
            parent=record["parent"],
            base=record["base"],
            exact=record["exact"],
            already=already,
            narrowed=_narrowed({n: c["draft"]["bounds"] for n, c in record["components"].items() if "draft" in c}),
            tools=dict(record["tools"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidCheckpointError(
            f"{SIDECAR} is no whole release record ({type(error).__name__}: {error}). It was edited or cut off; fetch "
            "the release again."
        ) from error


def _narrowed(bounds: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return block -> largest exponent, with the component in front in a pipeline."""
    return {f"{name}/{block}" if name else block: n for name, found in bounds.items() for block, n in found.items()}


def _seal(record: Mapping[str, Any], key: Key) -> str:
    text = json.dumps({name: record.get(name) for name in _SEALED}, sort_keys=True, separators=(",", ":"))
    return hmac.new(key.secret, _SEAL_LABEL + text.encode(), hashlib.sha256).hexdigest()


def _tools() -> dict[str, str]:
    from mergeguard_hub import __version__  # a checkout that was never installed has no metadata

    found = {"mergeguard-hub": __version__}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
