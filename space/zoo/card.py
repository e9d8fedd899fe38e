"""The model card in every folder of the zoo: what the model is, how it was made, from which data, and its scores."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from space.zoo.hardened import HardenedModel
from space.zoo.provenance import Provenance
from space.zoo.train import ZOO

Results = dict[str, Any]

_CARD = """---
license: apache-2.0
pipeline_tag: {pipeline}
tags:
- mergeguard-zoo
---

# {family}/{model}

{summary}

{about}

## Data and licence

{data}

## Scores

{scores}

Score in percent with its standard error, and the number of items. The model was trained by
`python -m space.zoo.train {family}` in the repository of mergeguard_hub, which measures it again with
`python -m space.zoo.report --measure {family}`. It is a small model made to show what merging does; it is of no other
use.
"""

_HARDENED = """---
license: apache-2.0
pipeline_tag: {pipeline}
tags:
- mergeguard-zoo
- mergeguard-hardened
---

# {family}/{model}

{summary} Then trained on for {steps} steps so that it is good alone and merges with it are bad: the hardened recipe of
mergeguard_hub (docs/hardening.md), against {against}. These are the raw weights, as alignment to the base gives them
back of a protected release.

{about}

## Data and licence

{data}

## Scores

Alone, on {skill}: {alone}; the fine-tune that the training went on from: {original}.

{merges}

Joint gain: the smaller of what a merge has of both fine-tunings' gains over the base. The best that was found of every
merge that the audit tries, also after clipping, pruning and rounding, with partners that the training did not know;
beside it the best use of the partner without this model, and the best merge of the fine-tune as it was. Made by
`python -m space.zoo.harden {family}` and measured by `python -m benchmarks.hardened {family}` in the repository of
mergeguard_hub. It is a small model made to show what merging does; it is of no other use.
"""


def write_hardened_card(model: HardenedModel, record: Results) -> None:
    """Write README.md into the folder of a hardened release, from what `benchmarks.hardened` has measured."""
    folder = ZOO / model.family / "weights" / model.name
    (folder / "README.md").write_text(hardened_card(model, record))


def hardened_card(model: HardenedModel, record: Results) -> str:
    """Return the text of a hardened release's card."""
    provenance: Provenance = import_module(f"space.zoo.{model.family}.provenance").PROVENANCE
    rows = ["| merged with | best joint gain | without this model | unprotected |", "|---|---|---|---|"]
    for partner, found in record["partners"].items():
        gains = (f"{found[k]['value']:.2f} ± {found[k]['standard_error']:.2f}" for k in ("worst", "without", "control"))
        rows.append(f"| {partner} | {' | '.join(gains)} |")
    return _HARDENED.format(
        family=model.family,
        model=model.name,
        pipeline=provenance.pipeline,
        summary=provenance.models[model.defender],
        about=provenance.about,
        steps=model.steps,
        against=model.against,
        data=provenance.data,
        skill=model.defender,
        alone=_percent(record["alone"]["protected"]),
        original=_percent(record["alone"]["original"]),
        merges="\n".join(rows),
    )


def _percent(score: Results) -> str:
    return f"{100 * score['value']:.1f} ± {100 * score['standard_error']:.1f} % of {score['items']} items"


def write_cards(family: str, results: Results) -> None:
    """Write README.md into the folder of every model of a family."""
    provenance: Provenance = import_module(f"space.zoo.{family}.provenance").PROVENANCE
    for model, scores in results["scores"].items():
        (ZOO / family / "weights" / model / "README.md").write_text(card(family, model, scores, provenance))


def card(family: str, model: str, scores: Results, provenance: Provenance) -> str:
    """Return the text of a model's card."""
    return _CARD.format(
        family=family,
        model=model,
        pipeline=provenance.pipeline,
        summary=provenance.models[model],
        about=provenance.about,
        data=provenance.data,
        scores="\n".join(_table(scores)),
    )


def _table(scores: Results) -> list[str]:
    lines = ["| task | score | items |", "|---|---|---|"]
    for task, score in scores.items():
        lines.append(
            f"| {task} | {100 * score['value']:.1f} ± {100 * score['standard_error']:.1f} | {score['items']} |"
        )
    return lines
