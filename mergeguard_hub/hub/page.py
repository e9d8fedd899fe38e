"""The files of a repository that people look at, the card and its badge, and how both are brought up to date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergeguard_hub.errors import CardError
from mergeguard_hub.hub import escape, front_matter
from mergeguard_hub.hub.badge import Badge, badge_of
from mergeguard_hub.hub.card import BADGE_FILE, Facts, render_card, with_badge
from mergeguard_hub.hub.contents import README, Contents
from mergeguard_hub.hub.measured import MeasuredMerges, read_measured
from mergeguard_hub.hub.remote import Head, Remote

if TYPE_CHECKING:
    from mergeguard_hub.hub.push import Wording


@dataclass(frozen=True)
class Page:
    """Card and badge of a release, and what the record says in addition.

    Attributes:
        files: name -> content.
        additions: for the release record.
    """

    files: dict[str, bytes]
    additions: dict[str, Any]


def measured_of(contents: Contents, *, card_is_new: bool) -> MeasuredMerges | None:
    """Return what was measured of a release, and refuse what would stop its card, before the Hub hears of the push.

    Args:
        contents: the release that is to go up.
        card_is_new: whether the README in the folder was generated just now.

    Raises:
        CardError: the README in the folder cannot be extended, or its audit is not whole.
        AuditError: its audit cannot be read.
    """
    measured = read_measured(contents.folder, contents.record["digest"])
    local = None if card_is_new else text_of(contents.folder / README)
    badge = badge_of(contents.record, intact=True, measured=measured)
    with readme_of(str(contents.folder)):
        render_card(local, Facts("", contents.record, config_of(contents.folder), measured), badge)
    return measured


@contextmanager
def readme_of(place: str) -> Iterator[None]:
    """Say which README it is that cannot be extended."""
    try:
        yield
    except CardError as error:
        raise CardError(f"{error} It is the README of {place}, and nothing was uploaded.") from error


def page_of(
    contents: Contents,
    remote: Remote,
    head: Head,
    wording: Wording,
    *,
    measured: MeasuredMerges | None,
    card_is_new: bool,
) -> Page:
    """Return the card and the badge of a release that goes up.

    Args:
        contents: the release.
        remote: where it goes.
        head: what is there.
        wording: tags, and the model that it was fine-tuned from, if known.
        measured: from `measured_of`.
        card_is_new: whether a README on the Hub goes before the one in the folder.

    Raises:
        CardError: the README cannot be extended.
    """
    local, there = text_of(contents.folder / README), remote.text(README, head)
    card = (there or local) if card_is_new else (local or there)
    with readme_of(remote.repo_id):
        stated = front_matter.read(front_matter.split(card or "")[0]).get("base_model")
    base, revision = (stated, None) if isinstance(stated, str) else wording.base_model or (None, None)
    facts = Facts(remote.repo_id, contents.record, config_of(contents.folder), measured, base)
    badge = badge_of(contents.record, intact=True, measured=measured)
    additions: dict[str, Any] = {}
    if base is not None:
        additions["base_model"] = {"id": base, "revision": revision}
    if measured is not None:
        additions["audit"] = summary(measured)
    with readme_of(remote.repo_id):
        text = render_card(card, facts, badge, tags=wording.tags)
    return Page({README: text.encode(), BADGE_FILE: badge.svg().encode()}, additions)


def refresh_badge(card: str | None, badge: Badge, *, name: str, shields: bool = False) -> Page:
    """Return a card, of ours or not, with the badge that is true now, and the picture.

    Args:
        card: its text; None writes one with a title and nothing else in it.
        badge: of the release.
        name: of the folder or the repository, for that title.
        shields: refer to a picture at shields.io in place of the one beside the card.
    """
    yaml_text, body = front_matter.split(card or "")
    if not body.strip():
        body = f"{'' if yaml_text is None else chr(10)}# {escape.markdown(name.split('/')[-1])}\n"
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
