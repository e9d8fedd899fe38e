"""Which forms of two fingerprints measure the same place."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mergeguard_hub.errors import FingerprintError
from mergeguard_hub.fingerprint.record import Fingerprint, Form

Matrix = NDArray[np.float64]
Key = tuple[str, str, str]


def common_keys(*fingerprints: Fingerprint) -> list[Key]:
    """Return the keys of the forms that all of some fingerprints have, in the same shape.

    Raises:
        FingerprintError: there are none, or the probes were drawn with different secrets.
    """
    probes = sorted({fingerprint.probes for fingerprint in fingerprints})
    if len(probes) > 1:
        raise FingerprintError(
            f"the fingerprints were taken with different probes ({', '.join(probes)}), so their numbers have nothing "
            "to do with each other. Take them with the same secret, or all without one."
        )
    shapes = [{form.key: form.values.shape for form in known(fingerprint)} for fingerprint in fingerprints]
    first, *others = shapes
    found = sorted(key for key in first if all(other.get(key) == first[key] for other in others))
    if not found:
        names = ", ".join(repr(fingerprint.name) for fingerprint in fingerprints)
        raise FingerprintError(
            f"the fingerprints of {names} have no place in common: the models have other architectures, so none can "
            "be a fine-tune or a merge of another."
        )
    return found


def known(fingerprint: Fingerprint) -> Iterable[Form]:
    """Yield the forms with places counted from the model's body, whatever wrapper it was saved in.

    `model.layers.0.mlp` of a causal language model is `layers.0.mlp` of the bare model.
    """
    for form in fingerprint.forms:
        first, _, rest = form.place.partition(".")
        if rest and not first[-1:].isdigit() and first in _WRAPPERS:
            yield Form(form.component, rest, form.kind, form.values)
        else:
            yield form


_WRAPPERS = (
    "model",
    "transformer",
    "bert",
    "vit",
    "roberta",
    "gpt_neox",
    "distilbert",
    "electra",
    "deit",
    "base_model",
)


def values_of(fingerprint: Fingerprint) -> dict[Key, Matrix]:
    """Return the forms by key, float64."""
    return {form.key: form.values.astype(np.float64) for form in known(fingerprint)}
