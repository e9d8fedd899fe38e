"""Gather the page, the library and the models in a folder to upload as a Space: `python -m space.bundle OUT`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

SPACE = Path(__file__).resolve().parent
PACKAGES = (SPACE, SPACE.parent / "mergeguard_hub")
TOP_LEVEL = ("README.md", "requirements.txt")
AUDITS = Path("docs", "audit")  # what the page reads its grids from
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "cache", "*.pt")
APP = "from space.app import main\n\nmain()\n"


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
def main(out: Path) -> None:
    """Write the Space's folder to OUT, which must not exist."""
    if out.exists():
        raise click.ClickException(f"{out} exists already: remove it, or name another folder.")
    for package in PACKAGES:
        shutil.copytree(package, out / package.name, ignore=LEFT_OUT)
    for name in TOP_LEVEL:
        shutil.copy2(SPACE / name, out / name)
    (out / AUDITS).mkdir(parents=True)
    for audit in sorted((SPACE.parent / AUDITS).glob("*.json")):
        shutil.copy2(audit, out / AUDITS)
    (out / "app.py").write_text(APP, encoding="utf-8")
    print(f"Upload {out} as a Space.")


if __name__ == "__main__":
    main()
