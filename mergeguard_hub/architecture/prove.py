"""Prove claims on a miniature: outputs must stay equal, and must change as soon as one tensor is left out.

For every place of the architecture the candidate readings are tried in order; a claim is proved when a random action
of that kind on all its spaces leaves every output equal (1e-9 relative in float64). A second check makes the proof
able to fail: the same action with any one matrix left behind must change the outputs, else the miniature does not
exercise that matrix and nothing was shown. Where no reading holds for all layers and the configuration says that
layers differ in kind, every kind is tried on its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mergeguard_hub.architecture.block import Candidate
from mergeguard_hub.architecture.check import check
from mergeguard_hub.architecture.names import Names, template_of
from mergeguard_hub.architecture.proposal import propose
from mergeguard_hub.architecture.residual import Axes
from mergeguard_hub.architecture.space import CLAIMS, Claim, Port, Space
from mergeguard_hub.architecture.subject import Subject

Place = tuple[str, str]  # (template, group)
EXERCISED = 1e-6  # a matrix counts as exercised when leaving it behind changes the outputs by more than this, relative


@dataclass(frozen=True)
class Proved:
    """The reading that holds at one place, what may be done there, and the largest output error seen."""

    reading: str
    claims: frozenset[Claim]
    error: float


@dataclass(frozen=True)
class Proof:
    """What was proved about one class with one set of flags.

    Attributes:
        architecture: class name.
        dtype: dtype of the proof, "float64" or "float32".
        proved: place -> the reading that holds.
        refused: place -> why no reading holds.
        axes: tower label -> residual axes by tensor template.
        tensors: templates of every tensor that the miniature has.
    """

    architecture: str
    dtype: str
    proved: Mapping[Place, Proved]
    refused: Mapping[Place, str]
    axes: Mapping[str, Axes]
    tensors: frozenset[str]


def prove(miniature: Subject) -> Proof:
    """Try every candidate reading of every place of the miniature's architecture."""
    names = Names({name: tuple(t.shape) for name, t in miniature.state.items()}, miniature.config)
    proposal = propose(names)
    proved: dict[Place, Proved] = {}
    refused: dict[Place, str] = {}
    for place, candidates in by_place(proposal.candidates).items():
        found = prove_place(miniature, candidates)
        if isinstance(found, Proved):
            proved[place] = found
            continue
        refused[place] = found
        parts = by_place([part for whole in candidates for part in whole.by_kind(names.layer_kind).values()])
        for part, of_kind in parts.items():
            split = prove_place(miniature, of_kind) if len(parts) > 1 else found
            if isinstance(split, Proved):
                proved[part] = split
    return Proof(
        architecture=miniature.cls.__name__,
        dtype=str(miniature.dtype).removeprefix("torch."),
        proved=proved,
        refused=refused,
        axes=proposal.axes,
        tensors=frozenset(template_of(name) for name in names.shapes),
    )


def by_place(candidates: Sequence[Candidate]) -> dict[Place, list[Candidate]]:
    """Gather the readings of each place, in order."""
    places: dict[Place, list[Candidate]] = {}
    for candidate in candidates:
        places.setdefault((candidate.template, candidate.group), []).append(candidate)
    return places


def prove_place(miniature: Subject, candidates: Sequence[Candidate]) -> Proved | str:
    """Return the candidate with the most proved claims, or why none holds."""
    best: tuple[Candidate, Proved] | None = None
    closest, tried = math.inf, set()
    for candidate in candidates:
        if candidate.signature in tried:
            continue  # other words for the same thing at these sizes
        tried.add(candidate.signature)
        errors = {claim: check(miniature, candidate.spaces, claim) for claim in CLAIMS if claim in candidate.claims}
        held = {claim: error for claim, error in errors.items() if error <= miniature.tolerance}
        closest = min([closest, *errors.values()])
        if held and (best is None or len(held) > len(best[1].claims)):
            best = candidate, Proved(candidate.reading, frozenset(held), max(held.values()))
        if best is not None and best[1].claims == candidate.claims:
            break
    if best is None:
        return f"outputs changed by {closest:.1e} relative or more under all {len(tried)} readings"
    idle = _idle_matrix(miniature, best[0], best[1].claims)
    return best[1] if idle is None else f"the scaled-down instance does not exercise {idle}, so nothing was shown"


def _idle_matrix(miniature: Subject, candidate: Candidate, claims: frozenset[Claim]) -> str | None:
    """Return the template of a matrix that can be left behind without any effect, if there is one."""
    claim = next(claim for claim in CLAIMS if claim in claims)
    acting = [space for space in candidate.spaces if claim in space.claims]
    matrices = dict.fromkeys(
        label for space in acting for label, port in _labelled(space) if not _is_vector(miniature, port.tensor)
    )
    for label in matrices:
        kept = [replace(space, ports=tuple(p for at, p in _labelled(space) if at != label)) for space in acting]
        if check(miniature, kept, claim) < max(EXERCISED, 10 * miniature.tolerance):
            return label[0]
    return None


def _labelled(space: Space) -> list[tuple[tuple[str, int, int], Port]]:
    """Label ports by tensor template, axis and, for fused tensors, by which of its parts they are."""
    seen: dict[tuple[str, int], int] = {}
    labelled = []
    for port in space.ports:
        at = seen[port.tensor, port.axis] = seen.get((port.tensor, port.axis), -1) + 1
        labelled.append(((template_of(port.tensor), port.axis, at), port))
    return labelled


def _is_vector(miniature: Subject, name: str) -> bool:
    return sum(n > 1 for n in miniature.state[name].shape) < 2
