"""What protecting, verifying and inspecting report: plain frozen records, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Progress:
    """One step of a long operation.

    Attributes:
        phase: what is being done, as shown to a person: "prove", "protect", "verify", "unlock", "digest". Each
            goes from 0 bytes to its total.
        done_bytes, total_bytes: bytes of weights finished and to do in this phase.
        item: the component, block or tensor at hand.
    """

    phase: str
    done_bytes: int
    total_bytes: int
    item: str = ""


StageStatus = Literal["proved", "not applicable", "refused"]


class ProgressCallback(Protocol):
    """Whatever is told of progress: any function of one `Progress`. What it raises ends the operation."""

    def __call__(self, step: Progress, /) -> object:
        """Take one step; the answer is not looked at."""
        ...


@dataclass(frozen=True)
class StageReport:
    """What became of one stage on one component.

    Attributes:
        component: name of the pipeline component, "" for a plain model folder.
        stage: field name of the stage, for example "HeadMix".
        settings: the stage's public settings.
        status: "proved" (and applied), "not applicable" or "refused".
        reason: why it is not applicable or refused; for proved stages what was proved.
        spaces: number of symmetric spaces that the stage acts on.
        error: largest relative output error seen in the proof.
    """

    component: str
    stage: str
    settings: dict[str, Any]
    status: StageStatus
    reason: str = ""
    spaces: int = 0
    error: float | None = None


@dataclass(frozen=True)
class ComponentReport:
    """One component: its class, its digest, what moved and by how much the function drifted.

    Attributes:
        name: pipeline component, "" for a plain model folder.
        architecture: class that loads it, for example "LlamaForCausalLM".
        digest: "sha256:..." over sorted (name, dtype, shape, bytes) of the released weights.
        parameters: number of weights.
        covered: fraction in [0, 1] of attention and MLP weights that the recipe moves.
        moved: fraction in [0, 1] of all weights that the recipe moves.
        block_drift: largest relative output error of any block on random inputs, original against release.
        model_drift: the same for the whole model; None where it was not loaded.
    """

    name: str
    architecture: str
    digest: str
    parameters: int
    covered: float
    moved: float
    block_drift: float | None = None
    model_drift: float | None = None


@dataclass(frozen=True)
class Report:
    """What `protect_folder` did; nothing in it is secret.

    Attributes:
        version: of the record's format.
        id: short name of the release, from its digest.
        digest: of the released weights; of a pipeline, over those of its components.
        recipe: name of the recipe.
        key_id: public id of the key.
        components: one report per component.
        stages: one report per component and stage.
        parent: digest of the release that these weights were trained from, if any.
        base: digest of the base model, where a stage was computed against one.
        exact: whether unlocking restores every byte.
        already: whether the source was this release already, and was copied as it is.
        narrowed: block -> largest exponent n of its factors 2^-n .. 2^n, where the dtype left no room for more.
        tools: package -> version that made the release.
    """

    version: int
    id: str
    digest: str
    recipe: str
    key_id: str
    components: tuple[ComponentReport, ...]
    stages: tuple[StageReport, ...]
    parent: str | None = None
    base: str | None = None
    exact: bool = False
    already: bool = False
    narrowed: dict[str, int] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class Verification:
    """What `verify_folder` found.

    Attributes:
        state: "protected" (digest matches), "modified" (a claim is there, the weights are others) or "not protected".
        claimed, actual: the digest that the release claims and the one of its weights.
        drift: component name -> largest relative output error against the original; empty without an original.
        tolerance: component name -> the error allowed for its dtype.
    """

    state: Literal["protected", "modified", "not protected"]
    claimed: str | None
    actual: str
    drift: dict[str, float] = field(default_factory=dict)
    tolerance: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the claim holds and, where an original was given, the outputs agree."""
        return self.state == "protected" and all(self.drift[name] <= self.tolerance[name] for name in self.drift)


@dataclass(frozen=True)
class Inspection:
    """What `inspect_folder` found: per component its architecture, coverage in [0, 1] and stages."""

    components: tuple[ComponentReport, ...]
    stages: tuple[StageReport, ...]
    claim: dict[str, Any] | None = None
