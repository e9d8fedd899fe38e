"""The tables, in the paper's order, each number beside the paper's where the paper has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from benchmarks.paper_tables import paper
from benchmarks.paper_tables.measuring import ADA, Measuring
from benchmarks.paper_tables.releases import ABLATION, ALIGNED, BOTH, PARAMS, PLAIN, STRONGER, Release

Row = Callable[[str], float]
"""Task -> percent."""


def report(measuring: Measuring, *, strengths: bool = False) -> str:
    """Return all tables as Markdown; what is not measured yet is measured.

    Args:
        measuring: of one family.
        strengths: also train stage 1 at other learning rates.
    """
    parts = [alone, merged, beside_params, ablation, attacked, everyone, pairs, *([stronger] if strengths else [])]
    return "\n".join(line for part in parts for line in (*part(measuring), ""))


def alone(m: Measuring) -> Iterator[str]:
    """Yield table 1: models by themselves."""
    yield from _head(m, "Table 1: alone")
    yield _row(m, "guessing", m.guessing)
    yield _row(m, "base", m.base)
    yield _row(m, "fine-tuned", lambda task: m.alone(PLAIN, task))
    yield _row(m, "**MergeGuard**, both stages", lambda task: m.alone(BOTH, task))
    yield from _paper(m, "base", paper.BASE)
    yield from _paper(m, "fine-tuned", paper.TUNED)
    yield from _paper(m, "MergeGuard", paper.ALONE["both"])


def merged(m: Measuring) -> Iterator[str]:
    """Yield table 2: the defender merged with all others by each method, not protected and protected."""
    yield from _head(m, "Table 2: merged with all the others, on the defender's task")
    for method in (*m.family.methods, *([ADA] if m.family.logits is not None else [])):
        for release, title in ((PLAIN, "not protected"), (BOTH, "**MergeGuard**")):
            yield _row(m, f"{method}, {title}", _merged(m, release, method))
        yield from _paper(m, f"{method}, not protected", paper.CLEAN.get(method))
        yield from _paper(m, f"{method}, MergeGuard", paper.PROTECTED.get(method))


def beside_params(m: Measuring) -> Iterator[str]:
    """Yield table 3: PaRaMS by the same merge, before and after the free-rider has aligned it."""
    yield from _head(m, "Table 3: PaRaMS beside it, merged by task arithmetic")
    yield _row(m, "PaRaMS, alone", lambda task: m.alone(PARAMS, task))
    yield _row(m, "PaRaMS, merged", _merged(m, PARAMS, "TA"))
    yield _row(m, "PaRaMS, aligned to the base and merged", _merged(m, ALIGNED, "TA"))
    yield _row(m, "**MergeGuard**, merged", _merged(m, BOTH, "TA"))
    yield from _paper(m, "PaRaMS, merged", paper.BY_TASK_ARITHMETIC["PaRaMS"])
    yield from _paper(m, "MergeGuard, merged", paper.PROTECTED["TA"])


def ablation(m: Measuring) -> Iterator[str]:
    """Yield table 4: each stage by itself and both."""
    yield from _head(m, "Table 4: the stages, alone and merged by task arithmetic")
    for release in ABLATION:
        yield _row(m, f"{release.title}, alone", lambda task, release=release: m.alone(release, task))  # type: ignore[misc]
        yield _row(m, f"{release.title}, merged", _merged(m, release, "TA"))
        yield from _paper(m, f"{release.title}, alone", paper.ALONE[release.title])
        yield from _paper(m, f"{release.title}, merged", paper.BY_TASK_ARITHMETIC[release.title])


def attacked(m: Measuring) -> Iterator[str]:
    """Yield table 5: the paper's two attacks on the protected merge, and what the same effort does elsewhere."""
    yield from _head(m, "Table 5: attacks on the merge by task arithmetic")
    yield _row(m, "base", m.base)
    yield _row(m, "merge, not protected", _merged(m, PLAIN, "TA"))
    yield _row(m, "merge, **MergeGuard**", _merged(m, BOTH, "TA"))
    yield _row(m, "Unmask, its task vector taken out", lambda task: m.unmasked(BOTH, task, "task_vector"))
    yield _row(m, "Unmask, literally", lambda task: m.unmasked(BOTH, task, "literal"))
    yield _row(m, "GradErase", lambda task: m.retrained(BOTH, task, erase=True))
    yield _row(m, "the same data, plain training", lambda task: m.retrained(BOTH, task, erase=False))
    yield _row(m, "the same, of the merge not protected", lambda task: m.retrained(PLAIN, task, erase=False))
    yield _row(m, "the same, of the base", lambda task: m.retrained(None, task, erase=False))
    yield from _paper(m, "merge, not protected", paper.CLEAN["TA"])
    yield from _paper(m, "merge, MergeGuard", paper.PROTECTED["TA"])
    for name, numbers in paper.ATTACKED.items():
        yield from _paper(m, name, numbers)


def pairs(m: Measuring) -> Iterator[str]:
    """Yield what the paper does not have: averages with one partner, on both tasks, the mean over the partners."""
    yield from _head(m, "Not in the paper: averaged with one other, the mean over all of them")
    for release, title in ((PLAIN, "not protected"), (BOTH, "**MergeGuard**"), (PARAMS, "PaRaMS")):
        yield _row(m, f"{title}, the defender's task", _paired(m, release, own=True))
        yield _row(m, f"{title}, the partner's task", _paired(m, release, own=False))


def everyone(m: Measuring) -> Iterator[str]:
    """Yield what the paper may mean and does not say: a merge in which every model is protected."""
    yield from _head(m, "Perhaps the paper's table 2: every model in the merge is protected")
    for method in m.family.methods:
        yield _row(m, f"{method}, **MergeGuard**", lambda task, method=method: m.all_released(BOTH, task, method))  # type: ignore[misc]


def stronger(m: Measuring) -> Iterator[str]:
    """Yield what the paper does not have: a stage 1 that moves the weights further."""
    yield from _head(m, "Not in the paper: stage 1 at higher learning rates, merged by task arithmetic")
    for rate, releases in STRONGER.items():
        for release in releases:
            title = f"{m.family.training.learning_rate * rate:g}, {'both stages' if release.stage2 else 'stage 1'}"
            yield _row(m, f"{title}, alone", lambda task, release=release: m.alone(release, task))  # type: ignore[misc]
            yield _row(m, f"{title}, merged", _merged(m, release, "TA"))


def _merged(m: Measuring, release: Release, method: str) -> Row:
    return lambda task: m.merged(release, task, method)


def _paired(m: Measuring, release: Release, *, own: bool) -> Row:
    def mean(task: str) -> float:
        others = m.family.others(task)
        return fmean(m.merged(release, task, "WA", partners=[one], on=task if own else one) for one in others)

    return mean


def _head(m: Measuring, title: str) -> Iterator[str]:
    roles = m.family.roles
    columns = [f"{task} ({roles[task]})" if roles.get(task, task) != task else task for task in m.family.tuned]
    yield f"| {title} | {' | '.join(columns)} | mean |"
    yield "|---" * (len(columns) + 2) + "|"


def _row(m: Measuring, title: str, row: Row) -> str:
    return _cells(title, [row(task) for task in m.family.tuned])


def _paper(m: Measuring, title: str, numbers: Sequence[float] | None) -> Iterator[str]:
    """Yield the paper's row in the order of the family's tasks, if its tasks stand for the paper's."""
    if m.family.roles and numbers is not None:
        known = dict(zip(paper.DATASETS, numbers, strict=True))
        yield _cells(f"*paper: {title}*", [known[m.family.roles[task]] for task in m.family.tuned])


def _cells(title: str, values: Sequence[float]) -> str:
    return f"| {title} | {' | '.join(f'{value:.1f}' for value in (*values, fmean(values)))} |"
