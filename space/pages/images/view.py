"""A comparison as HTML: what came of it in words, the pictures in rows and columns, and two of them over each other."""

from __future__ import annotations

import base64
import io
from html import escape

from PIL import Image

from space.five import COLUMNS, Column
from space.pages.images.compare import Comparison
from space.pages.images.judged import as_asked, findings
from space.pages.images.words import details, lead, measured

_LEGEND = (
    "Under each picture: what its prompt asks for, with the probability at which a scorer, trained apart from these "
    "models, sees it; ✓ where it sees all of it. Under pictures of words of your own: how likely each skill is there; "
    "such a prompt counts for a skill if the model that learned it shows it. All five pictures of a row start from the "
    "same noise. The models draw 64 x 64 pixels, shown larger."
)
_UNJUDGED = (
    "The scorer knows only the small models of this page, so nothing is said about these pictures: judge yourself."
)
_LARGEST = 320  # pixels of a picture as it is sent; larger ones are made smaller
_SMALL = 128  # pixels up to which a picture is sent as it is
_SLIDE = "this.parentElement.style.setProperty('--cut', this.value + '%')"
_SWAP = (
    "for (const name of ['control', 'merged']) { const from = this.closest('.mg-result')"
    ".querySelector(`[data-cell='${this.value}-${name}']`); "
    "const to = this.closest('.mg-pair').querySelector('.mg-' + name); to.src = from.src; to.alt = from.alt; }"
)


def render(comparison: Comparison) -> str:
    """Return what is known so far: pictures of the models that have drawn, and the rest once all five have."""
    headings = "".join(
        f'<th role="columnheader" scope="col"><b>{escape(column.title)}</b><span>{escape(column.note)}</span></th>'
        for column in COLUMNS
    )
    rows = "".join(_row(comparison, row) for row in range(len(comparison.prompts)))
    table = (
        '<table class="mg-pictures" role="table"><caption class="mg-hidden">Pictures by prompt and model</caption>'
        f'<thead role="rowgroup"><tr role="row"><td role="cell"></td>{headings}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table>'
    )
    above, below = _words(comparison) if comparison.whole else ("", "")
    if comparison.whole:
        below = f'<div class="mg-below">{_pair(comparison)}<div>{below}</div></div>'
    return f'<div class="mg-result">{above}{table}{below}</div>'


def data_url(picture: Image.Image) -> str:
    """Return a picture inside its own address: a small one to the last bit, a large one smaller and as a JPEG."""
    buffer = io.BytesIO()
    small = max(picture.size) <= _SMALL
    if small:
        picture.save(buffer, format="PNG", optimize=True)
    else:
        sent = picture.convert("RGB")
        sent.thumbnail((_LARGEST, _LARGEST))
        sent.save(buffer, format="JPEG", quality=88)
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _words(comparison: Comparison) -> tuple[str, str]:
    """Return what stands above the pictures and what below them."""
    if comparison.wish is None:
        return f'<p class="mg-verdict" role="status">{_UNJUDGED}</p>', ""
    choice = comparison.wish.choice
    above = f'<p class="mg-verdict" role="status">{escape(lead(comparison, choice))}</p>'
    longer = measured(choice)
    if longer:
        above += f"<p>{escape(longer)}</p>"
    below = "".join(f"<p>{escape(text)}</p>" for text in details(comparison, choice))
    return above, f'{below}<p class="mg-note">{_LEGEND}</p>'


def _row(comparison: Comparison, row: int) -> str:
    cells = "".join(_cell(comparison, row, column) for column in COLUMNS)
    return f'<tr role="row"><th role="rowheader" scope="row">{escape(comparison.prompts[row])}</th>{cells}</tr>'


def _cell(comparison: Comparison, row: int, column: Column) -> str:
    title = f'<span class="mg-title" aria-hidden="true">{escape(column.title)}</span>'
    candidate = comparison.candidates.get(column.name)
    if candidate is None:
        return f'<td role="cell" class="mg-{column.name}">{title}<div class="mg-blank"></div></td>'
    name = _alt(column, comparison.prompts[row])
    picture = f'<img src="{data_url(candidate.pictures[row])}" alt="{name}" data-cell="{row}-{column.name}">'
    return f'<td role="cell" class="mg-{column.name}">{title}{picture}{_judgement(comparison, row, column)}</td>'


def _judgement(comparison: Comparison, row: int, column: Column) -> str:
    if comparison.wish is None:
        return ""
    prompt, choice = comparison.prompts[row], comparison.wish.choice
    seen = comparison.candidates[column.name].seen[row]
    values = " · ".join(
        f"<span>{escape(found.name)} {found.chance:.2f}</span>"
        for found in findings(prompt, seen, (choice.defender, choice.partner))
    )
    right = as_asked(prompt, seen)
    if right is None:
        return f'<p class="mg-seen">{values}</p>'
    mark, kind, said = ("✓", "right", "as asked: ") if right else ("✗", "wrong", "not as asked: ")
    return (
        f'<p class="mg-seen mg-is-{kind}"><span aria-hidden="true">{mark}</span> '
        f'<span class="mg-hidden">{said}</span>{values}</p>'
    )


def _pair(comparison: Comparison) -> str:
    control, merged = (column for column in COLUMNS if column.name in ("control", "merged"))
    pictures = "".join(
        f'<img class="mg-{column.name}" src="{data_url(comparison.candidates[column.name].pictures[0])}" '
        f'alt="{_alt(column, comparison.prompts[0])}">'
        for column in (control, merged)
    )
    options = "".join(
        f'<option value="{row}">{escape(prompt)}</option>' for row, prompt in enumerate(comparison.prompts)
    )
    return (
        f'<section class="mg-pair"><h3>{escape(control.title)}, and with it</h3>'
        f'<select aria-label="Prompt of the pictures over each other" onchange="{_SWAP}">{options}</select>'
        f'<div class="mg-over">{pictures}<i aria-hidden="true"></i>'
        '<span aria-hidden="true">without</span><span aria-hidden="true">with</span>'
        '<input type="range" min="0" max="100" value="50" aria-label="How much of the merge without protection is '
        f'uncovered, in percent" oninput="{_SLIDE}"></div></section>'
    )


def _alt(column: Column, prompt: str) -> str:
    return escape(f"{column.title}: {prompt}")
