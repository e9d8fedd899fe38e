"""The audit: every merge of the original, every merge of the release, every attack and then every merge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from mergeguard_hub.attacks import Attack, MergeAttack
from mergeguard_hub.audit.arena import Arena, Merging
from mergeguard_hub.audit.cell import Cell
from mergeguard_hub.audit.claim import claim, content_of
from mergeguard_hub.audit.defaults import ATTACKS_TRIED, MERGE_ATTACKS_TRIED, METHODS_TRIED, PATH, WITHOUT
from mergeguard_hub.audit.record import AuditReport, signature
from mergeguard_hub.audit.recovery import kinds
from mergeguard_hub.audit.run import Progress, Run
from mergeguard_hub.audit.tasks import Task
from mergeguard_hub.audit.workers import workers_pool

_WITH_PATH = ("", "alignment")  # the merge path is shown, and its middle is in every other cell
LIMIT, SCREEN = 100, 24  # items per task, our choice: standard errors of 0.05 and 0.1 at most


def audit(
    protected: str | Path,
    *,
    original: str | Path,
    base: str | Path,
    partners: Sequence[str | Path],
    tasks: Sequence[str | Task[Any]],
    work: str | Path,
    methods: Mapping[str, Merging] = METHODS_TRIED,
    merge_attacks: Mapping[str, MergeAttack] = MERGE_ATTACKS_TRIED,
    attacks: Mapping[str, Attack] = ATTACKS_TRIED,
    limit: int | None = LIMIT,
    screen: int = SCREEN,
    recover: bool | Sequence[str] = True,
    budget_s: float | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Measure what a protected release survives.

    The order is fixed: each model alone; merges of the original, the control; merges of the release; for every attack
    the same merges of what the attack made of it. In the end the merges with the largest joint gains are scored again
    on all items, and the headline is taken from these. Everything measured is kept in `work`: an audit that was
    stopped, or ran out of its budget, goes on from there.

    Args:
        protected: folder of the release, a model or a pipeline.
        original: folder of the model that it was made from.
        base: folder of the public base model.
        partners: folders of other fine-tunes of the base, with which a free-rider merges.
        tasks: the skill of the protected model, then the skill of each partner; see `find_task`. Sent to other
            processes, so name those that cannot be pickled.
        work: folder for attacked models and scores.
        methods: merge methods by name.
        merge_attacks: attacks on the merge itself by name.
        attacks: attacks that clean the release before it is merged, by name.
        limit: items of each task that a merge is scored on; None: all.
        screen: items on which searches compare their candidates.
        recover: also train merges back on a few labelled examples, where the tasks are of pictures and have some that
            nothing is scored on. "grad_erase" and "distilled", in a list, are tried only where they are named.
        budget_s: seconds after which no new piece of work is begun (processes may each have one more at hand); the
            report then says that it is incomplete.
        workers: processes, with one thread each; by default one per processor. 1 works in this process.
        executor: what works instead; it must reach the folders.
        progress: see `Progress`.

    Raises:
        AuditError: the models and tasks do not fit together, `work` belongs to another audit, a task cannot be sent to
            another process, or a worker process was ended.
        MergeGuardError: a folder cannot be read.
    """
    arena = Arena(
        Path(protected).absolute(),
        Path(original).absolute(),
        Path(base).absolute(),
        tuple(Path(partner).absolute() for partner in partners),
        tuple(tasks),
        dict(methods),
        {**merge_attacks, WITHOUT: MERGE_ATTACKS_TRIED[WITHOUT]},
        dict(attacks),
        limit,
        screen,
        Path(work).absolute(),
        recover if isinstance(recover, bool) else tuple(recover),
    )
    kinds(arena)  # what is misspelt shows now
    claim_folder(arena)
    with workers_pool(workers, executor, sent=arena.tasks) as pool:
        tell = progress or (lambda done, total, what: None)
        return Run(arena, list(cells(arena)), pool, budget_s, tell).report()


def cells(arena: Arena) -> Iterator[Cell]:
    """Yield the cells of an audit in their order."""
    ways = [name for name in (*arena.methods, *arena.merge_attacks) if name != WITHOUT]
    for partner in arena.partner_names:
        yield Cell("original", "", WITHOUT, partner)
        for way in ways:
            yield Cell("original", "", way, partner)
    for attack in ("", *arena.attacks):
        for partner in arena.partner_names:
            for way in ways:
                if way != PATH or attack in _WITH_PATH:
                    yield Cell("protected", attack, way, partner)


def claim_folder(arena: Arena) -> None:
    """Make the folder this audit's.

    Raises:
        AuditError: it belongs to an audit of other models, tasks or settings.
    """
    facts = {**signature(arena), "content of tasks": content_of(arena.skills.values())}
    claim(arena.work, facts, what="audit")  # methods and attacks may be added
