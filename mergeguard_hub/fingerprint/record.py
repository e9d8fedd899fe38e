"""A fingerprint, and the JSON file that it is kept in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergeguard_hub.errors import FingerprintError

FORMAT = "mergeguard fingerprint"
VERSION = 1
PUBLIC = "public"  # probes that everybody can draw
_LARGEST_BYTES = 64 << 20  # of a file that is read: a fingerprint of the largest models has a few megabytes, our choice


@dataclass(frozen=True, eq=False)
class Form:
    """What was measured in one place of a model: numbers that no protection by symmetries changes.

    Attributes:
        component: name of the pipeline's component, "" in a plain model folder.
        place: module or tensor that it was measured of.
        kind: what was measured, see `forms` and `spectra`.
        values: [rows, columns], float32.
    """

    component: str
    place: str
    kind: str
    values: NDArray[np.float32]

    @property
    def key(self) -> tuple[str, str, str]:
        """What the same measurement of another model is found by."""
        return self.component, self.place, self.kind


@dataclass(frozen=True)
class Component:
    """What a fingerprint says of one component besides its numbers.

    Attributes:
        architecture: name of its class.
        dtype: the coarsest floating dtype of its weights, as safetensors spells it.
        parameters: number of its weights.
    """

    architecture: str
    dtype: str
    parameters: int


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What can be told of a model's weights without having them, whatever symmetry protects them.

    Attributes:
        name: what people call the model; of no other use.
        components: by name, "" for a plain model folder.
        forms: measured between probes; comparable entry by entry with another model's.
        spectra: sorted sizes of units and heads, which need no probes.
        probes: PUBLIC, or which secret they were drawn with, as a hash of it.
    """

    name: str
    components: Mapping[str, Component]
    forms: tuple[Form, ...]
    spectra: tuple[Form, ...] = ()
    probes: str = PUBLIC

    @property
    def id(self) -> str:
        """A hash of everything but the name, `fp-` and 32 hex digits, to register a fingerprint by."""
        content = json.dumps({**self.to_dict(), "name": ""}, sort_keys=True)
        return "fp-" + hashlib.sha256(content.encode()).hexdigest()[:32]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the file, ready for JSON."""
        found = {}
        for name, component in self.components.items():
            found[name] = {
                "architecture": component.architecture,
                "dtype": component.dtype,
                "parameters": component.parameters,
                "forms": [_packed(form) for form in self.forms if form.component == name],
                "spectra": [_packed(form) for form in self.spectra if form.component == name],
            }
        return {"format": FORMAT, "version": VERSION, "name": self.name, "probes": self.probes, "components": found}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], *, label: str = "the fingerprint") -> Fingerprint:
        """Return the fingerprint that `to_dict` described.

        Args:
            record: the parsed file.
            label: what error messages call it.

        Raises:
            FingerprintError: it is none, or of a later version.
        """
        if not isinstance(record, Mapping) or record.get("format") != FORMAT:
            raise FingerprintError(f"{label} is no fingerprint. Make one with `mergeguard fingerprint PATH -o FILE`.")
        if record.get("version") != VERSION:
            raise FingerprintError(
                f"{label} is of version {record.get('version')!r} and this one reads version {VERSION}. Update "
                "mergeguard-hub, or take the fingerprint again."
            )
        try:
            parts = dict(record["components"])
            components = {
                str(name): Component(str(part["architecture"]), str(part["dtype"]), int(part["parameters"]))
                for name, part in parts.items()
            }
            forms, spectra = (
                tuple(_unpacked(str(name), entry) for name, part in parts.items() for entry in part[kind])
                for kind in ("forms", "spectra")
            )
            return cls(str(record.get("name", "")), components, forms, spectra, str(record["probes"]))
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
            raise FingerprintError(
                f"{label} is damaged ({type(error).__name__}: {error}). Get it again, or take the fingerprint again."
            ) from error

    def save(self, path: str | Path) -> None:
        """Write the fingerprint to a JSON file; the same fingerprint always gives the same bytes."""
        text = json.dumps(self.to_dict(), indent=1, sort_keys=True, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Fingerprint:
        """Read a file that `save` wrote.

        Raises:
            FingerprintError: it cannot be read, is no fingerprint, is damaged or of a later version.
        """
        path = Path(path)
        try:
            if path.stat().st_size > _LARGEST_BYTES:
                raise FingerprintError(f"{path} is far too large for a fingerprint. Was another file meant?")
            record = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise FingerprintError(f"{path} cannot be read ({error.strerror}). Check the path.") from error
        except ValueError as error:
            raise FingerprintError(f"{path} is no JSON file, so no fingerprint ({error}).") from error
        return cls.from_dict(record, label=str(path))


def _packed(form: Form) -> dict[str, Any]:
    values = np.ascontiguousarray(form.values, dtype="<f4")
    return {
        "place": form.place,
        "kind": form.kind,
        "shape": list(values.shape),
        "values": base64.b64encode(values.tobytes()).decode("ascii"),
    }


def _unpacked(component: str, entry: Mapping[str, Any]) -> Form:
    rows, columns = (int(size) for size in entry["shape"])
    values = np.frombuffer(base64.b64decode(entry["values"], validate=True), "<f4").reshape(rows, columns)
    if not np.isfinite(values).all():
        raise ValueError(f"{entry['place']} holds NaN or infinite values")
    return Form(component, str(entry["place"]), str(entry["kind"]), values.astype(np.float32))
