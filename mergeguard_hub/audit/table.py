"""An audit as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mergeguard_hub.audit.defaults import PATH, WITHOUT
from mergeguard_hub.audit.record import AuditReport

Row = Mapping[str, Any]


def markdown(report: AuditReport) -> str:
    """Return the report's tables: the headline for each partner, every model alone, every attack."""
    content = report.content
    lines = [*_headlines(content), "", *_alone(content)]
    for headline in content["headlines"]:
        lines += [
            "",
            f"Merged with **{headline['partner']}**, every attack:",
            "",
            *_attacks(report, headline["partner"]),
        ]
    problems = dict.fromkeys((_blamed(report, row), row["problem"]) for row in content["cells"] if row["problem"])
    if problems:
        lines += ["", "Could not be done:", "", *(f"- {title_of(content, who)}: {why}" for who, why in problems)]
    if not content["complete"]:
        lines += ["", "The audit is incomplete: its budget was over, and a worse cell may be among what is left."]
    return "\n".join(lines) + "\n"


def _blamed(report: AuditReport, row: Row) -> str:
    """Return what could not be done: the merge if it fails on the original too, otherwise the attack."""
    control = report.cells(defender="original", method=row["method"], partner=row["partner"])
    alike = any(one["problem"] == row["problem"] for one in control)
    return str(row["method"] if alike or not row["attack"] else row["attack"])


def _headlines(content: Mapping[str, Any]) -> Iterator[str]:
    yield _line(
        "merged with",
        "worst cell: joint gain",
        "how",
        "needs, cost",
        "same, unprotected",
        "without our model",
        "advantage",
    )
    yield _line(*["---"] * 7)
    for one in content["headlines"]:
        worst, control = one["worst"], one["control"]
        yield _line(
            one["partner"],
            f"**{_gain(worst['joint'])}**",
            _way(content, worst),
            _cost(content, worst),
            f"{_gain(control['joint'])}, {_way(content, control)}",
            _gain(one["without"]["joint"]),
            f"**{one['advantage']:+.2f}**",
        )


def _alone(content: Mapping[str, Any]) -> Iterator[str]:
    tasks = [task["name"] for task in content["tasks"]]
    yield _line("alone, percent", *tasks)
    yield _line(*["---"] * (1 + len(tasks)))
    for model, scores in content["alone"].items():
        cells = [f"{100 * scores[task]['value']:.1f} ± {100 * scores[task]['standard_error']:.1f}" for task in tasks]
        yield _line(model, *cells)


def _attacks(report: AuditReport, partner: str) -> Iterator[str]:
    yield _line(
        "the release is", "needs", "best merge: joint gain", "which", "median of merges", "not stopped", "seconds"
    )
    yield _line(*["---"] * 7)
    pairs = dict.fromkeys((row["defender"], row["attack"]) for row in report.content["cells"])
    for defender, attack in pairs:
        rows = [
            row
            for row in report.cells(defender=defender, attack=attack, partner=partner)
            if row["points"] and row["method"] not in (WITHOUT, PATH)
        ]
        if rows:
            yield _line(*_attack(report.content, defender, attack, rows))


def _attack(content: Mapping[str, Any], defender: str, attack: str, rows: Sequence[Row]) -> Iterator[str]:
    best = max(rows, key=lambda row: float(row["points"][0]["joint"]["value"]))
    point = best["points"][0]
    gains = [row["points"][0]["joint"]["value"] for row in rows]
    open_ones = sum(row["points"][0]["outcome"] == "not stopped" for row in rows)
    yield (
        "control: the original"
        if defender == "original"
        else title_of(content, attack)
        if attack
        else "none: as released"
    )
    yield ", ".join(content["settings"]["attacks"][attack]["needs"]) if attack else ""
    yield _gain(point["joint"])
    yield named(title_of(content, best["method"]), point["label"])
    yield f"{statistics.median(gains):.2f}"
    yield f"{open_ones} of {len(rows)}"
    yield f"{best['attack_s'] + best['merge_s']:.1f}"


def _way(content: Mapping[str, Any], best: Row) -> str:
    attack = f"{title_of(content, best['attack'])}, then " if best["attack"] else ""
    return attack + named(title_of(content, best["method"]), best["label"])


def _cost(content: Mapping[str, Any], best: Row) -> str:
    needs = content["settings"]["attacks"][best["attack"]]["needs"] if best["attack"] else []
    if best["screened"]:
        needs = [*needs, f"{content['settings']['screen']} labelled items to choose among {best['screened']}"]
    return f"{', '.join(needs) or 'nothing'}; {best['attack_s'] + best['merge_s']:.1f} s"


def named(title: str, label: str) -> str:
    """Return what a merge is called: its label, if that says the method too."""
    return label if label.startswith(title.split()[0].lower()) else ": ".join(filter(None, [title, label]))


def title_of(content: Mapping[str, Any], name: str) -> str:
    """Return the title of a method or an attack; with what else its name says, where another has the same title.

    Args:
        content: what `audit.json` holds.
        name: as it stands in a cell.
    """
    settings = content["settings"]
    for kind in ("attacks", "merge_attacks", "methods"):
        if name in settings[kind]:
            title: str = settings[kind][name]["title"]
            alike = [other for other, row in settings[kind].items() if row["title"] == title]
            rest = " ".join(word for word in name.split("_") if word not in title.lower().split())
            return f"{title} ({rest})" if rest and len(alike) > 1 else title
    return name


def _gain(part: Mapping[str, float]) -> str:
    return f"{part['value']:.2f} ± {part['standard_error']:.2f}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def study_markdown(found: Mapping[str, Any]) -> str:
    """Return the result of `study` as a table: probability to beat the base, and mean gains in percentage points."""
    lines = [
        _line(
            "models",
            "merge",
            "with releases",
            "merges",
            "beats the base",
            "gain over the base",
            "over its best part",
            "gain of the same without releases",
        ),
        _line(*["---"] * 8),
    ]
    for row in found["rows"]:
        base, best = row["over_base"], row["over_best"]
        lines.append(
            _line(
                str(row["size"]),
                row["method"].replace("_", " "),
                "yes" if row["released"] else "no",
                str(row["merges"]),
                f"{100 * base['probability']:.0f} ± {100 * base['standard_error']:.0f} %",
                f"{100 * base['mean_gain']:+.1f}",
                f"{100 * best['mean_gain']:+.1f}",
                f"{100 * row['control']['over_base']['mean_gain']:+.1f}" if row["released"] else "",
            )
        )
    tasks, items = len(found["tasks"]), found["limit"] or "all"
    facts = (
        f"Base {100 * found['base']:.1f} %; mean over {tasks} tasks, {items} items each; gains in percentage points."
    )
    return "\n".join([*lines, "", facts]) + "\n"
