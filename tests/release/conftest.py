"""Releases that several tests of one module look at."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from tests.release.releases import Made, Maker, make


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Give `made(family, preset, dtype)`, which protects once and then remembers."""

    @cache
    def remembered(family: str, preset: str, dtype: torch.dtype) -> Made:
        return make(family, preset, dtype, tmp_path_factory.mktemp(f"{family}-{preset}"))

    return remembered
