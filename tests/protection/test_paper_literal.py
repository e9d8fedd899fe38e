"""Protected models against the papers' own formulas, applied in numpy with the same drawn numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mergeguard_hub.architecture.action import Mix, Monomial
from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.protection import Facts, HeadMix, HeadScaling, Key, Recipe, UnitRearrangement
from mergeguard_hub.protection.actions import draw_actions
from mergeguard_hub.release import protect_folder
from mergeguard_hub.release.draft import salt_of
from mergeguard_hub.release.study import study
from tests import tiny
from tests.reference import mergelock, params
from tests.release.releases import fine_tuned, weights

KEY = Key(bytes(range(32)))
HEADS, WIDTH = 4, 8
LAYERS = [f"vit.encoder.layer.{number}." for number in (0, 1)]
Floats = NDArray[np.float64]
Head = tuple[
    Floats, Floats, Floats, Floats
]  # queries, keys, values [d + 1, d_h] with the bias as last row; out [d_h, d]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(fine_tuned("vit", torch.float64), tmp_path_factory.mktemp("vit") / "raw")


def _released(raw: Path, place: Path, recipe: Recipe, base: Path | None = None) -> tuple[Any, Any, dict[str, Any]]:
    """Return the original's weights, the release's, and space name -> drawn action."""
    protect_folder(raw, place / "release", recipe=recipe, key=KEY, base=base)
    checkpoint = Checkpoint.open(raw)
    dtypes = {name: entry.dtype for name, entry in checkpoint.entries.items()}
    facts = Facts(dtypes, salt=salt_of(checkpoint, KEY))
    spaces = study(checkpoint).layout.spaces
    drawn = draw_actions(spaces, recipe=recipe, key=KEY, component="", facts=facts)
    arrays = [{name: w.numpy() for name, w in weights(folder).items()} for folder in (raw, place / "release")]
    return arrays[0], arrays[1], {one.space.name: one.action for one in drawn}


def _heads(w: dict[str, Floats], layer: str) -> list[Head]:
    """Cut the heads out of one ViT layer, turned into the row-vector convention."""
    inner, out = f"{layer}attention.attention.", w[f"{layer}attention.output.dense.weight"].T
    columns = {
        part: np.vstack([w[f"{inner}{part}.weight"].T, w[f"{inner}{part}.bias"]]) for part in ("query", "key", "value")
    }
    cuts = [slice(h * WIDTH, (h + 1) * WIDTH) for h in range(HEADS)]
    return [(*(columns[part][:, at] for part in ("query", "key", "value")), out[at]) for at in cuts]  # type: ignore[misc]


def _same(one: Head, other: Head) -> bool:
    return all(np.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", ["orthogonal", "invertible"])
def test_head_mix_is_mergelock(raw: Path, tmp_path: Path, kind: Any) -> None:
    """Our keys take M and values take M, so the paper's A is M^-1 and its B is M^T."""
    original, release, drawn = _released(raw, tmp_path, Recipe([HeadMix(kind=kind)]))
    x = np.random.default_rng(0).normal(size=(5, WIDTH * HEADS))
    x = np.hstack([x, np.ones((5, 1))])
    for layer in LAYERS:
        for number, (head, after) in enumerate(zip(_heads(original, layer), _heads(release, layer), strict=True)):
            keys = drawn[f"{layer}attention.attention/keys.{number}"]
            values = drawn[f"{layer}attention.attention/values.{number}"]
            assert isinstance(keys, Mix)
            assert isinstance(values, Mix)
            locked = mergelock.locked_head(*head, a=np.linalg.inv(keys.matrix), b=values.matrix.T)
            assert _same(after, locked)
            assert not _same(after, head)
            assert np.allclose(mergelock.attended(x, *after), mergelock.attended(x, *head), atol=1e-10)
    moved = {name for name in original if not np.array_equal(original[name], release[name])}
    assert moved == {name for name in original if ".attention." in name and not name.endswith("output.dense.bias")}


def test_head_scaling_and_rearrangement_are_params(raw: Path, tmp_path: Path) -> None:
    """Without rotary embeddings it is the literal form, one factor U(0.05, 20) per dimension."""
    recipe = Recipe([UnitRearrangement(), HeadScaling()])
    original, release, drawn = _released(raw, tmp_path, recipe)
    for layer in LAYERS:
        heads = _heads(original, layer)
        a = [1 / drawn[f"{layer}attention.attention/keys.{number}"].scales for number in range(HEADS)]
        b = [drawn[f"{layer}attention.attention/values.{number}"].scales for number in range(HEADS)]
        assert all(0.05 <= s.min() < s.max() <= 20 for s in (*b, *(1 / s for s in a)))
        scaled = params.scaled_heads(*(list(part) for part in zip(*heads, strict=True)), a, b)
        for number, after in enumerate(_heads(release, layer)):
            assert _same(after, tuple(part[number] for part in scaled))  # type: ignore[arg-type]
        permutation = np.eye(56)[_units(drawn, layer).permutation]
        for mine, expected in zip(
            _mlp(release, layer), params.rearranged(_mlp(original, layer), permutation), strict=True
        ):
            assert np.array_equal(mine, expected)


def test_mismatch_is_as_far_from_the_base_as_a_permutation_gets(raw: Path, tmp_path: Path) -> None:
    """Farther than any of a thousand random ones, and than the fine-tuned model itself."""
    base = tiny.save(tiny.vit(dtype=torch.float64), tmp_path / "base")
    recipe = Recipe([UnitRearrangement(assignment="mismatch")])
    original, release, _ = _released(raw, tmp_path, recipe, base)
    pretrained = {name: w.numpy() for name, w in weights(base).items()}
    generator = np.random.default_rng(0)
    for layer in LAYERS:
        mine, start, there = (_mlp(w, layer) for w in (release, original, pretrained))
        tried = [params.rearranged(start, np.eye(56)[generator.permutation(56)]) for _ in range(1000)]
        assert params.apart(mine, there) > max(params.apart(one, there) for one in tried)
        assert params.apart(mine, there) > 100 * params.apart(start, there)
        assert sorted(map(tuple, mine[0])) == sorted(map(tuple, start[0]))


def _units(drawn: dict[str, Any], layer: str) -> Monomial:
    (found,) = [a for name, a in drawn.items() if name.startswith(layer.rstrip(".")) and name.endswith("units")]
    assert isinstance(found, Monomial)
    return found


def _mlp(w: dict[str, Floats], layer: str) -> params.Mlp:
    into, out = f"{layer}intermediate.dense", f"{layer}output.dense.weight"
    return w[f"{into}.weight"], w[f"{into}.bias"], w[out]
