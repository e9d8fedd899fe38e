"""Protect a visitor's model with a new key, pack the release, and keep neither."""

from __future__ import annotations

import os
import tempfile
import zipfile
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mergeguard_hub import Key, Report, protect_folder, push_folder
from mergeguard_hub.hub.badge import badge_of
from mergeguard_hub.release.sidecar import read_sidecar
from space.release import workspace


@dataclass(frozen=True)
class Protected:
    """A release on its way to its owner.

    Attributes:
        report: what was done.
        key: the text of the key file. It is held by nobody but the visitor.
        badge: the badge's picture, SVG.
        archive: a zip of the release, or None where it was pushed instead.
        address: id of the repository that it was pushed to, or "".
    """

    report: Report
    key: str
    badge: str
    archive: Path | None = None
    address: str = ""


def protect(folder: Path, preset: str, *, repository: str = "", token: str | None = None) -> Protected:
    """Protect a model folder with a new key.

    Args:
        folder: only read.
        preset: name of a recipe.
        repository: push the release there; "": pack it into an archive. The archive is in a folder that goes with it.
        token: the visitor's own, for pushing.

    Raises:
        MergeGuardError: it cannot be protected or pushed.
    """
    key = Key.generate()
    with tempfile.TemporaryDirectory(prefix="yours-", dir=workspace()) as place:
        release = Path(place) / "release"
        report = protect_folder(folder, release, recipe=preset, key=key)
        record = read_sidecar(release)
        badge = badge_of(record or {}, intact=True).svg()
        if repository:
            pushed = push_folder(release, repository, token=token)
            return Protected(report, key.text(), badge, address=pushed.repo_id)
        return Protected(report, key.text(), badge, archive=_packed(release, report.id))


def _packed(release: Path, name: str) -> Path:
    """Return a zip of the release, stored and not compressed: weights do not get smaller."""
    descriptor, target = tempfile.mkstemp(prefix=f"release-{name}-", suffix=".zip", dir=workspace())
    with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(release.rglob("*")):
            if path.is_file():
                archive.write(path, f"release/{path.relative_to(release).as_posix()}")
    return Path(target)


def render(done: Protected) -> str:
    """Return what a visitor is told, the badge included; the key is shown beside it."""
    report = done.report
    moved = "; ".join(
        f"{part.name or part.architecture}: {100 * part.covered:.0f}% of attention and MLP weights moved"
        + (f", outputs apart by {part.model_drift:.1e}" if part.model_drift is not None else "")
        for part in report.components
    )
    where = (
        f"It is in {done.address} on the Hub." if done.address else "Download it below; it is removed from here soon."
    )
    words = f"Protected with {report.recipe}. {moved}. {where}"
    return (
        f'<div class="mg-result"><p class="mg-verdict" role="status">{escape(words)}</p>'
        f"<p>The badge of its card: {done.badge}</p>"
        "<p>The key gives the original back. It is shown once and not kept here: copy it into a file of your own, "
        "readable by you alone, and then <code>mergeguard unlock release original --key FILE</code>.</p></div>"
    )
