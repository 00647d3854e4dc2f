"""Watches the very statements that the product sends: what each touches, and which tables it reads from end to end.

Right before a statement runs, the same statement with the same values is explained (ANALYZE, BUFFERS) inside a
savepoint that is taken back. So the product's own code decides what is measured, and a new query cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event

_EXPLAINED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")


#: Rows from which on a table that was read in its own order counts as read from end to end.
SCANNED_FROM = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One statement: the buffers that it touched, in memory or not, and the tables that it read from end to end."""

    statement: str
    buffers: int
    scanned: tuple[str, ...]


@dataclass(slots=True)
class Watched:
    """All statements that ran meanwhile."""

    seen: list[Seen] = field(default_factory=list)

    @property
    def buffers(self) -> int:
        """The buffers that all of them touched. Planning is not in it: it is the same for any size."""
        return sum(seen.buffers for seen in self.seen)

    @property
    def scanned(self) -> frozenset[str]:
        """The tables that some statement read from end to end."""
        return frozenset(table for seen in self.seen for table in seen.scanned)


@contextmanager
def watched() -> Iterator[Watched]:
    """Explain everything that this process sends through SQLAlchemy. Whatever it does still happens, once."""
    found = Watched()

    def before(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(_EXPLAINED):
            found.seen.append(_explained(connection, statement, parameters))

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", before)


def _explained(connection: Connection, statement: str, parameters: Any) -> Seen:
    cursor = connection.connection.cursor()
    try:
        cursor.execute("SAVEPOINT explained")
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, parameters)
        (told,) = cursor.fetchall()[0][0]
        cursor.execute("ROLLBACK TO SAVEPOINT explained")
    finally:
        cursor.close()
    plan = told["Plan"]
    return Seen(
        statement=" ".join(statement.split()),
        buffers=plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
        scanned=tuple(sorted({node["Relation Name"] for node in _nodes(plan) if _reads_all(node)})),
    )


def _reads_all(node: dict[str, Any]) -> bool:
    # Partitions that were pruned while it ran stand in the plan, and were never touched. A table of a few pages is read
    # whole because that is the cheapest way.
    rows = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
    return bool(node["Node Type"] == "Seq Scan" and rows >= SCANNED_FROM)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
