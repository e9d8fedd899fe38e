"""The assignment of PaRaMS against every permutation there is, and against the paper's words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mergeguard_hub.architecture.space import Port, Space, rows
from mergeguard_hub.errors import BaseModelError
from mergeguard_hub.protection.mismatch import mismatch
from tests.reference import params

SIZE = 6


def _space(offset: int = 0) -> Space:
    at = rows(offset, SIZE)
    ports = (Port("w1", 0, at, scale=1), Port("b1", 0, at, scale=1), Port("w2", 1, at, scale=-1))
    return Space("mlp/units", "hidden_units", SIZE, ports, frozenset({"permute"}))


def _mlp(seed: int) -> params.Mlp:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(SIZE, 4)), generator.normal(size=SIZE), generator.normal(size=(4, SIZE))


def _tensors(mlp: params.Mlp) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in zip(("w1", "b1", "w2"), mlp, strict=True)}


@pytest.mark.parametrize("seed", range(5))
def test_no_other_permutation_is_farther_from_the_base(seed: int) -> None:
    base = _mlp(seed)
    mlp = tuple(part + 0.1 * other for part, other in zip(base, _mlp(seed + 100), strict=True))
    found = mismatch(_space(), read=_tensors(mlp).__getitem__, read_base=_tensors(base).__getitem__)
    moved = params.rearranged(mlp, np.eye(SIZE)[found])
    best = params.farthest(mlp, base)
    assert params.apart(moved, base) == pytest.approx(params.apart(params.rearranged(mlp, best), base), rel=1e-6)
    assert params.apart(moved, base) > 5 * params.apart(mlp, base)


def test_the_solution_and_not_its_inverse_is_returned() -> None:
    """Unit i of the release is unit `result[i]`: the base is zero but for one pair that must not meet."""
    mlp = (np.eye(SIZE), np.zeros(SIZE), np.zeros((4, SIZE)))
    wanted = np.roll(np.arange(SIZE), 1)  # a cycle, so no inverse of itself
    base = (-np.eye(SIZE)[wanted], np.zeros(SIZE), np.zeros((4, SIZE)))
    found = mismatch(_space(), read=_tensors(mlp).__getitem__, read_base=_tensors(base).__getitem__)
    assert found.tolist() == wanted.tolist()
    assert found.tolist() != np.argsort(wanted).tolist()


def test_units_inside_fused_tensors_are_found() -> None:
    base, mlp = _mlp(1), _mlp(2)
    fused = {name: torch.cat([t, t], 1 if name == "w2" else 0) for name, t in _tensors(mlp).items()}
    fused_base = {name: torch.cat([0 * t, t], 1 if name == "w2" else 0) for name, t in _tensors(base).items()}
    found = mismatch(_space(SIZE), read=fused.__getitem__, read_base=fused_base.__getitem__)
    plain = mismatch(_space(), read=_tensors(mlp).__getitem__, read_base=_tensors(base).__getitem__)
    assert found.tolist() == plain.tolist()


def test_other_shapes_and_broken_bases_are_refused() -> None:
    ours, base = _tensors(_mlp(1)), _tensors(_mlp(2))
    with pytest.raises(BaseModelError, match=r"w2 has shape \[4, 6\], in the base model \[3, 6\]"):
        mismatch(_space(), read=ours.__getitem__, read_base={**base, "w2": base["w2"][:3]}.__getitem__)
    broken = {**base, "b1": torch.full((SIZE,), float("inf"), dtype=torch.float64)}
    with pytest.raises(BaseModelError, match="mlp/units .* no finite product; the base model holds NaN or infinite"):
        mismatch(_space(), read=ours.__getitem__, read_base=broken.__getitem__)
