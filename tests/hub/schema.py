"""The part of JSON Schema that ours uses."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any


def record_schema() -> dict[str, Any]:
    """Return the schema of `mergeguard.json`, as the package has it."""
    return dict(json.loads(files("mergeguard_hub.hub").joinpath("mergeguard.schema.json").read_text()))


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any], place: str = "$") -> list[str]:
    """Return what of a value breaks a schema, for the part of JSON Schema that ours uses."""
    if "$ref" in schema:
        schema = {**root["$defs"][schema["$ref"].rsplit("/", 1)[1]], **schema}
    found = []
    if "anyOf" in schema and all(problems(value, option, root, place) for option in schema["anyOf"]):
        found.append(f"{place} fits no option")
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and not any(value is None if kind == "null" else isinstance(value, kinds[kind]) for kind in wanted):
        return [f"{place} is {value!r}, not {wanted}"]
    if "const" in schema and value != schema["const"]:
        found.append(f"{place} is not {schema['const']}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place} is {value!r}")
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        found.append(f"{place} does not match {schema['pattern']}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += problems(item, schema.get("items", {}), root, f"{place}[{number}]")
    if isinstance(value, dict):
        found += [f"{place} lacks {name}" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            part = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            found += problems(item, part, root, f"{place}.{name}")
    return found
