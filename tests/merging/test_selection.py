"""The k-th largest magnitude by counting bits, against sorting."""

from __future__ import annotations

import pytest
import torch

from mergeguard_hub.merging.selection import kth_largest_magnitudes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["normal", "tiny", "huge", "ties", "zeros", "low precision"])
def test_is_what_sorting_finds(dtype: torch.dtype, kind: str) -> None:
    drawn = torch.randn(3, 1000, generator=torch.Generator().manual_seed(2), dtype=dtype)
    made = {
        "normal": drawn,
        "tiny": drawn * torch.finfo(dtype).tiny * 0.01,  # subnormal
        "huge": drawn / drawn.abs().max() * torch.finfo(dtype).max,
        "ties": drawn.round(),
        "zeros": torch.where(drawn > 1, drawn, 0),
        "low precision": drawn.bfloat16().to(dtype),
    }[kind]
    for k in (1, 2, 100, 999, 1000):
        expected = made.abs().sort(dim=1, descending=True).values[:, k - 1]
        found = kth_largest_magnitudes(
            lambda: (list(part) for part in made.split(300, dim=1)), count=3, k=k, wide=dtype == torch.float64
        )
        assert found == expected.tolist()
