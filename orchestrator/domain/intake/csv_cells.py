"""One CSV cell to one JSON value, by the type that the workflow's schema gives its column.

A cell's spelling is never improved: what is not already a JSON number is a problem, not a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.domain.intake import strict_json
from orchestrator.domain.intake.json_flaws import excerpt, number_flaw
from orchestrator.domain.intake.schema_words import quoted
from orchestrator.errors import BadInput

#: What a union tries first; a string takes everything, so it comes last.
ORDER: Final = ("integer", "number", "boolean", "null", "object", "array", "string")

_TRUE, _FALSE = ("true", "1"), ("false", "0")
_GAPS = re.compile(r'("(?:[^"\\]|\\.)*+")|[ \t\r\n]++', re.DOTALL)
_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]+")
_INTEGER = re.compile(r"-?[0-9]++")
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Typed:
    """A cell as JSON: its text, spelled as in the cell, and the value for the schema's check."""

    text: str
    value: object


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a cell is not of its column's type."""

    message: str
    code: str = "field.type"


def column_types(schema: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the types that a column may have, in the order to try; only `string` where the schema is silent."""
    properties = schema.get("properties")
    spec = properties.get(name) if isinstance(properties, Mapping) else None
    found = _types(spec, schema)
    return tuple(t for t in ORDER if t in found) or ("string",)


def typed(cell: str, types: tuple[str, ...]) -> Typed | Unfit:
    """Return the cell as the first of the types that it fits."""
    if "\x00" in cell:
        return Unfit("a NUL character", "text.nul")
    if types == ("string",):
        return Typed(_ENCODE(cell), cell)
    trimmed = cell.strip(" \t")
    reasons: list[str] = []
    for name in types:
        if name == "string":
            return Typed(_ENCODE(cell), cell)
        if name == "null" and "string" in types:
            continue
        fit = _fit(trimmed, name, alone=types)
        if isinstance(fit, Typed):
            return fit
        reasons.append(fit)
    hint = next((f" ({reason})" for reason in reasons if reason), "")
    return Unfit(f"expected {' or '.join(types)}, got {quoted(cell)}{hint}")


def _types(spec: object, schema: Mapping[str, Any]) -> set[str]:
    """Return every type that a spec, its options and its references name; each node is seen once."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting = [spec]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Mapping) or id(node) in seen:
            continue
        seen.add(id(node))
        declared = node.get("type")
        if declared is not None:
            found.update(t for t in (declared if isinstance(declared, list) else [declared]) if isinstance(t, str))
            continue
        values = node["enum"] if isinstance(node.get("enum"), list) else [node["const"]] if "const" in node else []
        found.update(map(_type_of, values))
        if isinstance(node.get("$ref"), str):
            waiting.append(_resolved(schema, node["$ref"]))
        for word in ("anyOf", "oneOf", "allOf"):
            options = node.get(word)
            waiting.extend(options if isinstance(options, list) else ())
    return found


def _resolved(schema: Mapping[str, Any], ref: str) -> object:
    """Return what a reference within the schema means, None when it is none of the plain kind."""
    if not ref.startswith("#/"):
        return None
    node: object = schema
    for part in ref[2:].split("/"):
        node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
    return node


def _type_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _fit(cell: str, name: str, *, alone: tuple[str, ...]) -> Typed | str:
    """Return the cell as this one type, or a hint on what is wrong (perhaps empty)."""
    match name:
        case "integer" | "number":
            return _number(cell, is_integer=name == "integer")
        case "boolean":
            return _boolean(cell, words_only=len(alone) > 1 and alone != ("boolean", "null"))
        case "null":
            return Typed("null", None) if cell == "null" else ""
        case "object" | "array":
            return _json(cell, name)
        case _:
            return ""


def _number(cell: str, *, is_integer: bool) -> Typed | str:
    wrong = number_flaw(cell)
    if wrong:
        if _DECIMAL_COMMA.fullmatch(cell):
            return f"a decimal point is needed: {cell.replace(',', '.')}"
        return wrong.partition("(")[2].rstrip(")") or (wrong if "JSON" not in wrong else "")
    value: int | float = int(cell) if _INTEGER.fullmatch(cell) else float(cell)
    if is_integer and isinstance(value, float) and not value.is_integer():
        return ""
    return Typed(cell, value)


def _boolean(cell: str, *, words_only: bool) -> Typed | str:
    word = cell.lower()
    if word in (_TRUE[:1] if words_only else _TRUE):
        return Typed("true", True)
    if word in (_FALSE[:1] if words_only else _FALSE):
        return Typed("false", False)
    return "true or false in any case" + ("" if words_only else ", or 1 or 0")


def _json(cell: str, name: str) -> Typed | str:
    try:
        value = strict_json.parse(cell.encode())
    except BadInput as error:
        return f"as JSON text; {excerpt(error.message)}"
    if not isinstance(value, dict if name == "object" else list):
        return "as JSON text"
    return Typed(_GAPS.sub(r"\1", cell), value)
