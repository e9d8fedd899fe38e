"""What a release promises, over every family, preset and dtype."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from mergeguard_hub.protection import PRESETS
from mergeguard_hub.release import SIDECAR, protect_folder, unlock_folder, verify_folder
from tests import tiny
from tests.checkpoint.folders import snapshot
from tests.release.releases import KEY, OTHER_KEY, Made, Maker, distance, weights

WIDE = (torch.float32, torch.bfloat16)
CASES = [(family, preset, dtype) for family in tiny.FAMILIES for preset in PRESETS for dtype in WIDE] + [
    (family, "exact", dtype) for family in tiny.FAMILIES for dtype in (torch.float16, torch.float64)
]
# Largest relative output error, in float32 arithmetic. Exact recipes only reorder sums; others round every weight once.
ROUNDED = {torch.float32: 1e-5, torch.bfloat16: 3e-2}
REORDERED = 1e-5
BLOCKS = {torch.float32: 1e-6, torch.bfloat16: 8e-3}
# T5 does not divide attention scores by the square root of the width, so wide random weights saturate its softmax.
AMPLIFIES = {"flan_t5": 10.0}
# One rounding there and one back: errors of half a unit in the last place, relative to a row of the weights.
RESTORED = {torch.float32: 2e-7, torch.bfloat16: 1e-2}

cases = pytest.mark.parametrize(
    ("family", "preset", "dtype"), CASES, ids=[f"{f}-{p}-{str(d).removeprefix('torch.')}" for f, p, d in CASES]
)
families = pytest.mark.parametrize("family", list(tiny.FAMILIES))


def _outputs(found: Made, folder: Path) -> dict[str, torch.Tensor]:
    """Load as a stranger would, then answer in float32 so that only the weights' own rounding shows."""
    loaded = tiny.load(found.model, folder)
    assert type(loaded) is type(found.model)
    assert loaded.dtype == found.model.dtype
    loaded = loaded if loaded.dtype == torch.float64 else loaded.float()
    answers = tiny.outputs(loaded)
    # With logits there, hidden states are inner ones: they come in the release's own order of channels.
    return {name: value for name, value in answers.items() if "logits" not in answers or "hidden_state" not in name}


@cases
def test_loads_silently_and_answers_the_same(
    made: Maker,
    family: str,
    preset: str,
    dtype: torch.dtype,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    found = made(family, preset, dtype)
    expected = _outputs(found, found.raw)
    capfd.readouterr()
    with caplog.at_level(logging.WARNING):
        answers = _outputs(found, found.release)
    assert [record.getMessage() for record in caplog.records] == []
    assert "warn" not in capfd.readouterr().err.lower()
    allowed = (REORDERED if preset == "exact" else ROUNDED[dtype]) * AMPLIFIES.get(family, 1.0)
    assert answers.keys() == expected.keys()
    for name, value in expected.items():
        assert distance(value, answers[name]) <= allowed, name


@cases
def test_moves_weights_and_nothing_else(made: Maker, family: str, preset: str, dtype: torch.dtype) -> None:
    """Names, shapes, dtypes, shards and every other file stay; with `exact` most weights of blocks move."""
    found = made(family, preset, dtype)
    assert snapshot(found.raw) == found.before
    after = snapshot(found.release)
    assert after.keys() == found.before.keys() | {SIDECAR}
    for name, content in found.before.items():
        if name.endswith(".safetensors"):
            header = 8 + int.from_bytes(content[:8], "little")
            assert after[name][:header] == content[:header]
            assert len(after[name]) == len(content)
            assert after[name] != content
        elif name == "config.json":
            configured = json.loads(after[name])
            claim = configured.pop("_mergeguard", None) or configured.pop("mergeguard")
            assert configured == json.loads(content)
            assert claim == {"version": 1, "id": found.report.id, "digest": found.report.digest}
        else:
            assert after[name] == content
    assert _moved(found) >= (0.8 if preset == "exact" else 0.1)
    assert found.report.components[0].covered >= (0.8 if preset == "exact" else 0.1)


def _moved(found: Made) -> float:
    """Return the fraction of the weights of attentions and MLPs that are other numbers than before."""
    raw, release = weights(found.raw), weights(found.release)
    inside = [
        name for name, weight in raw.items() if weight.ndim in (2, 3) and any(p.isdigit() for p in name.split("."))
    ]
    changed = sum(int((raw[name] != release[name]).sum()) for name in inside)
    return changed / sum(raw[name].numel() for name in inside)


@cases
def test_unlocks(made: Maker, tmp_path: Path, family: str, preset: str, dtype: torch.dtype) -> None:
    """Exact recipes to the byte, files beside the weights included; others within one rounding there and back."""
    found = made(family, preset, dtype)
    report = unlock_folder(found.release, tmp_path / "unlocked", key=KEY)
    assert report == found.report
    after = snapshot(tmp_path / "unlocked")
    if preset == "exact":
        assert after == found.before
        return
    beside = {name for name in found.before if not name.endswith(".safetensors")}
    assert {name: after[name] for name in beside} == {name: found.before[name] for name in beside}
    restored = weights(tmp_path / "unlocked")
    for name, weight in weights(found.raw).items():
        assert distance(weight, restored[name]) <= RESTORED[dtype], name


@cases
def test_verifies(made: Maker, family: str, preset: str, dtype: torch.dtype) -> None:
    found = made(family, preset, dtype)
    component = found.report.components[0]
    checked = verify_folder(found.release, against=found.raw)
    assert (checked.state, checked.ok) == ("protected", True)
    assert checked.claimed == checked.actual == found.report.digest
    assert checked.drift[""] == pytest.approx(component.model_drift, rel=0.06)
    assert component.block_drift is not None
    assert component.block_drift <= (1e-6 if preset == "exact" else BLOCKS[dtype])


@families
def test_the_same_key_gives_the_same_bytes(made: Maker, tmp_path: Path, family: str) -> None:
    """The record included; with threads too."""
    found = made(family, "exact", torch.float32)
    protect_folder(found.raw, tmp_path / "again", key=KEY, workers=2)
    assert snapshot(tmp_path / "again") == snapshot(found.release)


@families
def test_another_key_gives_other_weights(made: Maker, tmp_path: Path, family: str) -> None:
    found = made(family, "exact", torch.float32)
    protect_folder(found.raw, tmp_path / "other", key=OTHER_KEY, verify=False)
    one, other = weights(found.release), weights(tmp_path / "other")
    moved = [name for name, weight in one.items() if weight.ndim == 2 and not torch.equal(weight, other[name])]
    assert len(moved) >= 0.8 * sum(weight.ndim == 2 for weight in one.values())
