"""What the command line prints: data on stdout, as a table or as JSON, and words for people on stderr.

In the JSON forms nothing but data is printed, except one problem object on stderr when something is wrong.
Without a terminal a table is tab-separated text: nothing is cut, coloured or drawn.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

Item: TypeAlias = Mapping[str, Any]


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


_format = Format.TABLE


def choose(chosen: Format) -> None:
    """Set the form of everything that is printed from now on."""
    global _format
    _format = chosen


def is_for_programs() -> bool:
    """Tell whether a program reads the output."""
    return _format is not Format.TABLE


def is_jsonl() -> bool:
    """Tell whether each line of the output is an object of its own."""
    return _format is Format.JSONL


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return how many of something: `1 run`, `2,000 runs`, `2 launches`."""
    return f"{count:,} {one if count == 1 else many or one + ('es' if one.endswith('ch') else 's')}"


def rows(items: Iterable[Item], columns: Sequence[str], *, nothing: str = "") -> None:
    """Print a list.

    Args:
        columns: paths such as `id` or `error.code`; a table shows these, JSON shows everything.
        nothing: said to people when the list is empty.
    """
    match _format:
        case Format.JSONL:
            for item in items:
                _write(_json(item))
        case Format.JSON:
            _write(json.dumps(list(items), ensure_ascii=False, indent=2))
        case Format.TABLE:
            found = list(items)
            _table([[cell(dig(item, path)) for path in columns] for item in found], columns)
            if not found and nothing:
                say(nothing)


def one(item: Item, fields: Sequence[str] | None = None) -> None:
    """Print one thing: as an object, or as a table of its fields (`fields` first, then all others that are set)."""
    if _format is not Format.TABLE:
        _write(_json(item) if _format is Format.JSONL else json.dumps(item, ensure_ascii=False, indent=2))
        return
    names = [*(fields or ()), *(name for name in item if name not in (fields or ()))]
    facts = [[name, cell(item[name])] for name in names if item.get(name) is not None]
    _table(facts, ["field", "value"])


def brief(item: Item, columns: Sequence[str]) -> None:
    """Print one thing: as an object, or as a row of the table that lists such things."""
    if _format is Format.TABLE:
        rows([item], columns)
    else:
        one(item)


def line(item: Item) -> None:
    """Print one object of a stream; only in JSON lines, where a stream makes sense."""
    if _format is Format.JSONL:
        _write(_json(item))


def flush() -> None:
    """Let a reader see what was printed so far."""
    sys.stdout.flush()


def text(line: str) -> None:
    """Print a line of what was asked for, to a person: programs get it in their own form."""
    if _format is Format.TABLE:
        _write(harmless(line))


def say(text: str) -> None:
    """Tell a person something, on stderr."""
    if _format is Format.TABLE:
        tell(text)


def tell(text: str) -> None:
    """Write to stderr, in whatever form."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def dig(item: Item, path: str) -> Any:
    """Return what lies at a dotted path, None where nothing does."""
    found: Any = item
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def cell(value: Any) -> str:
    """Return a value as text on one line. Control characters go: names from outside must not steer a terminal."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _json(value)
    return harmless(text).replace("\n", " ").replace("\t", " ")


def harmless(text: str) -> str:
    """Return the text without control characters, but for line ends and tabs."""
    return "".join(char if char in "\n\t" or unicodedata.category(char)[0] != "C" else " " for char in text)


def stdout_is_terminal() -> bool:
    """Tell whether a person sees the data."""
    return sys.stdout.isatty()


def stderr_is_terminal() -> bool:
    """Tell whether a person sees the messages."""
    return sys.stderr.isatty()


def _table(cells: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    heads = [path.split(".")[-1] if path.count(".") == 0 else path.replace(".", "_") for path in columns]
    if not stdout_is_terminal():
        for row in (heads, *cells):
            _write("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=head == "id" or head.endswith("_id"))
    for row in cells:
        table.add_row(*(Text(text) for text in row))
    Console(soft_wrap=False).print(table)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
