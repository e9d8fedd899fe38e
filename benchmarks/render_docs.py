"""Put measured tables into the documents: `python -m benchmarks.render_docs`, or `--check` to only compare.

A benchmark writes its table to `benchmarks/results/NAME.md`. In README.md and docs/*.md, what stands between
`<!-- begin:NAME -->` and `<!-- end:NAME -->` is replaced by that file, so no number in them was typed by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_MEASURED = "*Not measured yet.*"
_BLOCK = re.compile(r"<!-- begin:(?P<name>[a-z0-9-]+) -->\n(?P<body>.*?)<!-- end:(?P=name) -->", re.DOTALL)
_MARKER = re.compile(r"<!-- (begin|end):([a-z0-9-]+) -->")


class MarkerError(ValueError):
    """A document's markers do not pair up."""


def documents(root: Path) -> list[Path]:
    """Return the documents that may hold tables: the README and every page below docs/."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def render(text: str, results: Path) -> str:
    """Return `text` with every marked place filled from `results`; a table not measured yet is said to be so.

    Raises:
        MarkerError: a marker has no partner, or two places overlap.
    """
    markers = _MARKER.findall(text)
    pairs = list(zip(markers[::2], markers[1::2], strict=False))
    if len(markers) % 2 or any(a != ("begin", b[1]) or b[0] != "end" for a, b in pairs):
        raise MarkerError(f"begin and end markers do not pair up: {markers}. Each begin needs its end right after it.")

    def fill(match: re.Match[str]) -> str:
        source = results / f"{match['name']}.md"
        body = source.read_text(encoding="utf-8").strip() if source.is_file() else NOT_MEASURED
        return f"<!-- begin:{match['name']} -->\n{body}\n<!-- end:{match['name']} -->"

    return _BLOCK.sub(fill, text)


def stale(root: Path = ROOT) -> dict[Path, str]:
    """Return the documents whose tables are not those of benchmarks/results, each with what it should read."""
    found = {}
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        fresh = render(text, root / "benchmarks" / "results")
        if fresh != text:
            found[path] = fresh
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite what is stale, or with --check only name it and return 1."""
    parser = argparse.ArgumentParser(description="Fill the marked tables of README.md and docs/ from measured results.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a document is stale")
    check = parser.parse_args(arguments).check
    changed = stale()
    for path, text in changed.items():
        print(f"{'stale' if check else 'wrote'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
