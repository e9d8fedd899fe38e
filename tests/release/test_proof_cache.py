"""Proofs between processes: found again as they were, and only where nothing they depend on has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mergeguard_hub.architecture.miniature import PLAIN, Miniature, Prefix
from mergeguard_hub.architecture.prove import prove
from mergeguard_hub.release import proof_cache
from mergeguard_hub.release.proof_cache import OVERRIDE, keep_proof, proof_file, read_proof
from mergeguard_hub.release.study import _proof

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Proofs are kept here."""
    monkeypatch.setenv(OVERRIDE, str(tmp_path / "proofs"))
    _proof.cache_clear()
    return tmp_path / "proofs"


def _forbidden(config: object, prefix: Prefix) -> None:
    raise RuntimeError("nothing should be proved here")


def test_a_kept_proof_is_used_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(LLAMA, sort_keys=True)
    found = _proof(text, PLAIN)
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]
    _proof.cache_clear()
    monkeypatch.setattr("mergeguard_hub.release.study.prove_config", _forbidden)
    assert _proof(text, PLAIN) == found


def test_any_change_proves_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [proof_file(LLAMA), proof_file({**LLAMA, "rope_theta": 5e5}), proof_file(LLAMA, Prefix("mine."))]
    real = proof_cache._version
    monkeypatch.setattr(proof_cache, "_version", lambda name: "0" if name == "torch" else real(name))
    files.append(proof_file(LLAMA))
    monkeypatch.setattr(proof_cache, "_version", real)
    monkeypatch.setattr(proof_cache, "_source_digest", lambda cls: "other")
    files.append(proof_file(LLAMA))
    assert len(set(files)) == 5


def test_off_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OVERRIDE, "off")
    assert proof_file(LLAMA) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"proof": {}}', b"\xff"])
def test_a_damaged_file_is_no_proof(folder: Path, damage: bytes) -> None:
    folder.mkdir(mode=0o700)
    path = folder / "x.json"
    path.write_bytes(damage)
    assert read_proof(path) is None


def test_what_others_may_write_is_not_read(folder: Path) -> None:
    path = proof_file(LLAMA)
    assert path is not None
    miniature = Miniature(LLAMA)
    found = prove(miniature), miniature.full_config
    keep_proof(path, found)
    assert read_proof(path) == found
    path.chmod(0o666)
    assert read_proof(path) is None
    path.chmod(0o600)
    folder.chmod(0o777)
    assert read_proof(path) is None


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    miniature = Miniature(LLAMA)
    keep_proof(tmp_path / "file" / "x.json", (prove(miniature), miniature.full_config))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
