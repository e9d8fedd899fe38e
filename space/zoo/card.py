"""The model card in every folder of the zoo: what the model is, how it was made, from which data, and its scores."""

from __future__ import annotations

from importlib import import_module
from typing import Any

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
