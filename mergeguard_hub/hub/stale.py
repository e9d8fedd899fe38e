"""Which files of a repository are weights that the release does not have, in whatever layout."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from mergeguard_hub.hub.contents import NEVER

_SUFFIXES = (
    *(".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".flashpack"),
    *(".pt", ".pth", ".pt2", ".pte", ".ckpt", ".pkl", ".pickle", ".joblib", ".distcp", ".nemo", ".npz", ".npy"),
    *(".gguf", ".ggml", ".h5", ".hdf5", ".keras", ".tflite", ".msgpack", ".msgpack.index.json", ".ot", ".pdparams"),
    *(".onnx", ".onnx_data", ".mlmodel", ".engine", ".rknn", ".mlpackage"),
)


def is_weight_file(path: str) -> bool:
    """Return whether a file of a repository holds weights, lists their shards, or is optimizer state, by its name.

    >>> [is_weight_file(name) for name in ("model-00001-of-00002.safetensors", "unet/model.fp16.bin", "config.json")]
    [True, True, False]
    """
    name = PurePosixPath(path).name.lower()
    if name.endswith(_SUFFIXES) or ".safetensors.index." in name or ".bin.index." in name:
        return True
    parts = PurePosixPath(path).parts
    folders = [pattern.rstrip("/") for pattern in NEVER if pattern.endswith("/")]
    return any(fnmatchcase(part, pattern) for part in parts[:-1] for pattern in folders) or name.startswith(
        "optimizer."
    )


def stale_files(remote: Iterable[str], release: Collection[str], *, below: str = "") -> tuple[str, ...]:
    """Return the files that a push of a release deletes, sorted.

    Args:
        remote: every file of the repository.
        release: the files that the push leaves there.
        below: a folder; others are not looked at. The whole repository by default.
    """
    prefix = f"{below}/" if below else ""
    return tuple(
        sorted(name for name in remote if name.startswith(prefix) and name not in release and is_weight_file(name))
    )
