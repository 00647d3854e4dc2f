"""Turns values into what the API shows: JSON-ready, times in ISO 8601 with Z, ids as text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID


def shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON-ready copy."""
    return {str(name): _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case UUID():
            return str(value)
        case bytes() | memoryview():
            return bytes(value).hex()
        case Mapping():
            return shown(value)
        case list() | tuple():
            return [_plain(item) for item in value]
        case str() if type(value) is not str:
            return str(value)
        case _:
            return value
