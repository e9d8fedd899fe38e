"""A small audit of the zoo's vision models, and records of cells that were never measured."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from mergeguard_hub import Key, protect_folder
from mergeguard_hub.attacks import Alignment, Frankenmerge, PlaneSearch
from mergeguard_hub.audit import AuditReport, audit
from mergeguard_hub.merging import TaskArithmetic, Ties
from space.zoo.vision.family import WEIGHTS

KEY = Key(b"k" * 32)


def audit_schema() -> dict[str, Any]:
    """Return the schema of `audit.json`, as the package has it."""
    return dict(json.loads(files("mergeguard_hub.audit").joinpath("audit.schema.json").read_text(encoding="utf-8")))


def release(folder: Path) -> Path:
    """Protect the zoo's "scenes" and return the folder of the release."""
    protect_folder(WEIGHTS / "scenes", folder / "release", key=KEY, base=WEIGHTS / "base")
    return folder / "release"


def small_audit(folder: Path, **changes: Any) -> AuditReport:
    """Audit the release in a folder with two merge methods, two merge attacks and one attack, in this process."""
    settings: dict[str, Any] = {
        "original": WEIGHTS / "scenes",
        "base": WEIGHTS / "base",
        "partners": [WEIGHTS / "aerial"],
        "tasks": ["space.zoo.tasks:vision_scenes", "space.zoo.tasks:vision_aerial"],
        "work": folder / "work",
        "methods": {"task_arithmetic_0.5": TaskArithmetic(scale=0.5), "ties": Ties()},
        "merge_attacks": {
            "frankenmerge": Frankenmerge(cuts=(0.5,)),
            "plane_search": PlaneSearch(ours=(0.5, 0.8), theirs=(0.5,)),
        },
        "attacks": {"alignment": Alignment()},
        "limit": 150,
        "screen": 60,
        "recover": False,
        "workers": 1,
        **changes,
    }
    return audit(folder / "release", **settings)


def cell(joint: float, **fields: Any) -> dict[str, Any]:
    """Return the record of a cell with one merge of this joint gain."""
    part = {"value": joint, "standard_error": 0.05}
    score = {"value": 0.5, "items": 10, "standard_error": 0.1}
    point = {
        "label": "",
        "settings": {},
        "scores": [score, score],
        "transfers": [part, part],
        "joint": part,
        "outcome": "not stopped" if joint > 0.1 else "ruined",
    }
    row = {"defender": "protected", "attack": "", "method": "ties", "partner": "p", "points": [point]}
    return {**row, "screened": 0, "attack_s": 0.0, "merge_s": 0.1, "problem": "", "processor_s": 1.0, **fields}
