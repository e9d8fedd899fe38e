"""The tensors of a checkpoint as a mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from mergeguard_hub.checkpoint.folder import Checkpoint


class CheckpointTensors(Mapping[str, Tensor]):
    """The tensors of a checkpoint by name, each a view of its file that is made when it is asked for."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._checkpoint.entries:
            raise KeyError(name)
        return self._checkpoint.tensor(name)

    def __contains__(self, name: object) -> bool:
        return name in self._checkpoint.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._checkpoint.entries)

    def __len__(self) -> int:
        return len(self._checkpoint.entries)
