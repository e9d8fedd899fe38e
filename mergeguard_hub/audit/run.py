"""Carrying an audit out: pieces of work in a fixed order, in any executor, within a budget."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any

from mergeguard_hub.audit.arena import Arena
from mergeguard_hub.audit.cell import Cell, alone, measure
from mergeguard_hub.audit.headline import contenders
from mergeguard_hub.audit.record import AuditReport, cell_record, score_record
from mergeguard_hub.audit.recovery import kinds, recovery
from mergeguard_hub.audit.scoring import write_whole
from mergeguard_hub.audit.variant import prepare
from mergeguard_hub.audit.workers import piece, worker_errors
from mergeguard_hub.errors import AuditError

AHEAD = 16  # pieces of work that are handed out at a time, our choice

Order = tuple[Any, ...]
Work = Callable[..., dict[str, Any]]
Progress = Callable[[int, int, str], object]
"""Told after each piece of work: how many are done, how many there are, and what this one was."""


class Run:
    """One audit that is being carried out.

    Args:
        arena: what is audited.
        plan: the cells in their order.
        pool: who works; None: this process.
        budget_s: seconds after which nothing new is begun.
        progress: see `Progress`.
    """

    def __init__(
        self, arena: Arena, plan: Sequence[Cell], pool: Executor | None, budget_s: float | None, progress: Progress
    ) -> None:
        self._arena, self._plan, self._pool, self._progress = arena, plan, pool, progress
        self._start = time.monotonic()
        self._end = None if budget_s is None else self._start + budget_s
        self._done = self._total = 0

    def report(self) -> AuditReport:
        """Measure everything and return the report.

        Raises:
            AuditError: the budget was over before the models alone were scored.
        """
        arena, plan = self._arena, self._plan
        made = dict.fromkeys((cell.defender, cell.attack, cell.partner) for cell in plan if cell.attack)
        who = ("original", "protected", "base", *arena.partner_names)
        self._total = len(who) + len(made) + len(plan)
        by_model = self._all(_alone, [(arena, name) for name in who])
        self._all(_prepare, [(arena, *one) for one in made])
        rows = self._all(_measure, [(arena, cell, arena.limit) for cell in plan])
        found = [row for row in rows if row is not None]
        again: list[dict[str, Any] | None] = []
        if arena.limit is not None:
            chosen = contenders(found)
            self._total += len(chosen)
            again = self._all(_measure, [(arena, cell, None) for cell in chosen])
        curves = [(arena, partner, kind) for partner in arena.partner_names for kind in kinds(arena)]
        self._total += len(curves)
        recovered = self._all(_recover, curves)
        if by_model[0] is None:
            raise AuditError("The budget was over before the models alone were scored; give more.")
        return AuditReport.of(
            arena,
            alone={name: row for name, row in zip(who, by_model, strict=True) if row is not None},
            cells=found,
            confirmed=[row for row in again if row is not None],
            recovery=[row for row in recovered if row is not None],
            complete=len(found) == len(plan) and None not in [*again, *recovered],
            seconds=time.monotonic() - self._start,
        )

    def _all(self, work: Work, orders: Sequence[Order]) -> list[dict[str, Any] | None]:
        def tell(order: Order) -> None:
            self._done += 1
            self._progress(self._done, self._total, _said(order))

        return carry_out(self._pool, work, orders, late=self._late, tell=tell)

    def _late(self) -> bool:
        return self._end is not None and time.monotonic() > self._end


def carry_out(
    pool: Executor | None,
    work: Work,
    orders: Sequence[Order],
    *,
    late: Callable[[], bool] = lambda: False,
    tell: Callable[[Order], None] = lambda order: None,
) -> list[dict[str, Any] | None]:
    """Carry out pieces of work in their order.

    Args:
        pool: who works; None: this process.
        work: called with the arguments of each order.
        orders: what is done.
        late: whether nothing new may be begun.
        tell: called with each order that is done.

    Returns:
        What each piece gave; None where it was too late to begin it.

    Raises:
        AuditError: a worker process was ended.
    """
    results: list[dict[str, Any] | None] = [None] * len(orders)
    running: dict[Future[dict[str, Any]], int] = {}
    waiting = deque(enumerate(orders))
    while waiting or running:
        while waiting and len(running) < AHEAD and not late():
            position, order = waiting.popleft()
            if pool is None:
                results[position] = work(*order)
                tell(order)
            else:
                with worker_errors():
                    running[pool.submit(piece, work, *order)] = position
        if late():
            waiting.clear()
            running = {future: position for future, position in running.items() if not future.cancel()}
        for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
            position = running.pop(future)
            with worker_errors():
                results[position] = future.result()
            tell(orders[position])
    return results


def _said(order: Order) -> str:
    one = order[1]
    if not isinstance(one, Cell):
        return " ".join(map(str, order[1:]))
    return " ".join(part for part in (one.defender, one.attack, one.method, one.partner, one.only) if part)


def _alone(arena: Arena, who: str) -> dict[str, Any]:
    return {name: score_record(score) for name, score in alone(arena, who, limit=None).items()}


def _prepare(arena: Arena, defender: str, attack: str, partner: str) -> dict[str, Any]:
    prepare(arena, defender, attack, partner)
    return {}


def _recover(arena: Arena, partner: str, kind: str) -> dict[str, Any]:
    """Train a merge back, or read how that went before."""
    file = arena.work / "recovery" / f"{kind}--{partner.replace('/', '-')}.json"
    if not file.exists():
        write_whole(file, json.dumps(recovery(arena, partner, kind)))
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _measure(arena: Arena, cell: Cell, limit: int | None) -> dict[str, Any]:
    """Measure a cell, or read what was measured before."""
    name = "--".join([cell.defender, cell.attack, cell.method, cell.partner, cell.only, str(limit or "all")])
    file = arena.work / "cells" / f"{''.join(c if c.isalnum() or c in '-.' else '_' for c in name)}.json"
    if not file.exists() or json.loads(file.read_text(encoding="utf-8"))["problem"]:  # which may be gone by now
        start = sum(os.times()[:4])  # of this process and of those that it started
        row = cell_record(measure(arena, cell, limit=limit))
        write_whole(file, json.dumps({**row, "processor_s": round(sum(os.times()[:4]) - start, 2)}))
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
