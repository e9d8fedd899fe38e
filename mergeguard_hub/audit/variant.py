"""Models after an attack: what the free-rider merges. Each is made once and kept in the audit's folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mergeguard_hub.architecture import Layout
from mergeguard_hub.attacks import Attack, Knowledge, activations_on, layout_of
from mergeguard_hub.audit.arena import Arena
from mergeguard_hub.audit.model_folder import ModelFolder
from mergeguard_hub.audit.scoring import write_whole
from mergeguard_hub.audit.tasks import AnswerTask, ClassificationTask, LanguageModel
from mergeguard_hub.checkpoint import CheckpointTensors
from mergeguard_hub.errors import ArchitectureError, AttackError, NonFiniteWeightsError

_DONE = "done.json"
_INPUTS = 64  # unlabelled inputs that a free-rider has for attacks that look at activations; our choice


@dataclass(frozen=True)
class Variant:
    """What goes into a merge.

    Attributes:
        release: folder of the defender, attacked or not.
        base: folder of the base; attacked too where an attack treats everyone alike.
        partner: folder of the partner; the same.
        seconds: what the attack took.
    """

    release: Path
    base: Path
    partner: Path
    seconds: float = 0.0


def prepare(arena: Arena, defender: str, attack: str, partner: str) -> None:
    """Carry out an attack, if no earlier run could. No two processes may be at the same one."""
    place = _place(arena, defender, attack, partner)
    done = place / _DONE
    if not done.exists() or json.loads(done.read_text(encoding="utf-8"))["problem"]:
        plain = variant_of(arena, defender, "", partner)
        write_whole(done, json.dumps(_attack(arena, arena.attacks[attack], plain, place)))


def variant_of(arena: Arena, defender: str, attack: str, partner: str) -> Variant:
    """Return what is merged after an attack that was carried out; "" is none.

    Raises:
        AttackError: the attack cannot be done on such models.
    """
    plain = Variant(arena.folder(defender).path, arena.base, arena.folder(partner).path)
    if not attack:
        return plain
    place = _place(arena, defender, attack, partner)
    state = json.loads((place / _DONE).read_text(encoding="utf-8"))
    if state["problem"]:
        raise AttackError(state["problem"])
    made = replace(plain, release=place / "release", seconds=state["seconds"])
    return replace(made, base=place / "base", partner=place / "partner") if arena.attacks[attack].everyone else made


def _place(arena: Arena, defender: str, attack: str, partner: str) -> Path:
    """Return the folder of an attack's results: one per partner, so that no two pieces of work share one."""
    return arena.work / "attacked" / defender / attack / partner.replace("/", "-")


def _attack(arena: Arena, attack: Attack, plain: Variant, place: Path) -> dict[str, Any]:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    victims = {"release": plain.release}
    if attack.everyone:
        victims |= {"base": plain.base, "partner": plain.partner}
    spent_s = 0.0
    try:
        for role, path in victims.items():
            folder = ModelFolder(path)
            changed: dict[str, Tensor] = {}
            for part in arena.parts:
                knowledge = _knowledge(arena, attack, plain, part)
                start = time.perf_counter()
                made = attack.apply(
                    CheckpointTensors(folder.components[part]),
                    base=CheckpointTensors(ModelFolder(plain.base).components[part]),
                    knowledge=knowledge,
                )
                spent_s += time.perf_counter() - start
                changed |= {f"{part}/{name}" if part else name: tensor for name, tensor in made.items()}
            folder.write(changed, place / role)
    except (AttackError, ArchitectureError, NonFiniteWeightsError) as error:
        return {"seconds": spent_s, "problem": str(error)}
    return {"seconds": round(spent_s, 3), "problem": ""}


def _knowledge(arena: Arena, attack: Attack, plain: Variant, part: str) -> Knowledge:
    layout = _layout(plain.base, part) if "architecture" in attack.needs else None
    partner = CheckpointTensors(ModelFolder(plain.partner).components[part])
    activations = None
    if "inputs" in attack.needs:
        if part or layout is None:
            raise AttackError(f"{attack.title} looks at activations, which an audit does not read in pipelines.")
        activations = activations_on(_loader(plain.base), _inputs(arena), layout)
    return Knowledge(layout, partner if "partner" in attack.needs else None, activations)


@cache
def _layout(folder: Path, part: str) -> Layout:
    """Prove the architecture, once per process; not part of an attack's seconds, which does it once and for all."""
    return layout_of(ModelFolder(folder).components[part])


def _loader(template: Path) -> Callable[[Mapping[str, Tensor]], nn.Module]:
    def load(weights: Mapping[str, Tensor]) -> nn.Module:
        with ModelFolder(template).loaded_with(weights) as subject:
            module: nn.Module = subject.model if isinstance(subject, LanguageModel) else subject
            return module

    return load


def _inputs(arena: Arena) -> Iterable[Mapping[str, Any]]:
    """Return unlabelled inputs: those of the last items of the defender's task, as keyword arguments of a forward."""
    task = next(iter(arena.skills.values()))
    if isinstance(task, ClassificationTask) and isinstance(task.images, Tensor):
        return [{"pixel_values": task.images[-_INPUTS:]}]
    if isinstance(task, AnswerTask):
        tokenizer = LanguageModel.load(arena.base).tokenizer
        return [dict(tokenizer(question.prompt, return_tensors="pt")) for question in task.questions[-_INPUTS:]]
    raise AttackError(f"There are no unlabelled inputs in a {type(task).__name__}, so activations cannot be matched.")
