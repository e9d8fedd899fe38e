"""What a configuration of mergekit sets for each model and for all, as far as it is one number for every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.method import MergeMethod
from mergeguard_hub.merging.settings import Weights, weights_for

OTHERWISE = "Run mergekit itself for it: mergeguard_hub.merging.engines.merge_with_mergekit."
_PARAMETERS = frozenset({"weight", "normalize", "lambda", "density", "rescale", "gamma", "t", "filter_wise"})
_IGNORED = frozenset({"int8_mask"})  # saves mergekit memory and changes no number
Row = tuple[str, Mapping[str, Any]]  # model, its parameters


@dataclass(frozen=True)
class MergekitSettings:
    """The base model, the models, and the parameters of a configuration.

    Attributes:
        base: the base model, if one is named.
        rows: the models in order, each with its parameters; the base may be among them.
        shared: the parameters of all models.
    """

    base: str | None
    rows: tuple[Row, ...]
    shared: Mapping[str, Any]

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> MergekitSettings:
        """Take the settings from a parsed configuration.

        Raises:
            MergeError: a model or a parameter is none that is read here.
        """
        return cls(content.get("base_model"), _rows(content.get("models")), _checked(content.get("parameters") or {}))

    @property
    def layout(self) -> str:
        """The model whose config and layout the merge gets: the base, else the first."""
        return self.base if self.base is not None else self.rows[0][0]

    def models(self, method: type[MergeMethod]) -> tuple[str, ...]:
        """Return the models that a method merges: without the base, where that is not one of them."""
        return tuple(name for name, _ in self._merged(method))

    def one(self, name: str, default: Any) -> Any:
        """Return a parameter that all models share.

        Raises:
            MergeError: it is missing, differs between models, or is no single number.
        """
        rows = [row for model, row in self.rows if model != self.base] or [{}]
        values = {_value(name, row.get(name, self.shared.get(name, default))) for row in rows}
        if len(values) != 1 or None in values:
            given = " and ".join(sorted(str(value) for value in values))
            raise MergeError(f"{name} is {given}, and must be one number for all models. {OTHERWISE}")
        return values.pop()

    def weights(self, method: type[MergeMethod], *, normalize: bool = False) -> Weights:
        """Return the weight of each model, divided by their sum if that is asked for.

        Raises:
            MergeError: a model has none, or it is no single number.
        """
        found = []
        for model, row in self._merged(method):
            value = _value("weight", row.get("weight", self.shared.get("weight")))
            if value is None:
                raise MergeError(f"{model} has no weight; give one in its parameters or for all models.")
            found.append(float(value))
        return weights_for(tuple(found), len(found), normalize=normalize)

    def must(self, name: str, expected: bool, *, default: bool) -> None:
        """Refuse a switch in the position that our method has not.

        Raises:
            MergeError: it is in the other one.
        """
        if bool(self.one(name, default)) is not expected:
            raise MergeError(f"{name} is {not expected} here, and only {expected} is shared. {OTHERWISE}")

    def _merged(self, method: type[MergeMethod]) -> tuple[Row, ...]:
        if not method.needs_base:
            return self.rows
        if self.base is None:
            raise MergeError(f"{method.title} needs a base_model, and the configuration names none.")
        return tuple(row for row in self.rows if row[0] != self.base)


def _rows(models: object) -> tuple[Row, ...]:
    if not isinstance(models, list) or not models:
        raise MergeError(f"models is {models!r}, and must be a list of models with their parameters.")
    for row in models:
        if (
            not isinstance(row, Mapping)
            or not isinstance(row.get("model"), str)
            or row.keys() - {"model", "parameters"}
        ):
            raise MergeError(f"{row!r} is no model: give the keys model (a path or Hub id) and parameters. {OTHERWISE}")
        if "+" in row["model"] and not Path(row["model"]).exists():
            raise MergeError(f"{row['model']!r} adds a LoRA to a model, which is not read here. {OTHERWISE}")
    return tuple((row["model"], _checked(row.get("parameters") or {})) for row in models)


def _checked(parameters: object) -> Mapping[str, Any]:
    if not isinstance(parameters, Mapping):
        raise MergeError(f"parameters are {parameters!r}, and must be names with values.")
    unknown = sorted(parameters.keys() - _PARAMETERS - _IGNORED)
    if unknown:
        raise MergeError(f"The parameter {unknown[0]!r} is not shared. {OTHERWISE}")
    return parameters


def _value(name: str, value: Any) -> float | bool | None:
    """Return a plain number or switch; gradients over layers and filters on tensor names are refused."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping) and set(value[0]) == {"value"}:
        value = value[0]["value"]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise MergeError(f"{name} is {value!r}, and only one number for all tensors is read here. {OTHERWISE}")
