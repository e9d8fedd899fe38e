"""What it costs to train a merge back: a curve of joint gain over steps, beside training the base on the same data."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from mergeguard_hub.attacks import distil, grad_erase, lessons, recover
from mergeguard_hub.audit.arena import Arena
from mergeguard_hub.audit.model_folder import ModelFolder
from mergeguard_hub.audit.tasks import ClassificationTask
from mergeguard_hub.audit.transfer import joint_gain, transfer
from mergeguard_hub.audit.variant import variant_of
from mergeguard_hub.errors import AttackError, AuditError, MergeError, NonFiniteWeightsError
from mergeguard_hub.merging import WeightAveraging

EXAMPLES = 100  # of each skill, the last of its task, which no merge is scored on; as in docs/findings.md
STEPS = (0, 3, 10, 30, 100)
KINDS = ("base", "unprotected", "protected", "aligned")  # what is trained: the base, or an average of two models
EXTRA = ("grad_erase", "distilled")  # the average with the release by GradErase; the base on what both models answer

_BATCH = 25
_ALIGNMENT = "alignment"


def kinds(arena: Arena) -> tuple[str, ...]:
    """Return what can be trained: () unless every task is of labelled pictures and has items that are not scored on.

    Raises:
        AuditError: something is named that there is not.
    """
    extra = () if isinstance(arena.recover, bool) else arena.recover
    if unknown := [name for name in extra if name not in EXTRA]:
        raise AuditError(f"There is no way {unknown[0]!r} to train back; choose among {', '.join(EXTRA)}.")
    if arena.recover is False:
        return ()
    for task in arena.skills.values():
        if not isinstance(task, ClassificationTask) or not isinstance(task.images, Tensor) or arena.limit is None:
            return ()
        if len(task.labels) < arena.limit + EXAMPLES:
            return ()
    return (*(KINDS if _ALIGNMENT in arena.attacks else KINDS[:-1]), *extra)


def recovery(arena: Arena, partner: str, kind: str) -> dict[str, Any]:
    """Train a merge on a few labelled examples of both skills, and return its curve.

    Args:
        arena: the audit.
        partner: name of the partner.
        kind: of `KINDS` or `EXTRA`; "aligned" is the merge of the release after alignment to the base.

    Returns:
        {"partner", "kind", "examples": of each skill, "points": [{"steps", "train_s", "joint"}]}; no points where there
        is no such merge, because the attack cannot be done.
    """
    found = {"partner": partner, "kind": kind, "examples": EXAMPLES}
    try:
        start = _start(arena, partner, kind)
    except (MergeError, AttackError, NonFiniteWeightsError):
        return {**found, "points": []}
    names = arena.skills_of(partner)
    tasks = [arena.skills[name] for name in names]

    def loaded(who: str) -> Any:
        return arena.folder(who).loaded_with(arena.folder(who).tensors())

    base, alone = [], []
    for task, who in zip(tasks, ("original", partner), strict=True):
        with loaded("base") as model:
            base.append(task.score(model, limit=arena.limit))
        with loaded(who) as model:
            alone.append(task.score(model, limit=arena.limit))

    def joint(model: nn.Module) -> float:
        found = [task.score(model, limit=arena.limit) for task in tasks]
        parts = [transfer(m, base=b, alone=a) for m, b, a in zip(found, base, alone, strict=True)]
        return joint_gain(parts[0], parts[1]).value

    with ModelFolder(arena.base).loaded_with(start) as model:
        data = [_batches(task) for task in tasks]
        if kind == "distilled":
            with loaded("protected") as release, loaded(partner) as other:
                data = [lessons(who, own, logits=_logits) for who, own in zip((release, other), data, strict=True)]
        batches = [batch for pair in zip(*data, strict=True) for batch in pair]
        if kind == "distilled":
            curve = distil(model, batches, logits=_logits, steps=max(STEPS), at=STEPS, measure=joint)
        else:
            train = grad_erase if kind == "grad_erase" else recover
            curve = train(model, batches, steps=max(STEPS), at=STEPS, measure=joint, loss=_loss)
    points = [
        {"steps": point.steps, "train_s": round(point.train_s, 3), "joint": round(point.score, 4)} for point in curve
    ]
    return {**found, "points": points}


def _start(arena: Arena, partner: str, kind: str) -> dict[str, Tensor]:
    base = ModelFolder(arena.base).tensors(*arena.parts)
    if kind in ("base", "distilled"):
        return base
    defender = "original" if kind == "unprotected" else "protected"
    variant = variant_of(arena, defender, _ALIGNMENT if kind == "aligned" else "", partner)
    models = [ModelFolder(path).tensors(*arena.parts) for path in (variant.release, variant.partner)]
    return WeightAveraging().merge(base, models)


def _batches(task: Any) -> list[dict[str, Any]]:
    if not isinstance(task, ClassificationTask) or not isinstance(task.images, Tensor):
        raise AttackError(f"{task.name!r} has no labelled pictures to train on.")
    images, labels = task.images[-EXAMPLES:], Tensor(task.labels[-EXAMPLES:]).long()
    starts = range(0, EXAMPLES, _BATCH)
    return [
        {"pixel_values": images[at : at + _BATCH], "labels": labels[at : at + _BATCH], "logits": task.logits}
        for at in starts
    ]


def _loss(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    return functional.cross_entropy(_logits(model, batch), batch["labels"])


def _logits(model: nn.Module, batch: dict[str, Any]) -> Tensor:
    logits: Tensor = model(pixel_values=batch["pixel_values"]).logits
    return logits if batch["logits"] is None else logits[:, batch["logits"]]
