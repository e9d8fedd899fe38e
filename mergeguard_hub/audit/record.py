"""What an audit writes: `audit.json`, described in docs/audit.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mergeguard_hub.audit.arena import Arena
from mergeguard_hub.audit.cell import Measured, Point
from mergeguard_hub.audit.headline import Best, Headline, headlines
from mergeguard_hub.audit.model_folder import ModelFolder, weights_digest
from mergeguard_hub.audit.scoring import write_whole
from mergeguard_hub.audit.tasks import Score
from mergeguard_hub.audit.transfer import Transfer
from mergeguard_hub.errors import AuditError

SCHEMA_VERSION = 1
_TOOLS = ("torch", "transformers", "diffusers")

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class AuditReport:
    """An audit's results; nothing but it computes them.

    Attributes:
        content: what `audit.json` holds.
    """

    content: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        arena: Arena,
        *,
        alone: Mapping[str, Any],
        cells: Sequence[Row],
        confirmed: Sequence[Row],
        recovery: Sequence[Row],
        complete: bool,
        seconds: float,
    ) -> AuditReport:
        """Put a report together.

        Args:
            arena: what was audited.
            alone: model -> task -> score.
            cells: the grid.
            confirmed: the merges that were scored on all items; empty where all of the grid was.
            recovery: curves of merges that were trained back.
            complete: whether everything planned was measured.
            seconds: wall time of this run; cells of earlier runs took none of it.
        """
        models = {
            name: {"name": arena.folder(name).path.name, "digest": weights_digest(arena.folder(name).tensors())}
            for name in ("protected", "original", "base", *arena.partner_names)
        }
        tasks = [
            {
                "name": name,
                "title": task.title,
                "metric": task.metric,
                "chance": task.chance,
                "of": ("original", *arena.partner_names)[position],
            }
            for position, (name, task) in enumerate(arena.skills.items())
        ]
        content = {
            "schema": SCHEMA_VERSION,
            "complete": complete,
            "models": models,
            "merged_components": list(arena.parts),
            "tasks": tasks,
            "alone": alone,
            "cells": list(cells),
            "confirmed": list(confirmed),
            "recovery": list(recovery),
            "headlines": [headline_record(one) for one in headlines(cells, confirmed)],
            "settings": {
                "limit": arena.limit,
                "screen": arena.screen,
                "methods": _described(arena.methods),
                "merge_attacks": _described(arena.merge_attacks),
                "attacks": {
                    name: {**row, "needs": sorted(arena.attacks[name].needs)}
                    for name, row in _described(arena.attacks).items()
                },
            },
            "seconds": round(seconds, 1),
            "processor_s": round(sum(row.get("processor_s", 0.0) for row in (*cells, *confirmed)), 1),
            "tools": tools(),
        }
        return cls(content)

    @classmethod
    def read(cls, file: str | Path) -> AuditReport:
        """Read an `audit.json`.

        Raises:
            AuditError: it is missing, no audit, or of a version that this package does not know.
        """
        try:
            content = json.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise AuditError(f"{file} cannot be read as an audit: {error}.") from error
        if not isinstance(content, dict) or content.get("schema") != SCHEMA_VERSION:
            raise AuditError(f"{file} is no audit of version {SCHEMA_VERSION}; write it again with `mergeguard audit`.")
        return cls(content)

    def write(self, file: str | Path) -> None:
        """Write the report as JSON."""
        write_whole(Path(file), json.dumps(self.content, indent=1) + "\n")

    @property
    def headline(self) -> Mapping[str, Any] | None:
        """Return the headline for the partner that gets most; None where the budget ended too early for one."""
        found: list[Mapping[str, Any]] = self.content["headlines"]
        return found[0] if found else None

    def cells(self, **fields: str) -> list[Row]:
        """Return the records of the cells that have these fields: defender, attack, method, partner."""
        return [row for row in self.content["cells"] if all(row[name] == value for name, value in fields.items())]


def cell_record(measured: Measured) -> dict[str, Any]:
    """Return a cell as it stands in `audit.json`."""
    cell = measured.cell
    return {
        "defender": cell.defender,
        "attack": cell.attack,
        "method": cell.method,
        "partner": cell.partner,
        "points": [_point(point) for point in measured.points],
        "screened": measured.screened,
        "attack_s": round(measured.attack_s, 3),
        "merge_s": round(measured.merge_s, 3),
        "problem": measured.problem,
    }


def headline_record(headline: Headline) -> dict[str, Any]:
    """Return a headline as it stands in `audit.json`."""
    found = {"worst": headline.worst, "control": headline.control, "without": headline.without}
    return {
        "partner": headline.partner,
        **{name: _best(one) for name, one in found.items()},
        "advantage": round(headline.advantage, 4),
    }


def score_record(score: Score) -> dict[str, float]:
    """Return a score as it stands in `audit.json`."""
    return {
        "value": round(score.value, 4),
        "items": score.items,
        "standard_error": round(score.standard_error, 4),
    }


def signature(arena: Arena) -> dict[str, str]:
    """Return what an audit's folder is good for: models by digest, tasks and settings."""
    folders = {"release": "protected", "original": "original", "base model": "base"}
    models = {role: weights_digest(arena.folder(name).tensors()) for role, name in folders.items()}
    partners = " ".join(weights_digest(ModelFolder(path).tensors()) for path in arena.partners)
    return {
        **models,
        "list of partners": f"{' '.join(arena.partner_names)} {partners}",
        "list of tasks": " ".join(source if isinstance(source, str) else source.name for source in arena.tasks),
        "limit or screen": f"{arena.limit} {arena.screen}",
        **{f"setting of {name}": repr(method) for name, method in arena.methods.items()},
        **{f"setting of {name}": repr(attack) for name, attack in {**arena.merge_attacks, **arena.attacks}.items()},
    }


def tools() -> dict[str, str]:
    """Return the versions of the tools that were at work."""
    from mergeguard_hub import __version__  # a checkout that was never installed has no metadata

    found = {"mergeguard-hub": __version__}
    for name in _TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _point(point: Point) -> dict[str, Any]:
    return {
        "label": point.label,
        "settings": dict(point.settings),
        "scores": [score_record(score) for score in point.scores],
        "transfers": [_transfer(point.defender), _transfer(point.partner)],
        "joint": _transfer(point.joint),
        "outcome": point.outcome,
    }


def _transfer(part: Transfer) -> dict[str, float]:
    return {"value": round(part.value, 4), "standard_error": round(part.standard_error, 4)}


def _best(found: Best) -> dict[str, Any]:
    kept = ("attack", "method", "attack_s", "merge_s", "screened")
    return {**{name: found.cell[name] for name in kept}, **found.point}


def _described(ways: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {name: {"title": way.title, "paper": way.paper, "settings": repr(way)} for name, way in ways.items()}
