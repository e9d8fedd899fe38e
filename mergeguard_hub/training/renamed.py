"""Tensors under the names that a model has for them, and partners that fit it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from mergeguard_hub.errors import BaseModelError
from mergeguard_hub.training.adapters import is_factor
from mergeguard_hub.training.base_weights import check_pair
from mergeguard_hub.training.directions import Direction, TaskVector
from mergeguard_hub.training.sharded import local


class Renamed(Mapping[str, Tensor]):
    """Those of some tensors that are a model's, by its names, looked up when asked for; adapters' wrapping is seen.

    Raises:
        BaseModelError: none of the tensors is the model's.
    """

    def __init__(self, tensors: Mapping[str, Tensor], named: Collection[str]) -> None:
        known = {_plain(name): name for name in named}
        found = {known[name]: name for name in tensors if name in known}
        self._tensors, self._names = tensors, found | {name: name for name in tensors if name in named}
        if not self._names:
            raise BaseModelError(
                f"of the tensors given, such as {next(iter(tensors), None)!r}, none is among the model's, such as "
                f"{next(iter(known), None)!r}: they belong to another architecture, or to a wrapped model."
            )

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[self._names[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def fitting(partner: Direction, model: nn.Module, trained: Sequence[Tensor]) -> Renamed:
    """Return a partner under the model's names.

    A partner may leave tensors out, and may have some that the model has not; both at once are the same tensors by
    other names.

    Args:
        partner: what is added to the model's weights.
        model: the model, with adapters or without.
        trained: its trained parameters.

    Raises:
        BaseModelError: names or shapes differ, or the partner changes as the model is trained.
    """
    named = dict(model.named_parameters())
    found = Renamed(partner, named)
    _check_names(partner, found, model)
    for name in found:
        check_pair(name, named[name], found[name], of="the partner")
    memory = {local(weight).untyped_storage().data_ptr() for weight in trained} - {0}
    for name, tensor in partner.sources() if isinstance(partner, TaskVector) else partner.items():
        if local(tensor).untyped_storage().data_ptr() in memory:
            raise BaseModelError(
                f"the partner's task vector is computed from {name!r} of the model in training, and would change with "
                "it: give a copy of the base model (`copy.deepcopy`), or its folder."
            )
    return found


def _check_names(partner: Iterable[str], found: Renamed, model: nn.Module) -> None:
    parameters = dict(model.named_parameters(remove_duplicate=False))
    ours = {_plain(name) for name in (*parameters, *dict(model.named_buffers()))}
    missing = [
        _plain(name)
        for name, weight in model.named_parameters()
        if name not in found and weight.is_floating_point() and not is_factor(name)
    ]
    strange = [name for name in partner if name not in ours and name not in parameters]
    if missing and strange:
        raise BaseModelError(
            f"the partner has no tensor {missing[0]!r}, which the model has, but {strange[0]!r}, which the model has "
            "not: probably the same tensors by other names, as folders have them whose names change in loading. Give "
            "the partner and its base as loaded models; leave a head of another task out with `exclude`."
        )


def _plain(name: str) -> str:
    """Return the name that a parameter has without an adapter."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")
