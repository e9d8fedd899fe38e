"""Reading a merge in mergekit's configuration format, for the methods that we share; the rest is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mergeguard_hub.checkpoint import LEFT_OUT, open_folder
from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.breadcrumbs import Breadcrumbs
from mergeguard_hub.merging.dare import Dare
from mergeguard_hub.merging.dare_ties import DareTies
from mergeguard_hub.merging.layout import ARITHMETIC
from mergeguard_hub.merging.mergekit_settings import OTHERWISE, MergekitSettings
from mergeguard_hub.merging.method import MergeMethod
from mergeguard_hub.merging.model_stock import ModelStock
from mergeguard_hub.merging.random_mask import Rescale
from mergeguard_hub.merging.slerp import Slerp
from mergeguard_hub.merging.task_arithmetic import TaskArithmetic
from mergeguard_hub.merging.text_files import read_text
from mergeguard_hub.merging.ties import Ties
from mergeguard_hub.merging.weight_averaging import WeightAveraging

_KEYS = frozenset({"merge_method", "base_model", "models", "parameters", "dtype", "out_dtype", "tokenizer_source"})


@dataclass(frozen=True)
class MergePlan:
    """A merge as a configuration file describes it.

    Attributes:
        method: with its settings.
        base: path or Hub id of the base model; without one, of the first model.
        models: paths or Hub ids of the others, in order.
        dtype: torch's name of the dtype that is asked for; None for the base's.
    """

    method: MergeMethod
    base: str
    models: tuple[str, ...]
    dtype: str | None = None

    def check_dtype(self, base: Path) -> None:
        """Refuse a dtype that is not the base's: merges here are computed in float32 and written in its dtypes.

        Args:
            base: its folder.

        Raises:
            MergeError: a tensor has another dtype.
        """
        for checkpoint in open_folder(base, exclude=LEFT_OUT).values():
            for name, entry in checkpoint.entries.items():
                found = str(entry.torch_dtype).removeprefix("torch.")
                if self.dtype is not None and entry.torch_dtype in ARITHMETIC and found != self.dtype:
                    raise MergeError(
                        f"The configuration asks for {self.dtype} and {name!r} of the base is {found}: a merge is "
                        f"written in the dtypes of the base. Leave dtype out. {OTHERWISE}"
                    )


def read_mergekit_config(path: str | Path) -> MergePlan:
    """Read a configuration file of mergekit.

    Args:
        path: a YAML file.

    Raises:
        MergeError: it is no such file, or asks for what is not shared.
        InvalidCheckpointError: it cannot be read.
    """
    try:
        content = yaml.safe_load(read_text(Path(path)))
    except yaml.YAMLError as error:
        raise MergeError(f"{path} is no YAML ({' '.join(str(error).split())}); correct it.") from error
    if not isinstance(content, Mapping):
        raise MergeError(f"{path} is no configuration of mergekit: it holds no keys such as merge_method and models.")
    return parse_mergekit_config(content)


def parse_mergekit_config(content: Mapping[str, Any]) -> MergePlan:
    """Return what a configuration describes.

    mergekit's defaults and arithmetic hold where they differ from ours: density 1, trimming per tensor, DARE rescaled
    to the sum of magnitudes.

    Args:
        content: the parsed file.

    Raises:
        MergeError: a key, a method, a parameter or a value is not shared.

    >>> plan = parse_mergekit_config({"merge_method": "slerp", "base_model": "a", "models": [{"model": "a"},
    ...     {"model": "b"}], "parameters": {"t": 0.3}})
    >>> plan.method, plan.models
    (Slerp(t=0.3), ('a', 'b'))
    """
    unknown = sorted(content.keys() - _KEYS)
    if unknown:
        raise MergeError(f"The configuration has {unknown[0]!r}, which is not read here. {OTHERWISE}")
    name = content.get("merge_method")
    if name not in _METHODS:
        raise MergeError(f"merge_method is {name!r}, and shared are {', '.join(_METHODS)}. {OTHERWISE}")
    base = content.get("base_model")
    settings = MergekitSettings.read(content)
    if content.get("tokenizer_source") not in (None, "base", base):
        raise MergeError(f"tokenizer_source is {content['tokenizer_source']!r}, and only 'base' is read. {OTHERWISE}")
    dtypes = {str(content[key]) for key in ("dtype", "out_dtype") if content.get(key)}
    if len(dtypes) > 1:
        raise MergeError(f"dtype and out_dtype are {' and '.join(sorted(dtypes))}; give one. {OTHERWISE}")
    method = _METHODS[name](settings)
    models = settings.models(type(method))
    if isinstance(method, Slerp):  # from the base to the other, whichever comes first in the list
        models = (settings.layout, *(model for model in models if model != settings.layout))
    return MergePlan(method, settings.layout, models, next(iter(dtypes), None))


def _linear(settings: MergekitSettings) -> MergeMethod:
    if settings.base is not None and settings.base not in settings.models(WeightAveraging):
        raise MergeError(f"{settings.base} is the base_model and has no weight: a linear merge averages it as well.")
    weights = settings.weights(WeightAveraging)
    if not settings.one("normalize", True) and abs(sum(weights) - 1) > 1e-12:
        raise MergeError(f"normalize is off and the weights add up to {sum(weights)}, not to 1. {OTHERWISE}")
    return WeightAveraging(weights=weights)


def _task_arithmetic(settings: MergekitSettings) -> MergeMethod:
    normalize = bool(settings.one("normalize", False))
    return TaskArithmetic(settings.one("lambda", 1.0), settings.weights(TaskArithmetic), normalize)


def _ties(settings: MergekitSettings) -> MergeMethod:
    settings.must("normalize", True, default=True)
    settings.must("rescale", False, default=False)
    scale = settings.one("lambda", 1.0)
    return Ties(settings.one("density", 1.0), scale, settings.weights(Ties), per_tensor=True)


def _dare(settings: MergekitSettings) -> MergeMethod:
    weights = settings.weights(Dare, normalize=bool(settings.one("normalize", False)))
    rescale: Rescale = "l1" if settings.one("rescale", True) else "none"
    return Dare(settings.one("density", 1.0), settings.one("lambda", 1.0), rescale=rescale, weights=weights)


def _dare_ties(settings: MergekitSettings) -> MergeMethod:
    settings.must("normalize", True, default=False)
    rescale: Rescale = "l1" if settings.one("rescale", True) else "none"
    weights = settings.weights(DareTies)
    return DareTies(settings.one("density", 1.0), settings.one("lambda", 1.0), rescale=rescale, weights=weights)


def _breadcrumbs(settings: MergekitSettings) -> MergeMethod:
    settings.must("rescale", False, default=False)
    density = settings.one("density", 1.0)
    gamma = settings.one("gamma", 0.01) if density < 1 else 0.0  # mergekit drops no outliers at density 1
    weights = settings.weights(Breadcrumbs, normalize=bool(settings.one("normalize", False)))
    return Breadcrumbs(density, gamma, settings.one("lambda", 1.0), weights)


def _slerp(settings: MergekitSettings) -> MergeMethod:
    if settings.base is None:
        raise MergeError("SLERP goes from the base_model to the other model, and the configuration names none.")
    return Slerp(settings.one("t", None))


def _model_stock(settings: MergekitSettings) -> MergeMethod:
    settings.must("filter_wise", False, default=False)
    return ModelStock()


_METHODS: dict[str, Callable[[MergekitSettings], MergeMethod]] = {
    "linear": _linear,
    "task_arithmetic": _task_arithmetic,
    "ties": _ties,
    "dare_linear": _dare,
    "dare_ties": _dare_ties,
    "breadcrumbs": _breadcrumbs,
    "slerp": _slerp,
    "model_stock": _model_stock,
}
