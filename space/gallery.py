"""What each tab shows first, computed once and shipped: `python -m space.gallery [TAB ...]` makes the files again."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = Path(__file__).parent / "gallery"
_NOTE = (
    '<p class="mg-note mg-beforehand">Computed beforehand, by the same code; press the button to compute it now.</p>'
)


def first_view(slug: str) -> str:
    """Return what a tab shows before anything is run, marked as computed beforehand."""
    file = FOLDER / f"{slug}.html"
    if not file.exists():
        return ""
    return _NOTE + file.read_text(encoding="utf-8")


@click.command()
@click.argument("tabs", nargs=-1)
def main(tabs: tuple[str, ...]) -> None:
    """Compute the first views of the TABS named, or of all."""
    from space.pages import PAGES

    for page in PAGES:
        if page.first is not None and page.slug in (tabs or [page.slug]):
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / f"{page.slug}.html").write_text(page.first() + "\n", encoding="utf-8")
            print(f"{page.slug}: written")


if __name__ == "__main__":
    main()
