"""Tables in the documents are the measured ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import render_docs


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "README.md").write_text("a\n<!-- begin:speed -->\nold\n<!-- end:speed -->\nb\n")
    return tmp_path


def test_a_marked_place_takes_its_result(tree: Path) -> None:
    (tree / "benchmarks" / "results" / "speed.md").write_text("| x |\n|---|\n\n")
    expected = "a\n<!-- begin:speed -->\n| x |\n|---|\n<!-- end:speed -->\nb\n"
    assert render_docs.stale(tree) == {tree / "README.md": expected}
    (tree / "README.md").write_text(expected)
    assert render_docs.stale(tree) == {}


def test_what_was_not_measured_is_said(tree: Path) -> None:
    assert render_docs.NOT_MEASURED in render_docs.stale(tree)[tree / "README.md"]


@pytest.mark.parametrize(
    "text",
    [
        "<!-- begin:a -->\n",
        "<!-- end:a -->\n<!-- begin:a -->\n",
        "<!-- begin:a -->\n<!-- end:b -->\n",
        "<!-- begin:a -->\n<!-- begin:b -->\n<!-- end:b -->\n<!-- end:a -->\n",
    ],
)
def test_markers_that_do_not_pair_up_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(render_docs.MarkerError, match="do not pair up"):
        render_docs.render(text, tmp_path)


def test_no_document_of_this_repository_is_stale() -> None:
    assert [str(path.relative_to(render_docs.ROOT)) for path in render_docs.stale()] == []
