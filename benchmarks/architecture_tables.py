"""The two tables that benchmarks/architectures.py writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ENOUGH = 0.8  # fraction of attention and MLP weights that counts as well covered
STAGES = {
    "query_key": "query-key mix",
    "value_output": "value-output mix",
    "heads": "head permutation",
    "units": "hidden units",
    "residual": "residual shuffle",
    "experts": "expert permutation",
    "channels": "channel permutation",
    "norm": "norm absorption",
}


@dataclass(frozen=True)
class Row:
    """What was found about one model type.

    Attributes:
        kind, cls: model type and class.
        status: "proved" when a symmetry of attentions or MLPs holds, "refused" when none does, or "not instantiable".
        dtype: dtype of the proof.
        covered: fraction of attention and MLP weights that the preset "exact" moves.
        error: largest relative output error of any claim that counts as proved.
        proved: places with the reading that holds.
        refused: (group, template, why) of places where none holds.
        why: why the class cannot be instantiated.
    """

    kind: str
    cls: str
    status: str
    dtype: str = ""
    covered: float = 0.0
    error: float = 0.0
    proved: tuple[str, ...] = ()
    refused: tuple[tuple[str, str, str], ...] = ()
    why: str = ""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Row:
        """Build a row from JSON."""
        refused = tuple((str(group), str(template), str(why)) for group, template, why in record["refused"])
        return cls(**{**record, "proved": tuple(record["proved"]), "refused": refused})


def table(rows: Sequence[Row]) -> str:
    """Return the full table."""
    lines = [
        "| model type | class | status | proof | covered | largest error | refused |",
        "|---|---|---|---|---:|---:|---|",
    ]
    for row in rows:
        numbers = (row.dtype, f"{100 * row.covered:.0f} %", f"{row.error:.0e}") if row.dtype else ("", "", "")
        refused = row.why or _refusals(row)
        lines.append(f"| {row.kind} | {row.cls} | {row.status} | {' | '.join(numbers)} | {_cell(refused)} |")
    return "\n".join(lines) + "\n"


def summary(rows: Sequence[Row], version: str) -> str:
    """Return the counts."""
    proved = [row for row in rows if row.status == "proved"]
    counts = {
        "model types listed": len(rows),
        "proved": len(proved),
        f"of these, at least {100 * ENOUGH:.0f} % of attention and MLP weights covered": sum(
            row.covered >= ENOUGH for row in proved
        ),
        "of these, proved in float64": sum(row.dtype == "float64" for row in proved),
        "refused": sum(row.status == "refused" for row in rows),
        "not instantiable": sum(row.status == "not instantiable" for row in rows),
    }
    lines = [f"| causal language models in transformers {version} | |", "|---|---:|"]
    return "\n".join(lines + [f"| {name} | {count} |" for name, count in counts.items()]) + "\n"


def _refusals(row: Row) -> str:
    """One short entry per refused stage: where it is refused and why, in a word."""
    found: dict[tuple[str, str], list[str]] = {}
    for group, template, why in row.refused:
        reason = "not exercised" if "does not exercise" in why else "changes the outputs"
        found.setdefault((STAGES[group], reason), []).append(template.rpartition("*.")[2] or template)
    return "; ".join(f"{stage} of {', '.join(places)}: {reason}" for (stage, reason), places in found.items())


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("<", "(").replace(">", ")").replace("`", "'")
