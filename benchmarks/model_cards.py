"""The cards of the zoo's releases: `python -m benchmarks.model_cards`, or `--render` to render them from their results.

Protects every model of the zoo whose merges were measured, with the key that everybody knows, and writes what is known
of the release to `model_cards/NAME/results.json`, from docs/audit if it was audited. `model_cards/NAME/README.md` and
the badge are rendered from that.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mergeguard_hub.audit import AuditReport
from mergeguard_hub.audit.model_folder import ModelFolder, weights_digest
from mergeguard_hub.hub.badge import badge_of
from mergeguard_hub.hub.card import BADGE_FILE, Facts, render_card
from mergeguard_hub.hub.measured import Estimate, MeasuredMerges, MergeRow, from_audit
from mergeguard_hub.hub.page import config_of
from mergeguard_hub.release import protect_folder, read_sidecar
from space.release import DEMO_KEY

ROOT = Path(__file__).resolve().parent.parent
CARDS = ROOT / "model_cards"
AUDITS = ROOT / "docs" / "audit"
ZOO = ROOT / "space" / "zoo"
_RECORD = ("id", "digest", "exact", "recipe", "stages", "components", "tools")
_CONFIG = ("_class_name", "model_type", "architectures")


def releases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the family, the model and the family's results for every model that was merged as the defender.

    A hardened model is among them once the audit of its release is in docs/audit.
    """
    for file in sorted(ZOO.glob("*/results.json")):
        results, family = json.loads(file.read_text(encoding="utf-8")), file.parent.name
        for model in dict.fromkeys(merge["defender"] for merge in results["merges"]):
            yield family, model, results
        for audit in AUDITS.glob(f"{family}-hardened.json"):
            yield family, f"{AuditReport.read(audit).content['models']['original']['name']}-hardened", results


def collect(family: str, model: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """Protect a model, and return what its card is rendered from."""
    weights = ZOO / family / "weights"
    with tempfile.TemporaryDirectory() as place:
        release = Path(place) / "release"
        protect_folder(weights / model, release, key=DEMO_KEY, base=weights / "base")
        record, config = read_sidecar(release) or {}, config_of(release)
        measured = audited(family, release, record["digest"]) or measured_merges(model, results, record["digest"])
    record = {name: record[name] for name in _RECORD}
    for component in record["components"].values():
        component.pop("draft", None)
        component.pop("config_text", None)
    return {
        "name": f"{family}-{model}",
        "record": record,
        "config": {name: config[name] for name in _CONFIG if name in config},
        "measured": None if measured is None else asdict(measured),
    }


def audited(family: str, release: Path, digest: str) -> MeasuredMerges | None:
    """Return what docs/audit tells of a release; None if the family's audits are of other models."""
    own = weights_digest(ModelFolder(release).tensors())
    for file in (AUDITS / f"{family}.json", AUDITS / f"{family}-hardened.json"):
        content = AuditReport.read(file).content if file.exists() else None
        if content is not None and content["models"]["protected"]["digest"] == own:
            return from_audit(content, digest)
    return None


def measured_merges(model: str, results: Mapping[str, Any], digest: str) -> MeasuredMerges | None:
    """Return the merges of a model's release beside those of the original, as transfers; no attack is among them."""
    rows = []
    for partner, method in dict.fromkeys(
        (merge["partner"], merge["method"]) for merge in results["merges"] if merge["defender"] == model
    ):
        found = {
            merge["protected"]: _joint(results["scores"], merge["scores"], model, partner)
            for merge in results["merges"]
            if (merge["defender"], merge["partner"], merge["method"]) == (model, partner, method)
        }
        if found.keys() == {True, False}:
            rows.append(MergeRow(f"{method}, with {partner}", found[False], found[True]))
    if not rows:
        return None
    worst = max((row.protected for row in rows), key=lambda part: part.value)
    return MeasuredMerges(digest, tuple(rows), worst, None, "its partner")


def _joint(scores: Mapping[str, Any], merged: Mapping[str, Any], defender: str, partner: str) -> Estimate:
    """Return the smaller of both transfers."""
    parts = [_transfer(merged[task], scores["base"][task], scores[task][task]) for task in (defender, partner)]
    return min(parts, key=lambda part: part.value)


def _transfer(merged: Mapping[str, float], base: Mapping[str, float], alone: Mapping[str, float]) -> Estimate:
    """Return (merged - base) / (alone - base), its error as if the three were scored on different items: no smaller."""
    gain = alone["value"] - base["value"]
    value = (merged["value"] - base["value"]) / gain
    parts = (merged["standard_error"], (1 - value) * base["standard_error"], value * alone["standard_error"])
    return Estimate(round(value, 4), round(math.hypot(*parts) / gain, 4))


def render(results: Mapping[str, Any]) -> dict[str, str]:
    """Return file name -> text of what is rendered from a `results.json`."""
    stated = results["measured"]
    measured = None
    if stated is not None:
        rows = tuple(_row(row) for row in stated["rows"])
        measured = MeasuredMerges(
            *(stated["digest"], rows, Estimate(**stated["worst"])),
            *(stated["advantage"], stated["partner"], stated["aligned"]),
        )
    facts = Facts(results["name"], results["record"], results["config"], measured)
    badge = badge_of(results["record"], intact=True, measured=measured)
    return {"README.md": render_card(None, facts, badge, tags=["mergeguard-zoo"]), BADGE_FILE: badge.svg()}


def _row(stated: Mapping[str, Any]) -> MergeRow:
    attacked = None if stated["attacked"] is None else Estimate(**stated["attacked"])
    control, protected = Estimate(**stated["control"]), Estimate(**stated["protected"])
    return MergeRow(stated["method"], control, protected, attacked, stated["attack"])


def main() -> None:
    """Write the results, unless only the cards are to be rendered, and the cards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="leave the results as they are")
    if not parser.parse_args().render:
        for family, model, results in releases():
            collected = collect(family, model, results)
            folder = CARDS / collected["name"]
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(collected, indent=1, ensure_ascii=False) + "\n"
            (folder / "results.json").write_text(text, encoding="utf-8")
    for file in sorted(CARDS.glob("*/results.json")):
        for name, text in render(json.loads(file.read_text(encoding="utf-8"))).items():
            (file.parent / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
