"""`mergeguard badge` and `mergeguard card`: what is true of a release now, written into its folder or repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from mergeguard_hub.errors import ModifiedReleaseError, NotProtectedError
from mergeguard_hub.hub.badge import badge_of
from mergeguard_hub.hub.card import BADGE_FILE, Facts, render_card
from mergeguard_hub.hub.contents import README
from mergeguard_hub.hub.front_matter import read, split
from mergeguard_hub.hub.measured import MeasuredMerges, read_measured
from mergeguard_hub.hub.page import Page, config_of, readme_of, refresh_badge, text_of
from mergeguard_hub.hub.remote import Destination, Head, Remote, told
from mergeguard_hub.hub.source import local_folder
from mergeguard_hub.release import SIDECAR, read_sidecar, verify_folder


def refresh(
    source: str | Path, what: Literal["badge", "card"], *, where: Destination | None = None, shields: bool = False
) -> str:
    """Bring the badge, or badge and card, of a release up to date.

    The weights are verified first, so a badge that says "protected" is put on nothing else; those that were changed
    since get one that says "modified", and no card. Everything else in the README stays as it is.

    Args:
        source: a folder, which is written to; or a Hub id, to which a commit is made.
        what: the badge alone, also in a README that is not ours; or the whole of our part of the card.
        where: branch, token and pull request for a Hub id.
        shields: refer to a picture at shields.io in place of the file beside the card.

    Returns:
        The badge's text.

    Raises:
        NotProtectedError: the weights carry no claim, or their record is missing.
        ModifiedReleaseError: a card was asked for, and the weights are not those of the record.
        CardError: the README cannot be extended.
        PushError: the Hub refuses; the repository is as it was.
    """
    folder = Path(source).expanduser()
    if folder.exists():
        page, badge = _page(folder, folder.resolve().name, text_of(folder / README), what, shields)
        for name, data in page.files.items():
            if not (folder / name).is_file() or (folder / name).read_bytes() != data:
                (folder / name).write_bytes(data)
        return badge
    where = where or Destination(str(source))
    token = where.token if isinstance(where.token, str) else None
    folder = local_folder(str(source), revision=where.revision, token=token)
    remote = Remote(where)
    with told(where):
        head = remote.head()
    card = remote.text(README, head)
    with readme_of(where.repo_id):
        read(split(card or "")[0])  # which the Hub would refuse, in its own words
        page, badge = _page(folder, where.repo_id, card, what, shields)
    _commit(remote, head, page, what)
    return badge


def _page(folder: Path, name: str, card: str | None, what: Literal["badge", "card"], shields: bool) -> tuple[Page, str]:
    found = verify_folder(folder)
    record = read_sidecar(folder)
    if found.state == "not protected" or (record is None and found.state == "protected"):
        raise NotProtectedError(
            f"{name} is no protected release with its {SIDECAR}, so there is nothing that a badge could say."
        )
    intact = found.state == "protected"
    measured = read_measured(folder, record["digest"]) if intact and record is not None else None
    badge = badge_of(record or {}, intact=intact, measured=measured)
    if what == "badge":
        return refresh_badge(card, badge, name=name, shields=shields), badge.title
    if not intact or record is None:
        raise ModifiedReleaseError(
            f"The weights of {name} were changed since they were protected ({found.claimed} became {found.actual}), so "
            "its card would be wrong. Protect them again, or put up the badge that says so: `mergeguard badge`."
        )
    return _whole(folder, name, card, record, measured), badge.title


def _whole(folder: Path, name: str, card: str | None, record: dict[str, Any], measured: MeasuredMerges | None) -> Page:
    base = read(split(card or "")[0]).get("base_model")
    stated = base if isinstance(base, str) else record.get("base_model", {}).get("id")
    badge = badge_of(record, intact=True, measured=measured)
    text = render_card(card, Facts(name, record, config_of(folder), measured, stated), badge)
    return Page({README: text.encode(), BADGE_FILE: badge.svg().encode()}, {})


def _commit(remote: Remote, head: Head, page: Page, what: str) -> None:
    from huggingface_hub import CommitOperationAdd

    from mergeguard_hub.hub.push import names_of

    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in page.files.items()]
    changed = [one for one in operations if head.files.get(one.path_in_repo) not in names_of(one)]
    if changed:
        remote.commit(changed, head, message=f"Refresh the {what} of mergeguard", description=None)
