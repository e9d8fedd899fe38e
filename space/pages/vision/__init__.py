"""Vision: accuracy falls apart. Five classifiers on the same pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from space.bench import column_by_column
from space.bench import lay_out as lay_out_bench
from space.cancelling import cancels
from space.choice import usual
from space.controls import chosen, lay_out, snippets
from space.failures import in_sentences
from space.gpu import on_gpu
from space.page import Built, Page
from space.pages.vision.compare import compare, stages
from space.pages.vision.view import render

FAMILY = "vision"
_SLUG = "vision"
_ABOUT = """
Small vision transformers, each fine-tuned on one of eight tasks. All numbers are of whole test sets (497 to 1,000
pictures) that no model was trained on; differences under two points mean nothing.
"""


@in_sentences
@on_gpu
def vision(defender: str, partner: str, protection: str, merge: str, weight: float) -> Iterator[tuple[str, str]]:
    """Merge a partner with a defender and with its protected release, and compare five classifiers.

    Args:
        defender: task of the model whose skill is wanted, for example "digits".
        partner: task of the model that it is merged with.
        protection: "exact", "mergelock", "params", or "hardened" where such a release is shipped.
        merge: name of a merge method, for example "Weight averaging".
        weight: the method's one number.

    Returns:
        The state of the run and the result, both HTML.
    """
    choice = chosen(FAMILY, defender, partner, protection, merge, weight)
    yield from column_by_column("Classifying", stages(choice), render)


def first() -> str:
    """Compute what is shown before anything is run."""
    return render(compare(usual(FAMILY)))


def build() -> Built:
    """Lay out the tab."""
    bench = lay_out_bench(_SLUG, "Merge and compare", lambda: lay_out(FAMILY))
    controls = bench.chosen
    snippets(FAMILY, controls)
    running: Any = bench.run.click(
        vision,
        list(controls.components),
        list(bench.outputs),
        api_name="vision",
        concurrency_limit=1,
        concurrency_id=FAMILY,
        show_progress="hidden",
    )
    cancels(bench.cancel, [running], bench.status)
    return Built(controls.choices, bench.run, controls.restore)


PAGE = Page(_SLUG, "Vision", _ABOUT, build, first)
