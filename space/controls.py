"""The choices that three tabs share: defender, partner, protection, merge method and its weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from space.choice import Choice
from space.merges import MERGES
from space.page import Updates
from space.shelf import PROTECTIONS, SHELVES, Shelf
from space.snippet import commands_of, python_of

NAMES = ("defender", "partner", "protection", "merge", "weight")


@dataclass(frozen=True)
class Controls:
    """The components, laid out.

    Attributes:
        shelf: the family that they choose from.
        components: in the order of `NAMES`.
    """

    shelf: Shelf
    components: tuple[Component, ...]

    @property
    def choices(self) -> dict[str, Component]:
        """Return the components by name."""
        return dict(zip(NAMES, self.components, strict=True))

    def restore(self, values: dict[str, Any]) -> Updates:
        """Return updates that fit together for the choices of an address; see `Built.restore`."""
        return fitting(self.shelf, values)


def lay_out(family: str) -> Controls:
    """Lay out the choices of a family where this is called."""
    shelf = SHELVES[family]
    laid_out = components(fitting(shelf, {}))
    defender, partner, protection, *_ = laid_out

    def on_defender(chosen: str, present: str, protected: str) -> list[Any]:
        return [
            gr.update(**partner_of(shelf, chosen, shelf.usual.get(chosen, present))),
            gr.update(**protection_of(shelf, chosen, protected)),
        ]

    defender.input(  # type: ignore[attr-defined]
        on_defender,
        [defender, partner, protection],
        [partner, protection],
        api_visibility="private",
        show_progress="hidden",
    )
    return Controls(shelf, laid_out)


def components(start: Updates) -> tuple[Component, ...]:
    """Lay out the five, in the order of `NAMES`; the weight follows the merge.

    Args:
        start: what they show at first, from `fitting`.
    """
    defender, partner, protection, merge = (
        dropdown(label, **start[name])
        for label, name in zip(("Defender", "Partner", "Protection", "Merge method"), NAMES[:-1], strict=True)
    )
    weight = gr.Slider(0, step=0.05, label="Merge weight", buttons=[], **start["weight"])
    weight.preprocess = lambda payload: payload  # type: ignore[method-assign]  # as in `dropdown`: its range follows
    merge.input(
        lambda chosen: gr.update(**weight_of(chosen, None)),
        merge,
        weight,
        api_visibility="private",
        show_progress="hidden",
    )
    return defender, partner, protection, merge, weight


def fitting(shelf: Shelf, values: dict[str, Any]) -> Updates:
    """Return what the five show, fitting together, where as many of them are chosen as `values` has."""
    known = values.get("defender")
    defender = known if known in shelf.skills else next(iter(shelf.skills))
    merge = values.get("merge", next(iter(MERGES)))
    return {
        "defender": {"choices": titled(shelf, list(shelf.skills)), "value": defender},
        "partner": partner_of(shelf, str(defender), values.get("partner")),
        "protection": protection_of(shelf, str(defender), values.get("protection")),
        "merge": {"choices": list(MERGES), "value": merge},
        "weight": weight_of(merge, values.get("weight")),
    }


def chosen(family: str, defender: str, partner: str, protection: str, merge: str, weight: float) -> Choice:
    """Return the values of the components as a choice; see `Choice` for what is refused."""
    return Choice(family, defender, partner, merge, weight, protection)


def reproduce(choice: Choice) -> tuple[str, str]:
    """Return the Python and the commands that give what is shown, for the components of `snippets`."""
    return python_of(choice), commands_of(choice)


def snippets(
    family: str, controls: Controls, *, asked: Sequence[Component] = (), use: Callable[..., str] = lambda: ""
) -> None:
    """Lay out a fold with the code that gives what is shown; it follows the choices.

    Args:
        family: a key of `SHELVES`.
        controls: the choices of models and merge.
        asked: what else a visitor chose, for example a question.
        use: gets the values of `asked` and returns the last lines of the Python, in which the merge is used.
    """
    first = chosen(family, *(component.value for component in controls.components))  # type: ignore[attr-defined]
    begun = use(*(component.value for component in asked))  # type: ignore[attr-defined]
    with gr.Accordion("Do it yourself: the same in Python and from a terminal", open=False):
        script = gr.Code(python_of(first) + begun, language="python", label="Python", interactive=False)
        commands = gr.Code(commands_of(first), language="shell", label="Terminal", interactive=False)

    watched = [*controls.components, *asked]

    def follow(*values: Any) -> list[Any]:
        try:
            script, commands = reproduce(chosen(family, *values[: len(NAMES)]))
            return [script + use(*values[len(NAMES) :]), commands]
        except Exception:  # noqa: BLE001 - between two clicks choices may not fit together
            return [gr.skip(), gr.skip()]

    gr.on(
        [component.change for component in watched],  # type: ignore[attr-defined]
        follow,
        watched,
        [script, commands],
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )


def dropdown(label: str, **settings: Any) -> gr.Dropdown:
    """Lay out a short list to choose from; `Choice` says in a sentence what is not offered.

    Gradio would compare a value with the list as it stood when the page was built, and so refuse to callers of the API
    what visitors of the page, where lists follow other choices, may choose.
    """
    made = gr.Dropdown(label=label, filterable=False, **settings)
    made.preprocess = lambda payload: payload  # type: ignore[method-assign]  # a class of ours would cost a .pyi file
    return made


def titled(shelf: Shelf, models: list[str]) -> list[tuple[str, str]]:
    """Return models with what they can do, as a list to choose from takes them."""
    return [(shelf.skills[name], name) for name in models]


def partner_of(shelf: Shelf, defender: str, wanted: str | None) -> dict[str, Any]:
    """Return the partners that belong to a defender, and the one wanted if it is among them."""
    others = shelf.partners(defender)
    return {"choices": titled(shelf, others), "value": wanted if wanted in others else others[0]}


def protection_of(shelf: Shelf, defender: str, wanted: str | None) -> dict[str, Any]:
    """Return the protections that a defender has, and the one wanted if it is among them."""
    offered = shelf.protections(defender)
    value = wanted if wanted in offered else offered[0]
    return {"choices": [(f"{name}: {PROTECTIONS[name]}", name) for name in offered], "value": value}


def weight_of(merge: str, wanted: float | None) -> dict[str, Any]:
    """Return what the weight means in a merge, and the value wanted if it is in its range."""
    choice = MERGES[merge]
    fits = wanted is not None and 0 <= wanted <= choice.highest
    return {"info": choice.meaning, "maximum": choice.highest, "value": wanted if fits else choice.start}
