"""Times, sizes and cells as they are printed: one way for every format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo


def instant(at: datetime) -> str:
    """Return a time for programs: ISO 8601 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def zone_of(name: str) -> tzinfo:
    """Return a zone that is known by name."""
    return UTC if name == "UTC" else ZoneInfo(name)


def clock(at: datetime | None, zone: str, *, seconds: bool = True) -> str:
    """Return a time for people, in the report's zone: `2026-03-29 01:30:00`; nothing where there is none.

    Of the hour that a clock shows twice, in autumn, each time says how far it is from UTC: `02:30:00 +01:00`.
    """
    if at is None:
        return ""
    local = at.astimezone(zone_of(zone))
    told = local.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
    is_twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    return f"{told} {local.isoformat()[-6:]}" if is_twice else told


def size(size_bytes: int) -> str:
    """Return a size for people: `812 bytes`, `3.4 MB`."""
    amount = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def cell(value: Any) -> str:
    """Return a value as the text of one cell."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            return instant(value)
        case Decimal():
            return f"{value:f}"
        case bytes() | memoryview():
            return bytes(value).hex()
        case _:
            return str(value)


def plain(value: Any) -> Any:
    """Return a value that JSON has: times in ISO 8601, decimals as text so that no reader rounds them."""
    match value:
        case None | bool() | int() | float():
            return value
        case Enum():
            return str(value)
        case str():
            return value
        case datetime():
            # A time without a zone is a place on a chart's axis, in the report's zone.
            return value.isoformat() if value.tzinfo is None else instant(value)
        case Decimal() | UUID() | bytes() | memoryview():
            return cell(value)
        case Mapping():
            return {cell(key): plain(item) for key, item in value.items()}
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return [plain(item) for item in value]
