"""Headers that lie: each kind is refused with a sentence that says what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError, safe_open

from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.errors import CheckpointError, InvalidCheckpointError, UnsupportedFormatError
from tests.checkpoint.folders import plain, raw_file, record, snapshot, write_single

DATA = bytes(16)
GOOD = {"a": record(), "b": record(offsets=[8, 16])}

LIES: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "0 bytes are too few"),
    "seven bytes": (b"\0" * 7, "7 bytes are too few"),
    "length beyond the file": (raw_file(GOOD, DATA)[:40], r"claims \d+ bytes, the whole file has 40"),
    "length of 2**63": (
        (2**63).to_bytes(8, "little") + DATA,
        "claims 9223372036854775808 bytes, the limit is 100000000",
    ),
    "length over the limit": ((100_000_001).to_bytes(8, "little") + DATA, "claims 100000001 bytes, the limit"),
    "no length": (bytes(64), "does not begin with '{'"),
    "pickle": (b"PK\3\4" + bytes(64), "claims 67324752 bytes, .* no safetensors file"),
    "git lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer.*git lfs pull"),
    "not JSON": (raw_file(b'{"a": '), "not valid JSON"),
    "not UTF-8": (raw_file(b'{"\xff": 1}'), "not valid JSON.*utf-8"),
    "not an object": (raw_file([1]), "does not begin with '{'"),
    "nested too deep": (raw_file(b'{"a":' + b"[" * 100_000), "not valid JSON"),
    "number too long": (raw_file(b'{"a":' + b"9" * 5000 + b"}"), "not valid JSON"),
    "same name twice": (raw_file(b'{"a":{},"a":{}}'), "the key 'a' appears twice"),
    "metadata is no map": (raw_file({"__metadata__": [1], **GOOD}, DATA), "__metadata__ is not a map"),
    "metadata holds a number": (raw_file({"__metadata__": {"n": 1}, **GOOD}, DATA), "__metadata__ is not a map"),
    "record is no object": (raw_file({"a": 3}), "record of tensor 'a' is not an object"),
    "no dtype": (raw_file({"a": {"shape": [2], "data_offsets": [0, 8]}}, DATA), "tensor 'a' has no dtype"),
    "no shape": (raw_file({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, DATA), "impossible shape None"),
    "negative size": (raw_file({"a": record(shape=[-2])}, DATA), r"impossible shape \[-2\]"),
    "size is true": (raw_file({"a": record(shape=[True, 2])}, DATA), r"impossible shape \[True, 2\]"),
    "size is a fraction": (raw_file({"a": record(shape=[2.0])}, DATA), r"impossible shape \[2\.0\]"),
    "size of 2**63": (raw_file({"a": record(shape=[0, 2**63], offsets=[0, 0])}), "impossible shape"),
    "shape overflows": (raw_file({"a": record(shape=[2**62] * 1000)}, DATA), "needs .* bytes or more, .* give it 8"),
    "no offsets": (raw_file({"a": {"dtype": "F32", "shape": [2]}}, DATA), "impossible offsets None"),
    "one offset": (raw_file({"a": record(offsets=[0])}, DATA), r"impossible offsets \[0\]"),
    "negative offset": (raw_file({"a": record(offsets=[-8, 0])}, DATA), r"impossible offsets \[-8, 0\]"),
    "offsets in reverse": (raw_file({"a": record(offsets=[8, 0])}, DATA), "claims bytes 8 to 0"),
    "offset beyond the file": (raw_file({"a": record(offsets=[16, 24])}, DATA), "bytes 16 to 24, the file has 16"),
    "truncated weights": (raw_file(GOOD, DATA)[:-1], "tensor 'b' claims bytes 8 to 16, the file has 15 of weights"),
    "too few bytes": (raw_file({"a": record(shape=[4])}, DATA), r"F32 and shape \[4\] needs 16 .*give it 8"),
    "too many bytes": (raw_file({"a": record(shape=[1])}, DATA), r"F32 and shape \[1\] needs 4 .*give it 8"),
    "overlap": (raw_file({"a": record(), "b": record(offsets=[4, 12])}, DATA), "'b' overlaps tensor 'a' by 4 bytes"),
    "same bytes twice": (raw_file({"a": record(), "b": record()}, DATA[:8]), "'b' overlaps tensor 'a' by 8 bytes"),
    "hole at the start": (raw_file({"a": record(offsets=[8, 16])}, DATA), "8 bytes between the header and tensor 'a'"),
    "hole in the middle": (
        raw_file({"a": record(), "b": record(offsets=[16, 24])}, bytes(24)),
        "8 bytes between tensor 'a' and tensor 'b' belong to no tensor",
    ),
    "bytes after the end": (raw_file(GOOD, DATA + b"x"), "1 bytes after tensor 'b' belong to no tensor"),
}
# safetensors takes the last of two equal names, and sizes that torch has no room for.
ACCEPTED = {"same name twice", "size of 2**63"}


def _open(folder: Path, data: bytes) -> Checkpoint:
    (folder / "model.safetensors").write_bytes(data)
    return Checkpoint.open(folder)


def test_the_table_starts_from_a_valid_file(tmp_path: Path) -> None:
    assert list(_open(tmp_path, raw_file(GOOD, DATA)).entries) == ["a", "b"]


@pytest.mark.parametrize("lie", LIES)
def test_lying_header(tmp_path: Path, lie: str) -> None:
    data, message = LIES[lie]
    with pytest.raises(InvalidCheckpointError, match=re.compile(f"model.safetensors.*{message}", re.DOTALL)) as caught:
        _open(tmp_path, data)
    assert str(caught.value).endswith(".")
    assert snapshot(tmp_path) == {"model.safetensors": data}


@pytest.mark.parametrize("lie", sorted(LIES.keys() - ACCEPTED))
def test_safetensors_refuses_them_too(tmp_path: Path, lie: str) -> None:
    """The table is about real lies: the library that defines the format accepts none of them but two."""
    (tmp_path / "model.safetensors").write_bytes(LIES[lie][0])
    with pytest.raises((SafetensorError, OSError)), safe_open(tmp_path / "model.safetensors", "pt") as file:
        file.keys()


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_every_truncation(tmp_path: Path, cut: int) -> None:
    write_single(tmp_path, plain())
    whole = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(InvalidCheckpointError, match=r"model\.safetensors: "):
        _open(tmp_path, whole[: len(whole) * cut // 200])


@pytest.mark.parametrize("code", ["F4", "F6_E2M3", "F6_E3M2"])
def test_dtypes_below_a_byte(tmp_path: Path, code: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=f"'a' has dtype {code}, which packs several weights"):
        _open(tmp_path, raw_file({"a": record(code, [2], [0, 1])}, b"\0"))


def test_unknown_dtype(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormatError, match="'a' has the unknown dtype 'F12'.*save it in one of BOOL"):
        _open(tmp_path, raw_file({"a": record("F12", [2], [0, 3])}, b"\0\0\0"))


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_never_end_in_another_error(tmp_path: Path, seed: int) -> None:
    """Flip one byte of the header: the file is refused in a sentence, or still describes its own bytes exactly."""
    whole = bytearray(raw_file(json.loads(json.dumps(GOOD)), DATA))
    position = seed * 2 % (len(whole) - len(DATA))
    whole[position] ^= 1 << seed % 8
    result: Any
    try:
        result = sum(entry.nbytes for entry in _open(tmp_path, bytes(whole)).entries.values())
    except CheckpointError as error:
        result = str(error)[-1]
    assert result in (".", len(DATA))
