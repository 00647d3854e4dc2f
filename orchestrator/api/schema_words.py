"""What schemas are made of: the shapes of single values, and how objects are put together."""

from __future__ import annotations

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
ANY_OBJECT: Schema = {"type": "object"}


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
    """Return a body's object: other fields are refused."""
    closed = {"type": "object", "additionalProperties": False}
    return closed | {"required": [*required], "properties": required | (optional or {})}


def view(always: Schema, sometimes: Schema | None = None) -> Schema:
    """Return an answer's object: other fields may come."""
    return {"type": "object", "required": [*always], "properties": always | (sometimes or {})}
