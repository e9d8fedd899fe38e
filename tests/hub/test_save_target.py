"""Where a protected save goes, and what is in the way there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergeguard_hub.errors import TargetError
from mergeguard_hub.protection.key import Key
from tests.checkpoint.folders import snapshot
from tests.hub import zoo

KEY = Key(bytes(range(32)))


def test_not_to_the_current_folder(tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match="current folder"):
        zoo.guarded_llama().save_pretrained(".", key=KEY)
    assert Path.cwd() == tmp_path
    assert snapshot(tmp_path) == snapshot(private) == {}


@pytest.mark.parametrize("first", [{}, {"variant": "fp16"}, {"max_shard_size": "20KB"}])
def test_not_beside_another_variant(first: dict[str, str], tmp_path: Path) -> None:
    """It would delete the first, and one record cannot describe two sets of weights."""
    model = zoo.guarded_llama()
    model.save_pretrained(tmp_path / "out", key=KEY, **first)
    before = snapshot(tmp_path)
    with pytest.raises(TargetError, match="weights of another variant than model.bf16.safetensors.*another folder"):
        model.save_pretrained(tmp_path / "out", key=KEY, variant="bf16")
    assert snapshot(tmp_path) == before
    model.save_pretrained(tmp_path / "out", key=KEY, **first)
