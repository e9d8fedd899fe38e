"""An audit's tables and plots, from cells that were never measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from mergeguard_hub.audit.defaults import PATH, WITHOUT
from mergeguard_hub.audit.headline import headlines
from mergeguard_hub.audit.plots import write_plots
from mergeguard_hub.audit.record import AuditReport, headline_record
from mergeguard_hub.audit.table import markdown
from tests.audit.grids import cell

TITLES = {"ties": "TIES", "slerp": "SLERP", "alignment": "Alignment to the base", WITHOUT: "Plane search"}


def path_cell(defender: str) -> dict[str, Any]:
    row = cell(0.5, defender=defender, method=PATH)
    row["points"] = [{**row["points"][0], "settings": {"lambda": value}} for value in (0.0, 0.5, 1.0)]
    return row


def report(*more: dict[str, Any]) -> AuditReport:
    rows = [
        cell(0.8, defender="original"),
        cell(0.04, defender="original", method=WITHOUT),
        cell(-0.5),
        cell(-0.25, method="slerp"),
        cell(0.7, attack="alignment", attack_s=1.5),
        path_cell("original"),
        path_cell("protected"),
        *more,
    ]
    ways = {name: {"title": title, "paper": "", "settings": ""} for name, title in TITLES.items()}
    score = {"value": 0.75, "items": 4, "standard_error": 0.2165}
    content = {
        "complete": True,
        "models": {"original": {"name": "ours"}},
        "tasks": [{"name": "math"}, {"name": "p"}],
        "alone": {"original": {"math": score, "p": score}},
        "cells": rows,
        "recovery": [
            {
                "partner": "p",
                "kind": kind,
                "examples": 100,
                "points": [{"steps": step, "train_s": 0.1, "joint": step / 100} for step in (0, 10, 100)],
            }
            for kind in ("base", "unprotected", "protected", "aligned")
        ],
        "headlines": [headline_record(one) for one in headlines([row for row in rows if row["method"] != PATH])],
        "settings": {
            "screen": 8,
            "methods": {name: ways[name] for name in ("ties", "slerp")},
            "merge_attacks": {WITHOUT: ways[WITHOUT]},
            "attacks": {"alignment": {**ways["alignment"], "needs": ["base"]}},
        },
    }
    return AuditReport(content)


def test_the_headline_stands_beside_its_control() -> None:
    lines = markdown(report()).splitlines()
    assert lines[2] == (
        "| p | **0.70 ± 0.05** | Alignment to the base, then TIES | base; 1.6 s | 0.80 ± 0.05, TIES | 0.04 ± 0.05 | "
        "**+0.66** |"
    )
    assert "| original | 75.0 ± 21.6 | 75.0 ± 21.6 |" in lines


def test_every_attack_has_a_row() -> None:
    lines = markdown(report()).splitlines()
    assert "| control: the original |  | 0.80 ± 0.05 | TIES | 0.80 | 1 of 1 | 0.1 |" in lines
    assert "| none: as released |  | -0.25 ± 0.05 | SLERP | -0.38 | 0 of 2 | 0.1 |" in lines
    assert "| Alignment to the base | base | 0.70 ± 0.05 | TIES | 0.70 | 1 of 1 | 1.6 |" in lines


def test_what_failed_is_told() -> None:
    failed = cell(0.0, attack="alignment", method="slerp", points=[], problem="no layout")
    assert "- Alignment to the base: no layout" in markdown(report(failed)).splitlines()
    assert "Could not be done" not in markdown(report())


def test_plots_show_something(tmp_path: Path) -> None:
    written = write_plots(report(), tmp_path / "plots", name="x")
    assert [path.name for path in written] == ["x-grid.png", "x-path.png", "x-recovery.png"]
    for path in written:
        with Image.open(path) as picture:
            colours = picture.convert("RGB").getcolors(maxcolors=1 << 24)
            assert colours is not None
            assert len(colours) > 20


def test_a_curve_without_points_is_left_out(tmp_path: Path) -> None:
    one = report()
    curves = [*one.content["recovery"], {"partner": "p", "kind": "aligned", "examples": 100, "points": []}]
    written = write_plots(AuditReport({**one.content, "recovery": curves}), tmp_path)
    whole = write_plots(one, tmp_path / "whole")
    assert written[-1].read_bytes() == whole[-1].read_bytes()


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    one = report()
    rows = [row for row in one.content["cells"] if row["method"] != PATH]
    written = write_plots(AuditReport({**one.content, "cells": rows, "recovery": []}), tmp_path)
    assert [path.name for path in written] == ["audit-grid.png"]
