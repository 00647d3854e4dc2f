"""A JSON schema as a table that people read: a row for each field, indented by its depth. Anything may come in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: A provider may send anything: no more of it is shown.
MOST_FIELDS = 200
MOST_DEPTH = 4
MOST_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of an input."""

    name: str
    depth: int
    type: str
    is_needed: bool
    about: str
    limits: str


#: Words of JSON Schema for what a value may be, as people read them.
_LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "minLength": "characters, at least",
    "maxLength": "characters, at most",
    "minItems": "items, at least",
    "maxItems": "items, at most",
    "pattern": "matches",
    "format": "format",
    "default": "default",
    "const": "always",
}


def rows(schema: Any) -> list[Field]:
    """Return the fields of a schema, at most `MOST_FIELDS`; none where it names none."""
    found: list[Field] = []
    for field in _fields(schema, 0):
        found.append(field)
        if len(found) == MOST_FIELDS:
            break
    return found


def _fields(schema: Any, depth: int) -> Iterator[Field]:
    if not isinstance(schema, Mapping) or depth > MOST_DEPTH:
        return
    properties = schema.get("properties")
    needed = schema.get("required")
    if isinstance(properties, Mapping):
        for name, given in properties.items():
            is_needed = isinstance(needed, list) and name in needed
            about = given if isinstance(given, Mapping) else {}
            yield Field(
                name=str(name)[:MOST_CHARS],
                depth=depth,
                type=_type(about),
                is_needed=is_needed,
                about=str(about.get("description") or about.get("title") or "")[: 2 * MOST_CHARS],
                limits=_limits(about),
            )
            yield from _fields(about, depth + 1)
    yield from _fields(schema.get("items"), depth + 1 if depth else 1)


def _type(about: Mapping[str, Any]) -> str:
    type = about.get("type")
    if isinstance(type, list):
        return " or ".join(str(one) for one in type)[:MOST_CHARS]
    if type == "array" and isinstance(about.get("items"), Mapping):
        return f"list of {_type(about['items'])}"[:MOST_CHARS]
    if type is None:
        either = about.get("anyOf", about.get("oneOf"))
        words = [_type(one) for one in either if isinstance(one, Mapping)] if isinstance(either, list) else []
        return " or ".join(words)[:MOST_CHARS] or "anything"
    return str(type)[:MOST_CHARS]


def _limits(about: Mapping[str, Any]) -> str:
    told = []
    if isinstance(about.get("enum"), list):
        told.append("one of " + ", ".join(_plain(one) for one in about["enum"][:20]))
    told += [f"{words} {_plain(about[name])}" for name, words in _LIMITS.items() if name in about]
    return "; ".join(told)[: 2 * MOST_CHARS]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
