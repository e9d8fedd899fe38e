"""`mergeguard negate`: what `negate_folder` does, a ranking from a file, and where the preset's name leads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mergeguard_hub.training import Criticality, negate_folder, rank_without_data
from tests.checkpoint.folders import snapshot
from tests.cli.library import run
from tests.training import pairs


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    source, base, _, _ = pairs.folders(tmp_path, "llama")
    return source, base


def test_negate_writes_what_the_function_writes(pair: tuple[Path, Path], tmp_path: Path) -> None:
    source, base = pair
    expected = negate_folder(source, base, tmp_path / "expected")
    shown = run("negate", "tuned", "out", "--base", "base")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "expected")
    assert f"{expected.negated:.1%} of the weights were negated" in shown.stdout
    assert "without samples of the task" in shown.stdout
    assert "cannot be undone: keep SRC" in shown.stdout


def test_a_ranking_from_a_file_decides_what_stays_whole(pair: tuple[Path, Path]) -> None:
    known = rank_without_data(*pair)
    turned = Criticality({layer: -drop for layer, drop in known.drops.items()}, known.layers, "exact", 3.0)
    turned.write("ranking.json")
    assert Criticality.read("ranking.json") == turned
    found = json.loads(run(*["negate", "tuned", "out", "--base", "base", "--ranking", "ranking.json", "--json"]).stdout)
    assert (found["ranking"], tuple(found["kept"]["."])) == (["exact"], turned.critical(0.1))
    assert set(turned.critical(0.1)).isdisjoint(known.critical(0.1))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("negate tuned out --base base --k 2", "k is 2.0, and must be a fraction"),
        ("negate tuned out --base base --ranking none.json", "none.json holds no ranking of layers"),
        ("negate tuned out --base base --exclude lm_haed*", "the pattern 'lm_haed\\*' excludes nothing"),
        (
            "negate tuned out --base base --granularity tensor --ranking ranking.json",
            "granularity is 'tensor', and the ranking that was given has layers of its own",
        ),
        ("negate tuned out --base tuned", "there is nothing to negate"),
        (
            "protect tuned out --preset mergeguard",
            "no preset: .*`mergeguard negate SRC DST --base BASE`",
        ),
        ("protect tuned out --preset trap2", "'trap2' is no preset: .* train with `HardeningLoss`"),
        ("inspect tuned --preset hardened", "'hardened' is no preset: "),
    ],
)
def test_what_cannot_be_done_is_said(pair: tuple[Path, Path], command: str, message: str) -> None:
    rank_without_data(*pair).write("ranking.json")
    shown = run(*command.split())
    assert shown.exit_code == 1
    assert not Path("out").exists()
    assert re.search(message, shown.stderr)
