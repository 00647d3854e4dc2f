"""A workflow's schema for somebody who writes one input by hand: its fields in a table, and an input to begin with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.intake.csv_cells import column_types

MAX_FIELDS = 100
MAX_WORDS_CHARS = 300
_EMPTY: Mapping[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of an input."""

    name: str
    types: str
    is_required: bool
    words: str


def fields(schema: Mapping[str, Any] | None) -> list[Field]:
    """Return the fields that a schema names, those that must be there first."""
    properties = _object(schema, "properties")
    required = _required(schema)
    names = sorted(dict.fromkeys([*required, *properties]), key=lambda name: name not in required)
    return [
        Field(
            name=name,
            types=" or ".join(column_types(schema or {}, name)),
            is_required=name in required,
            words=_words(properties.get(name)),
        )
        for name in names[:MAX_FIELDS]
    ]


def beginning(schema: Mapping[str, Any] | None) -> str:
    """Return an input with what must be in it, still to be filled."""
    properties = _object(schema, "properties")
    begun = {name: _value(properties.get(name), schema or {}, name) for name in _required(schema)[:MAX_FIELDS]}
    return json.dumps(begun, indent=2, ensure_ascii=False)


def _required(schema: Mapping[str, Any] | None) -> list[str]:
    given = (schema or {}).get("required")
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []


def _object(schema: Any, name: str) -> Mapping[str, Any]:
    found = schema.get(name) if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _words(spec: Any) -> str:
    """Return what the schema's author says of a field, and the values that it may have."""
    if not isinstance(spec, Mapping):
        return ""
    parts = [str(spec[name]) for name in ("title", "description") if isinstance(spec.get(name), str)]
    if isinstance(spec.get("enum"), list):
        parts.append("one of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in spec["enum"][:20]))
    return ". ".join(parts)[:MAX_WORDS_CHARS]


def _value(spec: Any, schema: Mapping[str, Any], name: str) -> Any:
    if isinstance(spec, Mapping):
        if "default" in spec:
            return spec["default"]
        for several in ("examples", "enum"):
            if isinstance(spec.get(several), list) and spec[several]:
                return spec[several][0]
    return _EMPTY.get(column_types(schema, name)[0], "")
