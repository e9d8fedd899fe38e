"""The rows of a study: merges of one size and method compared with the base and with the best model in them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

_RELEASE = " (release)"

Merge = Mapping[str, Any]  # "accuracy", "method", "subset"


def released_name(name: str) -> str:
    """Return the name under which a model's release takes its place."""
    return name + _RELEASE


def compared_rows(merges: Sequence[Merge], alone: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a row for each size, method, and with or without releases; see `study`.

    Args:
        merges: their accuracies, methods and subsets.
        alone: accuracy of each model without a release by its name, and of the base, "".
    """
    plain = {(row["method"], row["subset"]): row for row in merges}
    groups: dict[tuple[int, str, bool], list[Merge]] = {}
    for row in merges:
        released = any(name not in alone for name in row["subset"])
        groups.setdefault((len(row["subset"]), row["method"], released), []).append(row)
    rows = []
    for (size, method, released), group in sorted(groups.items(), key=lambda item: item[0][0]):
        control = [plain[method, _originals(row["subset"])] for row in group] if released else []
        rows.append(
            {
                "size": size,
                "method": method,
                "released": released,
                "merges": len(group),
                **_comparisons(group, alone),
                **({"control": _comparisons(control, alone)} if released else {}),
            }
        )
    return rows


def _originals(subset: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.removesuffix(_RELEASE) for name in subset)


def _comparisons(group: Sequence[Merge], alone: Mapping[str, float]) -> dict[str, dict[str, float]]:
    return {
        "over_base": _compared([row["accuracy"] - alone[""] for row in group]),
        "over_best": _compared([row["accuracy"] - _best(row["subset"], alone) for row in group]),
    }


def _best(subset: Sequence[str], alone: Mapping[str, float]) -> float:
    return max(alone[name] for name in _originals(subset))


def _compared(gains: Sequence[float]) -> dict[str, float]:
    share = sum(gain > 0 for gain in gains) / len(gains)
    return {
        "probability": round(share, 4),
        "standard_error": round(math.sqrt(share * (1 - share) / len(gains)), 4),
        "mean_gain": round(statistics.fmean(gains), 4),
    }
