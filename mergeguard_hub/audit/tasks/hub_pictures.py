"""Labelled pictures from a dataset, by the `datasets` library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from mergeguard_hub.errors import TaskError

if TYPE_CHECKING:
    from PIL.Image import Image


class Pictures(Sequence["Image"]):
    """One column of a dataset, decoded when it is asked for."""

    def __init__(self, dataset: Any, column: str) -> None:
        self._dataset, self._column = dataset, column

    def __len__(self) -> int:
        return len(self._dataset)

    @overload
    def __getitem__(self, place: int) -> Image: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Image]: ...
    def __getitem__(self, place: int | slice) -> Image | Sequence[Image]:
        found: Image | Sequence[Image] = self._dataset[place][self._column]
        return found


def read_dataset(
    path_or_id: str, *, split: str, revision: str | None = None
) -> tuple[Pictures, tuple[int, ...], tuple[str, ...]]:
    """Return pictures, labels and names of the classes of a dataset on the Hub or in a folder.

    Raises:
        TaskError: `datasets` is not installed, or the dataset lacks pictures or class labels.
    """
    try:
        import datasets
    except ImportError:
        raise TaskError(
            f"{path_or_id} is read with datasets, which is not installed: pip install 'mergeguard-hub[audit]'"
        ) from None
    found = datasets.load_dataset(path_or_id, split=split, revision=revision)
    columns = {kind: _column(found.features, kind) for kind in ("Image", "ClassLabel")}
    for kind, name in columns.items():
        if name is None:
            have = ", ".join(f"{column}: {type(feature).__name__}" for column, feature in found.features.items())
            raise TaskError(
                f"{path_or_id} has no column of kind {kind}, but {have}: it is no dataset of labelled pictures; give "
                "another, or build the ClassificationTask from its pictures and labels yourself."
            )
    labels = str(columns["ClassLabel"])
    return (
        Pictures(found, str(columns["Image"])),
        tuple(found[labels]),
        tuple(found.features[labels].names),
    )


def _column(features: Any, kind: str) -> str | None:
    return next((name for name, feature in features.items() if type(feature).__name__ == kind), None)
