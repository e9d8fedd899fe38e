"""A whole audit of a release of trained models: what it finds, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mergeguard_hub.attacks import ActivationMatching, Canonicalisation, LayerSearch, PlaneSearch, WeightMatching
from mergeguard_hub.audit import AuditReport, cell
from mergeguard_hub.audit.defaults import PATH, WITHOUT
from mergeguard_hub.audit.merge_path import MergePath
from mergeguard_hub.errors import AuditError, TaskError
from mergeguard_hub.merging import MERGE_METHODS, Slerp
from space.zoo.vision.family import WEIGHTS
from tests.audit.grids import audit_schema, release, small_audit
from tests.hub.schema import problems


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release and its finished audit."""
    folder = tmp_path_factory.mktemp("audit")
    release(folder)
    small_audit(folder)
    return folder


@pytest.fixture(scope="module")
def report(place: Path) -> AuditReport:
    return small_audit(place)


def joint(report: AuditReport, **fields: str) -> float:
    (row,) = report.cells(**fields)
    value: float = row["points"][0]["joint"]["value"]
    return value


WAYS = ("task_arithmetic_0.5", "ties", "frankenmerge", "plane_search")


def test_the_control_merges_and_the_release_does_not(report: AuditReport) -> None:
    assert report.content["complete"]
    assert joint(report, defender="original", method="task_arithmetic_0.5") > 0.5
    for way in WAYS:
        assert joint(report, defender="protected", attack="", method=way) < 0
    (plain,) = report.cells(defender="protected", attack="", method="task_arithmetic_0.5")
    assert plain["points"][0]["outcome"] == "ruined"


def test_alignment_to_the_base_gives_every_merge_back(report: AuditReport) -> None:
    """The limit of symmetric protections: the aligned release is the original to the last bit."""
    for way in WAYS:
        (control,) = report.cells(defender="original", method=way)
        (aligned,) = report.cells(defender="protected", attack="alignment", method=way)
        assert aligned["points"] == control["points"]
        assert aligned["attack_s"] > 0


def test_the_headline_says_that_the_release_is_worth_attacking(report: AuditReport) -> None:
    headline = report.headline
    assert headline is not None
    assert headline["worst"]["attack"] == "alignment"
    assert headline["worst"]["joint"] == headline["control"]["joint"]
    assert headline["advantage"] == pytest.approx(headline["worst"]["joint"]["value"] - _without(headline), abs=1e-4)
    assert headline["advantage"] > 0.4
    assert headline["worst"]["scores"][0]["items"] == 1000  # all, not the 150 of the grid


def _without(headline: Any) -> float:
    value: float = headline["without"]["joint"]["value"]
    return value


def test_models_alone_are_scored_on_every_item(report: AuditReport) -> None:
    alone = report.content["alone"]
    assert list(alone) == ["original", "protected", "base", "aerial"]
    assert alone["protected"] == alone["original"]
    assert {score["items"] for scores in alone.values() for score in scores.values()} == {1000}


def test_a_search_compares_on_few_items_and_scores_the_best_on_all(report: AuditReport) -> None:
    (row,) = report.cells(defender="original", method="plane_search")
    assert row["screened"] == 2
    assert [point["scores"][0]["items"] for point in row["points"]] == [150, 150]
    gains = [point["joint"]["value"] for point in row["points"]]
    assert gains == sorted(gains, reverse=True)


def test_a_search_leaves_out_only_what_cannot_be_among_the_best(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merges without the defender's skill are not asked for the partner's; with room for all, every one is."""
    release(tmp_path)
    wide = {"plane_search": PlaneSearch(ours=(0.0, 0.5, 0.8, 1.0), theirs=(0.5, 1.0))}
    points, asked = {}, {}
    for room in (2, 100):
        monkeypatch.setattr(cell, "FINALISTS", room)
        work = tmp_path / str(room)
        found = small_audit(tmp_path, work=work, merge_attacks=wide, methods={}, attacks={}, limit=60, screen=60)
        (row,) = found.cells(defender="protected", method="plane_search")
        assert row["screened"] == 8
        points[room] = row["points"]
        asked[room] = len(list((work / "scores").glob("*aerial-60.json")))
    assert len(points[100]) == 8
    assert points[2] == points[100][:2]
    assert asked[2] < asked[100]


def test_a_second_run_measures_nothing_again(place: Path, report: AuditReport) -> None:
    before = {file: file.stat().st_mtime_ns for file in (place / "work").rglob("*") if file.is_file()}
    again = small_audit(place)
    assert again.content["cells"] == report.content["cells"]
    assert {file: file.stat().st_mtime_ns for file in before if "cells" in file.parts} == {
        file: time for file, time in before.items() if "cells" in file.parts
    }


def test_a_folder_belongs_to_one_audit(place: Path) -> None:
    with pytest.raises(AuditError, match="another limit or screen"):
        small_audit(place, limit=10)
    with pytest.raises(AuditError, match="another original"):
        small_audit(place, original=WEIGHTS / "land")
    with pytest.raises(AuditError, match="is not empty and holds no audit"):
        small_audit(place, work=place / "release")


def test_processes_find_the_same_as_one(place: Path, report: AuditReport, tmp_path: Path) -> None:
    methods = {"task_arithmetic_0.5": MERGE_METHODS["task_arithmetic"](scale=0.5)}  # type: ignore[call-arg]
    settings = {"methods": methods, "merge_attacks": {}, "attacks": {}, "workers": 2, "work": tmp_path / "work"}
    told: list[tuple[int, int]] = []
    found = small_audit(place, **settings, progress=lambda done, total, what: told.append((done, total)))
    for row in found.content["cells"]:
        if row["method"] != WITHOUT:
            (own,) = report.cells(defender=row["defender"], attack="", method=row["method"])
            assert own["points"] == row["points"]
    assert told[-1] == (len(told), len(told))


def test_a_budget_ends_an_audit_early_and_says_so(place: Path, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="budget was over before the models alone"):
        small_audit(place, work=tmp_path / "none", budget_s=0.0)


def test_an_audit_that_was_stopped_goes_on(place: Path, tmp_path: Path) -> None:
    class Enough(Exception):
        """Somebody stops the audit."""

    seen: list[str] = []

    def stop(done: int, total: int, what: str) -> None:
        seen.append(what)
        if done == 6:
            raise Enough

    few = {"methods": {"slerp": Slerp()}, "merge_attacks": {}, "attacks": {}, "limit": 40, "work": tmp_path / "work"}
    with pytest.raises(Enough):
        small_audit(place, **few, progress=stop)
    assert seen[:4] == ["original", "protected", "base", "aerial"]
    first = (tmp_path / "work" / "cells").stat().st_mtime_ns
    assert small_audit(place, **few).content["complete"]
    assert (tmp_path / "work" / "cells").stat().st_mtime_ns > first


def test_attacks_that_need_more_find_it(place: Path, tmp_path: Path) -> None:
    """Attacks on everyone, towards the partner, and on activations."""
    attacks = {"canonicalisation": Canonicalisation(), "weights": WeightMatching(), "units": ActivationMatching()}
    few = {"methods": {"slerp": Slerp()}, "merge_attacks": {}, "limit": 40, "screen": 20}
    found = small_audit(place, work=tmp_path / "work", attacks=attacks, **few)
    assert {row["problem"] for row in found.content["cells"]} == {""}
    assert {row["attack"] for row in found.content["cells"]} == {"", *attacks}


def test_searches_by_score_and_the_merge_path(place: Path, tmp_path: Path) -> None:
    ways = {"layer_search": LayerSearch(choices=(0.0, 1.0)), PATH: MergePath(at=(0.0, 0.5, 1.0))}
    few = {"methods": {}, "attacks": {}, "limit": 40, "screen": 20}
    found = small_audit(place, work=tmp_path / "work", merge_attacks=ways, **few)
    (searched,) = found.cells(defender="original", method="layer_search")
    assert searched["points"][0]["joint"]["value"] > 0
    (path,) = found.cells(defender="original", method=PATH)
    ends = {point["settings"]["lambda"]: point["transfers"] for point in path["points"]}
    assert ends[0.0][1]["value"] == 1
    assert ends[1.0][0]["value"] == 1


def test_a_merge_can_be_trained_back(place: Path, tmp_path: Path) -> None:
    """The curve that says what recovery costs, beside training the base on the same examples."""
    none: dict[str, Any] = {"methods": {"slerp": Slerp()}, "merge_attacks": {}, "limit": 60, "screen": 20}
    found = small_audit(place, work=tmp_path / "work", recover=True, **none)
    curves = {curve["kind"]: [point["joint"] for point in curve["points"]] for curve in found.content["recovery"]}
    assert list(curves) == ["base", "unprotected", "protected", "aligned"]
    assert curves["base"][0] == 0
    assert curves["aligned"][0] == curves["unprotected"][0]
    assert curves["protected"][0] < 0
    assert curves["protected"][-1] > curves["protected"][0]
    assert [point["steps"] for point in found.content["recovery"][0]["points"]] == [0, 3, 10, 30, 100]


def test_what_cannot_be_audited_is_said_in_a_sentence(place: Path, tmp_path: Path) -> None:
    work = {"work": tmp_path / "work"}
    with pytest.raises(AuditError, match="1 tasks for 1 partners"):
        small_audit(place, **work, tasks=["space.zoo.tasks:vision_scenes"])
    with pytest.raises(AuditError, match="needs a partner"):
        small_audit(place, **work, partners=[])
    with pytest.raises(AuditError, match="both must be at least 1"):
        small_audit(place, **work, screen=0)
    with pytest.raises(AuditError, match="has the weights of the base"):
        small_audit(place, **work, partners=[WEIGHTS / "base"])
    with pytest.raises(AuditError, match="same partner is given twice"):
        small_audit(place, **work, partners=[WEIGHTS / "land"] * 2, tasks=["a:b"] * 3)
    with pytest.raises(AuditError, match="no way 'magic' to train back; choose among grad_erase, distilled"):
        small_audit(place, **work, recover=["magic"])
    with pytest.raises(TaskError, match="no task 'space.zoo.tasks:vision_none'"):
        small_audit(place, work=tmp_path / "w2", tasks=["space.zoo.tasks:vision_none"] * 2)


def test_the_document_names_every_key(report: AuditReport) -> None:
    text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    cell = report.content["cells"][0]
    for key in (*report.content, *cell, *cell["points"][0], "worst", "control", "without", "advantage"):
        assert f"`{key}`" in text, key


def test_the_report_keeps_to_its_schema(report: AuditReport) -> None:
    assert problems(json.loads(json.dumps(report.content)), audit_schema(), audit_schema()) == []


def test_the_report_is_read_again_as_it_was_written(report: AuditReport, tmp_path: Path) -> None:
    report.write(tmp_path / "audit.json")
    assert AuditReport.read(tmp_path / "audit.json").content == json.loads(json.dumps(report.content))
    (tmp_path / "other.json").write_text('{"schema": 99}')
    with pytest.raises(AuditError, match="is no audit of version 1"):
        AuditReport.read(tmp_path / "other.json")
    with pytest.raises(AuditError, match="cannot be read as an audit"):
        AuditReport.read(tmp_path / "missing.json")
