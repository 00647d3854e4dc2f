"""The quick way through plain schemas: a check that says "surely valid", or leaves the answer to jsonschema.

Most input schemas are objects of plain fields. Compiled to closures they cost a tenth of the general validator;
whatever is not plain, and every value that fails, goes the general way, which alone writes complaints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.domain.intake.patterns import matches

Check = Callable[[Any], bool]
#: makes a check of one schema word's value, None when that value is not plain
_Maker = Callable[[object], "Check | None"]

#: Words that check nothing.
_SILENT: Final = frozenset({
    "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples",
    "format", "deprecated", "readOnly", "writeOnly", "contentMediaType", "contentEncoding",
})  # fmt: skip


def quick_check(schema: Mapping[str, Any] | bool) -> Check | None:
    """Return a check that is true only for valid values, None when the schema is not plain.

    Written for drafts 6 to 2020-12; before, `exclusiveMinimum` was a boolean and `$ref` hid its siblings.
    """
    if isinstance(schema, bool):
        return None
    checks: list[Check] = []
    for word, wanted in schema.items():
        if word in _SILENT or word in _WITH_OTHERS:
            continue
        maker = _MAKERS.get(word)
        made = maker(wanted) if maker else None
        if made is None:
            return None
        checks.append(made)
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        fields = _fields(schema)
        if fields is None:
            return None
        checks.append(fields)
    return _all(checks)


def _all(checks: list[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]
    return lambda value: all(check(value) for check in checks)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


_TYPES: Final[Mapping[str, Check]] = {
    "string": lambda v: type(v) is str,
    "integer": lambda v: type(v) is int or (type(v) is float and v.is_integer()),
    "number": _is_number,
    "boolean": lambda v: type(v) is bool,
    "null": lambda v: v is None,
    "object": lambda v: type(v) is dict,
    "array": lambda v: type(v) is list,
}


def _type(wanted: object) -> Check | None:
    names: list[Any] = wanted if isinstance(wanted, list) else [wanted]
    if not all(isinstance(name, str) and name in _TYPES for name in names):
        return None
    checks = [_TYPES[name] for name in names]
    return checks[0] if len(checks) == 1 else lambda v: any(check(v) for check in checks)


def _enum(wanted: object) -> Check | None:
    """Only texts, whole numbers and null: for the rest equality has its own rules."""
    if not isinstance(wanted, list) or not all(v is None or type(v) in (str, int) for v in wanted):
        return None
    allowed = frozenset((type(v), v) for v in wanted)
    return lambda v: type(v).__hash__ is not None and (type(v), v) in allowed


def _any_of(wanted: object) -> Check | None:
    if not isinstance(wanted, list):
        return None
    checks = [quick_check(option) if isinstance(option, Mapping) else None for option in wanted]
    plain = [check for check in checks if check is not None]
    return (lambda v: any(check(v) for check in plain)) if len(plain) == len(checks) else None


def _items(wanted: object) -> Check | None:
    each = quick_check(wanted) if isinstance(wanted, Mapping) else None
    return None if each is None else lambda v: type(v) is not list or all(map(each, v))


def _pattern(wanted: object) -> Check | None:
    return (lambda v: type(v) is not str or matches(wanted, v)) if isinstance(wanted, str) else None


def _sized(kind: type[str] | type[list[Any]], is_met: Callable[[int, int], bool]) -> _Maker:
    def maker(wanted: object) -> Check | None:
        if type(wanted) is not int:
            return None
        return lambda v: not isinstance(v, kind) or is_met(len(v), wanted)

    return maker


def _compared(is_met: Callable[[Any, Any], bool]) -> _Maker:
    def maker(wanted: object) -> Check | None:
        return (lambda v: not _is_number(v) or is_met(v, wanted)) if _is_number(wanted) else None

    return maker


#: These three are read together.
_WITH_OTHERS: Final = frozenset({"properties", "required", "additionalProperties"})
_MAKERS: Final[Mapping[str, _Maker]] = {
    "type": _type,
    "enum": _enum,
    "anyOf": _any_of,
    "items": _items,
    "pattern": _pattern,
    "minLength": _sized(str, lambda n, w: n >= w),
    "maxLength": _sized(str, lambda n, w: n <= w),
    "minItems": _sized(list, lambda n, w: n >= w),
    "maxItems": _sized(list, lambda n, w: n <= w),
    "minimum": _compared(lambda v, w: bool(v >= w)),
    "maximum": _compared(lambda v, w: bool(v <= w)),
    "exclusiveMinimum": _compared(lambda v, w: bool(v > w)),
    "exclusiveMaximum": _compared(lambda v, w: bool(v < w)),
}


def _fields(schema: Mapping[str, Any]) -> Check | None:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    others = schema.get("additionalProperties", True)
    if not isinstance(properties, Mapping) or not isinstance(required, list) or not isinstance(others, bool):
        return None
    checks: dict[str, Check] = {}
    for name, spec in properties.items():
        check = quick_check(spec)
        if check is None:
            return None
        checks[name] = check
    needed = tuple(required)

    def fields(value: Any) -> bool:
        if type(value) is not dict:
            return True
        for name in needed:
            if name not in value:
                return False
        for name, member in value.items():
            check = checks.get(name)
            if not (others if check is None else check(member)):
                return False
        return True

    return fields
