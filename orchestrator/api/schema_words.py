"""What schemas are made of: the shapes of single values, and how objects are put together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
ID: Schema = {"type": "string", "format": "uuid"}
TIME: Schema = {"type": "string", "format": "date-time"}
SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
SHORT: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
REASON: Schema = {"type": "string", "minLength": 1, "maxLength": 2000}
LEVEL: Schema = {"type": "string", "enum": ["low", "medium", "high"]}
DAY_OR_TIME: Schema = {
    "anyOf": [{"type": "string", "format": "date"}, TIME],
    "description": "YYYY-MM-DD, or ISO 8601 with a zone",
    "examples": ["2026-01-31", "2026-01-31T12:00:00Z"],
}
ANY_OBJECT: Schema = {"type": "object"}


def comma_list(words: Iterable[str]) -> Schema:
    """Return a text that holds some of the words, with commas between."""
    known = "|".join(words)
    return {"type": "string", "pattern": f"^({known})(,({known}))*$"}


def or_null(schema: Schema) -> Schema:
    """Return a schema that takes null too."""
    return {"anyOf": [schema, {"type": "null"}]}


def one(name: str) -> Schema:
    """Return a reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(schema: Schema) -> Schema:
    """Return a list of something."""
    return {"type": "array", "items": schema}


def mapping(schema: Schema) -> Schema:
    """Return an object whose values are something."""
    return {"type": "object", "additionalProperties": schema}


def body(required: Schema, optional: Schema | None = None) -> Schema:
    """Return a body's object: other fields are refused, null is the same as to leave a field out."""
    closed = {"type": "object", "additionalProperties": False}
    may_be_null = {name: or_null(schema) for name, schema in (optional or {}).items()}
    return closed | {"required": [*required], "properties": required | may_be_null}


def view(always: Schema, sometimes: Schema | None = None) -> Schema:
    """Return an answer's object: other fields may come."""
    return {"type": "object", "required": [*always], "properties": always | (sometimes or {})}
