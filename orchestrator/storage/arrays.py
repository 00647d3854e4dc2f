"""Arrays: lists of one plain type as Postgres reads them, written in one go.

What belongs together is written by one statement over arrays, so most of what we send is in them. The driver writes
each element by itself in Python and asks a pattern whether it needs quotes: that took 6 % of a busy worker's time.
Whatever is not a list of one of these types is the driver's own, as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap
from psycopg.types.array import ListDumper


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


#: How an element is written, by its very type: a subclass may mean something else to the driver.
_WRITTEN: Mapping[type, Callable[[Any], str]] = {
    UUID: lambda value: value.hex,
    int: str,
    float: repr,
    bool: lambda value: "t" if value else "f",
    datetime: datetime.isoformat,
    str: _quoted,
}


class PlainLists(ListDumper):
    """Writes lists in place of the driver's own way."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        """Return a list as the text of an array; NULL stands for None."""
        kind = next((type(item) for item in obj if item is not None), None)
        write = _WRITTEN.get(kind) if kind is not None and self.delimiter == b"," else None
        if write is None:
            return super().dump(obj)
        written = []
        for item in obj:
            if type(item) is kind:
                written.append(write(item))
            elif item is None:
                written.append("NULL")
            else:
                return super().dump(obj)
        text = "{" + ",".join(written) + "}"
        # No text of Postgres holds it; the driver says so.
        return super().dump(obj) if "\x00" in text else text.encode()


#: What our connections write and read by: the driver's, but for lists.
ADAPTERS = AdaptersMap(psycopg.adapters)
ADAPTERS.register_dumper(list, PlainLists)
