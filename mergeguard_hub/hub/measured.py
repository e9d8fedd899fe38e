"""What was measured of merges with a release, in the form in which the card tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import CardError

AUDIT = "audit.json"
_ALIGNMENT = "alignment"


@dataclass(frozen=True)
class Estimate:
    """A transfer and its standard error: 0 is the base's skill, 1 the fine-tuned model's."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class MergeRow:
    """One merge method with one partner: what the merged model kept of the less kept of both skills.

    Attributes:
        method: its title.
        control: of the merge with the unprotected original.
        protected: of the merge with the release as it is.
        attacked: of the merge with the release after the attack that helped most, if attacks were measured.
        attack: the title of that attack.
    """

    method: str
    control: Estimate
    protected: Estimate
    attacked: Estimate | None = None
    attack: str = ""


@dataclass(frozen=True)
class MeasuredMerges:
    """An audit, as far as a card tells of it.

    Attributes:
        digest: of the release whose merges were measured; they are shown for no other.
        rows: one per method.
        worst: the largest transfer of any merge with the release, attacked or not.
        advantage: by how much a free-rider is better off with the release than without it, with the partner for which
            that is most; None if not measured.
        partner: the free-rider's own model.
        aligned: whether alignment to the base, which undoes every symmetry, was among the attacks.
    """

    digest: str
    rows: tuple[MergeRow, ...]
    worst: Estimate
    advantage: float | None
    partner: str
    aligned: bool = False

    @property
    def after_attacks(self) -> bool:
        """Whether any merge after an attack is among them; without one, the badge does not speak of measuring."""
        return any(row.attacked is not None for row in self.rows)

    @property
    def held(self) -> bool:
        """Whether a free-rider does best by leaving the release out, even after aligning it to the base."""
        return self.after_attacks and self.aligned and self.advantage is not None and self.advantage <= 0


def read_measured(folder: Path, digest: str) -> MeasuredMerges | None:
    """Return what the `audit.json` in a release's folder says; None without one, or where it is of other weights.

    Args:
        folder: the release.
        digest: its digest, which was verified.

    Raises:
        AuditError: the file is no audit of a version that this package knows.
        CardError: it is, and lacks what a card tells.
    """
    file = folder / AUDIT
    if not file.is_file():
        return None
    from mergeguard_hub.audit import AuditReport
    from mergeguard_hub.audit.model_folder import ModelFolder, weights_digest

    content = AuditReport.read(file).content
    try:
        if content["models"]["protected"]["digest"] != weights_digest(ModelFolder(folder).tensors()):
            return None
        return from_audit(content, digest)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise CardError(
            f"{file} is no whole audit ({type(error).__name__}: {error}). Write it again with `mergeguard audit`, or "
            "remove it."
        ) from error


def from_audit(content: Mapping[str, Any], digest: str) -> MeasuredMerges | None:
    """Return the rows of an audit for the partner that got most; None where it ended before there was a headline.

    Args:
        content: what `audit.json` holds.
        digest: of the release that it is of.

    Raises:
        CardError: the audit was stopped before its end: what it had not tried yet may be worse than its worst cell.
    """
    from mergeguard_hub.audit.table import title_of

    if not content.get("complete", True):
        raise CardError(
            "The audit is incomplete: attacks that it did not get to may be worse than all it tried. Run the same "
            "`mergeguard audit` again, which goes on from there, or remove audit.json."
        )
    if not content["headlines"]:
        return None
    headline = content["headlines"][0]
    partner = headline["partner"]
    cells = [cell for cell in content["cells"] if cell["partner"] == partner]
    rows = []
    for method in dict.fromkeys(cell["method"] for cell in cells):
        own = [cell for cell in cells if cell["method"] == method]
        control = _best(cell for cell in own if cell["defender"] == "original" and not cell["attack"])
        protected = _best(cell for cell in own if cell["defender"] == "protected" and not cell["attack"])
        attacked = _best(cell for cell in own if cell["defender"] == "protected" and cell["attack"])
        if control is None or protected is None:
            continue
        after = (attacked[0], title_of(content, attacked[1])) if attacked is not None else (None, "")
        rows.append(MergeRow(title_of(content, method), control[0], protected[0], *after))
    worst = headline["worst"]["joint"]
    advantage = max(float(one["advantage"]) for one in content["headlines"])
    aligned = any(cell["attack"] == _ALIGNMENT and cell["points"] for cell in cells)
    return MeasuredMerges(digest, tuple(rows), _estimate(worst), advantage, str(partner), aligned)


def _best(cells: Iterable[Mapping[str, Any]]) -> tuple[Estimate, str] | None:
    found = [(point["joint"], cell["attack"]) for cell in cells for point in cell["points"]]
    if not found:
        return None
    joint, attack = max(found, key=lambda pair: float(pair[0]["value"]))
    return _estimate(joint), str(attack)


def _estimate(joint: Mapping[str, float]) -> Estimate:
    return Estimate(float(joint["value"]), float(joint["standard_error"]))
