"""The card: whole files, a user's text that stays, entries that merge, and names that do nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from mergeguard_hub.errors import CardError
from mergeguard_hub.hub import front_matter
from mergeguard_hub.hub.badge import badge_of
from mergeguard_hub.hub.card import Facts, render_card
from tests.hub.cards import CONFIG, FACTS, MEASURED, RECORD, USERS

GOLDEN = Path(__file__).parent / "golden"
BADGE = badge_of(RECORD, intact=True)
CARDS: dict[str, tuple[str | None, Facts]] = {
    "new": (None, FACTS),
    "measured": (None, replace(FACTS, measured=MEASURED, base_model="org/base")),
    "users": (USERS, replace(FACTS, measured=MEASURED)),
}


def rendered(card: str | None, facts: Facts, **options: Any) -> str:
    """Render with the badge that fits."""
    return render_card(card, facts, badge_of(dict(facts.record), intact=True, measured=facts.measured), **options)


@pytest.mark.parametrize("name", CARDS)
def test_whole_cards(name: str) -> None:
    """Every character; rendering again changes nothing."""
    text = rendered(*CARDS[name])
    assert text == (GOLDEN / f"{name}.md").read_text(encoding="utf-8")
    assert rendered(text, CARDS[name][1]) == text


def test_the_users_text_and_lines_stay() -> None:
    """Below and above our blocks, and in the front matter, but for the entries that are ours to change."""
    text = rendered(USERS, replace(FACTS, measured=MEASURED), tags=["tiny"])
    yaml_text, body = front_matter.split(text)
    assert yaml_text is not None
    outside = re.sub(r"\n<!-- (mergeguard\S*):start -->.*?<!-- \1:end -->\n", "", body, flags=re.DOTALL)
    assert outside == front_matter.split(USERS)[1]
    assert yaml_text.startswith("# my comment\nlicense: apache-2.0\n")
    assert "- en   # and another\n" in yaml_text
    entries = yaml.safe_load(yaml_text)
    assert entries["tags"] == ["llama", "mine", "mergeguard", "merge-protected", "tiny"]
    assert (entries["base_model"], entries["library_name"]) == ("org/base", "transformers")
    results = entries["model-index"][0]["results"]
    assert [one["dataset"]["type"] for one in results] == ["lambada", "mergeguard-audit"]
    assert results[1]["metrics"][0]["value"] == 0.07
    parsed = ModelCard(text).data.eval_results
    assert parsed is not None
    assert [(one.dataset_type, one.metric_value) for one in parsed][-1] == ("mergeguard-audit", -0.11)


def test_measured_only_on_these_weights() -> None:
    """An audit of other weights is not told of; without one nothing is claimed."""
    other = replace(FACTS, measured=replace(MEASURED, digest="sha256:" + "cd" * 32))
    assert rendered(None, other) == rendered(None, FACTS)
    assert "No merge with this release was measured, so nothing is said here" in rendered(None, FACTS)
    assert "model-index" not in rendered(None, FACTS)


def test_what_is_measured_no_more_goes() -> None:
    """The block is replaced as a whole, wherever the user has moved it."""
    text = rendered(USERS, replace(FACTS, measured=MEASURED))
    block = re.search(r"<!-- mergeguard:start -->.*<!-- mergeguard:end -->\n", text, flags=re.DOTALL)
    assert block is not None
    moved = text.replace(block.group(), "") + block.group() + "\nMy last word.\n"
    again = rendered(moved, FACTS)
    assert "partner" not in front_matter.split(again)[1]
    assert again.endswith("<!-- mergeguard:end -->\n\nMy last word.\n")


HOSTILE = [
    '<img src=x onerror="alert(1)">',
    "](javascript:alert(1))",
    "a|b|c",
    "`code` <!-- mergeguard:end -->",
    "# title\n\n## another",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u0000\x1b[2J",
    "x" * 5000,
    '"; rm -rf ~; "',
    "$(reboot)",
    "![](https://evil.example/track.png)",
    "https://evil.example",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_do_nothing(name: str) -> None:
    """In every place that a name comes to: no element, link or picture more than with a plain one."""
    component = {**RECORD["components"][""], "name": name, "architecture": name}
    record = {
        **RECORD,
        "recipe": {"name": name, "stages": [{"stage": "UnitRearrangement"}, {"stage": name}]},
        "stages": [{"stage": "UnitRearrangement", "status": "proved"}, {"stage": name, "status": "proved"}],
        "components": {name: component},
        "tools": {name: name},
    }
    row = replace(MEASURED.rows[0], method=name, attack=name)
    facts = Facts(
        name, record, {"model_type": name, "architectures": [name]}, replace(MEASURED, rows=(row,), partner=name), name
    )
    text = rendered(None, facts, tags=[name])
    assert yaml.safe_load(front_matter.split(text)[0] or "")["tags"] == ["mergeguard", "merge-protected", name]
    assert front_matter.split(text)[1].count("<!-- mergeguard:end -->") == 1
    assert "evil.example" not in "".join(re.findall(r"\S*://\S*", front_matter.split(text)[1]))
    assert max(map(len, front_matter.split(text)[1].splitlines())) < 1200
    assert _shape(text) == _shape(rendered(None, _harmless(facts)))


def _harmless(facts: Facts) -> Facts:
    record = {
        **RECORD,
        "recipe": {"name": "mine", "stages": [{"stage": "UnitRearrangement"}, {"stage": "HeadPermutation"}]},
    }
    return Facts("me/model", record, CONFIG, replace(MEASURED, rows=MEASURED.rows[:1]), "org/base")


def _shape(text: str) -> dict[str, int]:
    """Return how often each kind of element is in what a reader's browser gets of a card's body."""
    html = MarkdownIt("gfm-like", {"linkify": False}).render(front_matter.split(text)[1])
    elements: dict[str, int] = {}
    for tag in re.findall(r"<([a-z][a-z0-9]*)", html):
        elements[tag] = elements.get(tag, 0) + 1
    assert "javascript:" not in "".join(re.findall(r'(?:href|src)="([^"]*)"', html))
    return elements


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("---\ntags: [\n---\n# x\n", "front matter is no valid YAML in line"),
        ("---\n- a\n---\n# x\n", "front matter is no list of 'name: value' lines"),
        ("---\ntags: a\n# x\n", "has no second '---'; close it"),
        ("# x\n<!-- mergeguard:start -->\nmine\n", "has 1 '<!-- mergeguard:start -->' and 0"),
        ("# x\n<!-- mergeguard:end -->\n<!-- mergeguard:start -->\n", "one of each, in this order"),
    ],
)
def test_cards_that_cannot_be_extended(card: str, message: str) -> None:
    """One sentence."""
    with pytest.raises(CardError, match=message):
        render_card(card, FACTS, BADGE)


@pytest.mark.parametrize(
    "text",
    [
        "{a: 1, tags: [x]}\n",
        "a: &x 1\nb: *x\n",
        "'tags': x\n",
        "a: |\n  tags: no\n  b: c\n",
        "a: 1\r\nb: 2\r\n",
        "a: 1",
    ],
)
def test_front_matter_of_every_style(text: str) -> None:
    """What is merged is what is read."""
    merged = front_matter.merged(text, {"tags": ["t"], "new": {"x": [1]}})
    assert yaml.safe_load(merged) == {**yaml.safe_load(text), "tags": ["t"], "new": {"x": [1]}}
