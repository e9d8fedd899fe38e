"""The files below a checkpoint folder, and which of them hold weights."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from mergeguard_hub.errors import CheckpointError, MissingFileError, UnsafePathError, UnsupportedFormatError

# Version control and download caches: the Hub's own upload leaves them out too, and .git/lfs holds raw weights.
LEFT_OUT = frozenset({".git", ".cache", "__pycache__"})
SAFETENSORS = ".safetensors"
_WEIGHT_SUFFIXES = (
    SAFETENSORS,
    *(".bin", ".pt", ".pth", ".pt2", ".pte", ".ckpt", ".pkl", ".pickle", ".joblib", ".distcp", ".nemo"),  # PyTorch
    *(".gguf", ".ggml", ".h5", ".hdf5", ".keras", ".tflite", ".msgpack", ".ot", ".npz", ".npy", ".pdparams"),
    *(".onnx", ".onnx_data", ".mlmodel", ".engine", ".flashpack"),
)
# The Trainer leaves its pickled arguments beside every model; they hold no weights. The bound is our choice.
_HARMLESS_NAME, _HARMLESS_BYTES = "training_args.bin", 1 << 20
_NAMES_SHOWN = 5


def shown(names: Iterable[str]) -> str:
    """Return the first names of a list for a message, with the number of the others."""
    listed = sorted(names)
    text = ", ".join(listed[:_NAMES_SHOWN])
    return text if len(listed) <= _NAMES_SHOWN else f"{text} and {len(listed) - _NAMES_SHOWN} more"


def excluded(path: str, patterns: Sequence[str]) -> bool:
    """Return whether a relative POSIX path matches one of the patterns; `*` also matches "/", "name/" a folder.

    >>> excluded("original/model.pth", ["*.pth"]), excluded("original/a.json", ["original/"])
    (True, True)
    """
    return any(fnmatchcase(path, pattern + "*" if pattern.endswith("/") else pattern) for pattern in patterns)


def patterns_of(exclude: str | Iterable[str]) -> tuple[str, ...]:
    """Return what a caller gave as patterns as a tuple; a single text is one pattern, not its letters.

    >>> patterns_of("notes.txt"), patterns_of(["a", "b"])
    (('notes.txt',), ('a', 'b'))
    """
    return (exclude,) if isinstance(exclude, str) else tuple(exclude)


def check_folder(root: Path) -> None:
    """Refuse what is not a readable folder.

    Raises:
        MissingFileError: if there is no such folder.
    """
    if not root.exists():
        raise MissingFileError(f"{root} does not exist. Check the path of the checkpoint folder.")
    if not root.is_dir():
        raise MissingFileError(f"{root} is a file, not a checkpoint folder. Give the folder that holds it.")


def list_files(root: Path, *, exclude: Sequence[str] = (), prefix: str = "") -> tuple[str, ...]:
    """Return the regular files below `root`, sorted, as relative POSIX paths. Links to files count as files.

    Args:
        root: an existing folder.
        exclude: `fnmatch` patterns on `prefix` + path, of what is left out on purpose.
        prefix: path of `root` in the pipeline folder it belongs to, ending in "/".

    Raises:
        UnsafePathError: if a folder below is a symbolic link.
        MissingFileError: if a link leads nowhere.
        UnsupportedFormatError: if something is neither a file nor a folder.
        CheckpointError: if a folder cannot be read.
    """
    return tuple(sorted(_walk(root, patterns_of(exclude), prefix)))


def _walk(root: Path, exclude: Sequence[str], prefix: str) -> Iterator[str]:
    for folder, folders, names in os.walk(root, onerror=_refuse_unreadable):
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        kept = []
        for name in sorted(folders):
            path = str(here / name)
            if name in LEFT_OUT or excluded(prefix + path, exclude) or excluded(prefix + path + "/", exclude):
                continue
            if (root / path).is_symlink():
                raise UnsafePathError(
                    f"{root}: {path!r} is a symbolic link to a folder and may lead outside. "
                    "Put the real folder there, or leave it out with exclude=."
                )
            kept.append(name)
        folders[:] = kept
        for name in names:
            path = str(here / name)
            if not excluded(prefix + path, exclude):
                _check_file(root, path)
                yield path


def _refuse_unreadable(error: OSError) -> None:
    raise CheckpointError(f"{error.filename} cannot be read ({error.strerror}). Check its permissions.") from error


def _check_file(root: Path, path: str) -> None:
    try:
        mode = (root / path).stat().st_mode
    except OSError as error:
        raise MissingFileError(
            f"{root}: {path!r} is a link that leads nowhere, or cannot be read ({error.strerror}). "
            "Download the checkpoint again."
        ) from error
    if not stat.S_ISREG(mode):
        raise UnsupportedFormatError(
            f"{root}: {path!r} is neither a file nor a folder. Remove it, or leave it out with exclude=."
        )


def holds_weights(root: Path, path: str) -> bool:
    """Return whether a file holds weights, going by its name."""
    name = PurePosixPath(path).name
    if name == _HARMLESS_NAME and (root / path).stat().st_size <= _HARMLESS_BYTES:
        return False
    return name.lower().endswith(_WEIGHT_SUFFIXES)


def refuse_weights(root: Path, paths: Iterable[str], *, beside: str) -> None:
    """Refuse weight files that would be published as they are.

    Args:
        root: the folder.
        paths: files that are to be copied unchanged.
        beside: what they lie beside, for the message.

    Raises:
        UnsupportedFormatError: if any of them holds weights; it names them.
    """
    extra = [path for path in paths if holds_weights(root, path)]
    if extra:
        raise UnsupportedFormatError(
            f"{root} holds weights beside {beside}: {shown(extra)}. Copying them would publish raw weights. "
            "Remove them, or leave them out with exclude=."
        )
