"""The files of a repository that people look at, the card and its badge, and how both are brought up to date."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergeguard_hub.hub import front_matter
from mergeguard_hub.hub.badge import badge_of
from mergeguard_hub.hub.card import BADGE_FILE, Facts, render_card, with_badge
from mergeguard_hub.hub.contents import README, Contents
from mergeguard_hub.hub.measured import MeasuredMerges, read_measured
from mergeguard_hub.hub.remote import Head, Remote


@dataclass(frozen=True)
class Page:
    """Card and badge of a release, and what the record says in addition.

    Attributes:
        files: name -> content.
        additions: for the release record.
    """

    files: dict[str, bytes]
    additions: dict[str, Any]


def page_of(
    contents: Contents,
    remote: Remote,
    head: Head,
    *,
    tags: Sequence[str],
    card_is_new: bool,
    base_model: tuple[str, str | None] | None,
) -> Page:
    """Return the card and the badge of a release that goes up.

    Args:
        contents: the release.
        remote: where it goes.
        head: what is there.
        tags: for the front matter.
        card_is_new: whether a README on the Hub goes before the one in the folder.
        base_model: id and revision of the model that it was fine-tuned from, if known.

    Raises:
        CardError: the README cannot be extended.
    """
    local, there = text_of(contents.folder / README), remote.text(README, head)
    card = (there or local) if card_is_new else (local or there)
    stated = front_matter.read(front_matter.split(card or "")[0]).get("base_model")
    base, revision = (stated, None) if isinstance(stated, str) else base_model or (None, None)
    measured = read_measured(contents.folder, contents.record["digest"])
    facts = Facts(remote.repo_id, contents.record, config_of(contents.folder), measured, base)
    badge = badge_of(contents.record, intact=True, measured=measured)
    additions: dict[str, Any] = {}
    if base is not None:
        additions["base_model"] = {"id": base, "revision": revision}
    if measured is not None:
        additions["audit"] = summary(measured)
    text = render_card(card, facts, badge, tags=tags)
    return Page({README: text.encode(), BADGE_FILE: badge.svg().encode()}, additions)


def refresh_badge(
    card: str | None, record: dict[str, Any], *, intact: bool, measured: MeasuredMerges | None, shields: bool = False
) -> Page:
    """Return a card, of ours or not, with the badge that is true now, and the picture.

    Args:
        card: its text; None writes one with nothing else in it.
        record: of the release.
        intact: whether the weights are those of the record.
        measured: merges that were measured.
        shields: refer to a picture at shields.io in place of the one beside the card.
    """
    badge = badge_of(record, intact=intact, measured=measured)
    yaml_text, body = front_matter.split(card or "")
    text = with_badge(body, badge, url=badge.shields_url() if shields else None)
    head = "" if yaml_text is None else f"---\n{yaml_text}---\n"
    return Page({README: (head + text).encode(), BADGE_FILE: badge.svg().encode()}, {})


def summary(measured: MeasuredMerges) -> dict[str, Any]:
    """Return what the release record says of an audit."""
    return {"digest": measured.digest, "advantage": measured.advantage, "rows": len(measured.rows)}


def config_of(folder: Path) -> dict[str, Any]:
    """Return the configuration that tells how a folder is loaded."""
    for name in ("model_index.json", "config.json"):
        if (text := text_of(folder / name)) is not None:
            content = json.loads(text)
            return content if isinstance(content, dict) else {}
    return {}


def text_of(path: Path) -> str | None:
    """Return a text file as it is, line ends included."""
    return path.read_bytes().decode("utf-8", errors="replace") if path.is_file() else None
