"""The model card: what a stranger should know, in marked blocks that are replaced in place; all else is the user's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from mergeguard_hub.errors import CardError
from mergeguard_hub.hub import escape, front_matter
from mergeguard_hub.hub.badge import Badge
from mergeguard_hub.hub.loading import loading_code
from mergeguard_hub.hub.measured import Estimate, MeasuredMerges

TAGS = ("mergeguard", "merge-protected")
BADGE_FILE = "mergeguard-badge.svg"
_AT_SHIELDS = "](https://img.shields.io/badge/merge--protected-"
_RESULTS = "mergeguard-audit"  # marks our entries of a model-index
_PRESETS = ("exact", "params", "mergelock")
_TRAP2 = "Trap² ([arXiv 2601.21898](https://arxiv.org/abs/2601.21898))"
_TRAININGS = {"Trap2": "Trap²", "Hardened": "a generalisation of Trap² to merges with partners"}
_PARAMS = "PaRaMS ([arXiv 2503.07661](https://arxiv.org/abs/2503.07661))"
_PAPERS = {
    "UnitRearrangement": _PARAMS,
    "HeadScaling": _PARAMS,
    "HeadMix": "MergeLock ([arXiv 2509.01548](https://arxiv.org/abs/2509.01548))",
}


@dataclass(frozen=True)
class Facts:
    """What a card is rendered from.

    Attributes:
        repo_id: the repository, or the name of the folder.
        record: of the release.
        config: config.json, or model_index.json of a pipeline; tells the library.
        measured: merges that were measured on it.
        base_model: the model on the Hub that it was fine-tuned from.
    """

    repo_id: str
    record: Mapping[str, Any]
    config: Mapping[str, Any]
    measured: MeasuredMerges | None = None
    base_model: str | None = None


def render_card(card: str | None, facts: Facts, badge: Badge, *, tags: Sequence[str] = ()) -> str:
    """Return a card with our blocks in it.

    Args:
        card: the one that is there; None writes a new one.
        facts: of the release.
        badge: of the release.
        tags: for the front matter, besides our own.

    Raises:
        CardError: the front matter is no YAML, or a block of ours is not closed.
    """
    yaml_text, body = front_matter.split(card or "")
    if card is None or not body.strip():
        body = f"\n# {escape.markdown(facts.repo_id.split('/')[-1])}\n"
    entries = front_matter.read(yaml_text)
    head = front_matter.merged(yaml_text, _entries(entries, facts, tags))
    body = with_badge(body, badge, url=badge.shields_url() if _AT_SHIELDS in body else None)
    body = _with_block(body, "mergeguard", render_block(facts), after_title=False)
    return f"---\n{head}---\n{body}"


def render_block(facts: Facts) -> str:
    """Return our part of the card, from `card_template.md`."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=False)
    environment.filters |= {
        "markdown": escape.markdown,
        "plain": escape.markdown,
        "code": escape.code,
        "quoted": escape.quoted,
        "drift": _drift,
        "estimate": _estimate,
    }
    text = files("mergeguard_hub.hub").joinpath("card_template.md").read_text(encoding="utf-8")
    record = facts.record
    recipe = record["recipe"]
    measured = facts.measured if facts.measured and facts.measured.digest == record["digest"] else None
    proved = {stage["stage"] for stage in record["stages"] if stage["status"] == "proved"}
    notes = _trainings(record)
    objectives = [name for name in _TRAININGS if any(note.get("objective") == name for note in notes)]
    kinds = [str(stage["stage"]) for stage in recipe["stages"] if stage["stage"] in proved]
    return environment.from_string(text).render(
        recipe=recipe["name"],
        stages=[re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower() for kind in kinds],
        exact=record["exact"],
        symmetric=measured is None or not measured.held,  # as every stage that there is; training is none of them
        trainings=[_TRAININGS[name] for name in objectives],
        batches=max((n for note in notes if isinstance(n := note.get("batches"), int)), default=0),
        loading=loading_code(facts.repo_id, facts.config),
        components=list(record["components"].values()),
        measured=measured,
        repo_id=facts.repo_id,
        digest=record["digest"],
        command=_command(recipe),
        versions=", ".join(f"{escape.markdown(name)} {escape.markdown(v)}" for name, v in record["tools"].items()),
        base_model=facts.base_model,
        papers=[*dict.fromkeys(_PAPERS[kind] for kind in kinds if kind in _PAPERS), *([_TRAP2] if objectives else [])],
    )


def _trainings(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how the components of a release were hardened in training; empty if none was."""
    stated = record.get("training")
    return [note for note in stated.values() if isinstance(note, dict)] if isinstance(stated, dict) else []


def with_badge(body: str, badge: Badge, *, url: str | None = None) -> str:
    """Return the body of a card with the badge under its title, or where it is already.

    Args:
        body: without front matter.
        badge: what it says.
        url: of the picture, if it is not the file beside the card.
    """
    picture = f"![{escape.markdown(badge.title)}]({url or './' + BADGE_FILE})"
    return _with_block(body, "mergeguard:badge", picture, after_title=True)


def _with_block(body: str, name: str, content: str, *, after_title: bool) -> str:
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    newline = "\r\n" if "\r\n" in body else "\n"
    block = f"{start}\n{content.strip()}\n{end}".replace("\n", newline)
    opened, closed = body.count(start), body.count(end)
    if (opened, closed) == (1, 1) and body.index(start) < body.index(end):
        return body[: body.index(start)] + block + body[body.index(end) + len(end) :]
    if opened or closed:
        raise CardError(
            f"The README has {opened} {start!r} and {closed} {end!r}; there must be one of each, in this order. Remove "
            "what is left of the block, and it is written again."
        )
    if after_title:
        title = re.search(r"^# .*\n?", _without_code(body), flags=re.MULTILINE)
        place = title.end() if title else 0
        before, rest = body[:place], body[place:]
        gap = "" if not rest or rest.startswith(newline) else newline
        return f"{before}{'' if before.endswith(newline) else newline}{newline}{block}{newline}{gap}{rest}"
    return f"{body.rstrip()}{newline * 2}{block}{newline}"


def _without_code(body: str) -> str:
    """Return a body of the same length in which no line of a fenced block looks like a title."""
    return re.sub(r"^(```|~~~).*?^\1", lambda m: m.group().replace("#", "."), body, flags=re.MULTILINE | re.DOTALL)


def _entries(entries: Mapping[str, Any], facts: Facts, tags: Sequence[str]) -> dict[str, Any]:
    """Return the entries of the front matter that are ours to set."""
    stated = entries.get("tags")
    old = [stated] if isinstance(stated, str) else list(stated or [])
    found: dict[str, Any] = {"tags": old + [tag for tag in dict.fromkeys([*TAGS, *tags]) if tag not in old]}
    if "library_name" not in entries and (library := _library(facts.config)):
        found["library_name"] = library
    if "base_model" not in entries and facts.base_model is not None:
        found["base_model"] = facts.base_model
    if facts.measured is not None and facts.measured.digest == facts.record["digest"]:
        found["model-index"] = _model_index(entries.get("model-index"), facts, facts.measured)
    return found


def _model_index(stated: Any, facts: Facts, measured: MeasuredMerges) -> list[Any]:
    """Return the results of a card with ours among them, those of an earlier release replaced."""
    models: list[Any] = list(stated) if isinstance(stated, list) else []
    first = dict(models[0]) if models and isinstance(models[0], dict) else {"name": facts.repo_id.split("/")[-1]}
    kept = [one for one in first.get("results") or [] if not _is_ours(one)]
    metrics: list[dict[str, Any]] = [
        {
            "type": "transfer",
            "name": "worst transfer after attacks" if measured.after_attacks else "worst transfer without attacks",
            "value": measured.worst.value,
        }
    ]
    if measured.advantage is not None:
        metrics.append({"type": "advantage", "name": "advantage of a free-rider", "value": measured.advantage})
    ours = {
        "task": {"type": "other", "name": "model merging"},
        "dataset": {"type": _RESULTS, "name": f"merges with {escape.plain(measured.partner)}"},
        "metrics": metrics,
    }
    return [{**first, "results": [*kept, ours]}, *models[1:]]


def _is_ours(result: Any) -> bool:
    dataset = result.get("dataset") if isinstance(result, dict) else None
    return isinstance(dataset, dict) and dataset.get("type") == _RESULTS


def _library(config: Mapping[str, Any]) -> str | None:
    return "diffusers" if "_class_name" in config else "transformers" if "model_type" in config else None


def _command(recipe: Mapping[str, Any]) -> str:
    if recipe["name"] in _PRESETS:
        return f"mergeguard protect SRC DST --preset {recipe['name']}"
    stages = ", ".join(str(stage["stage"]) for stage in recipe["stages"])
    return f"# a recipe of its own: {escape.plain(stages)}; the settings are in mergeguard.json"


def _drift(value: float | None) -> str:
    return "not measured" if value is None else "0" if value == 0 else f"{value:.1e}"


def _estimate(value: Estimate) -> str:
    return f"{value.value:.2f} ± {value.standard_error:.2f}"
