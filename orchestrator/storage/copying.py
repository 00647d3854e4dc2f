"""COPY: the one way in for many rows at once, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, LiteralString

from psycopg import AsyncConnection as PsycopgConnection
from sqlalchemy.ext.asyncio import AsyncConnection


async def copy_in(
    connection: AsyncConnection,
    query: LiteralString,
    lines: Iterable[tuple[Any, ...]],
    *,
    types: Sequence[str] | None = None,
) -> None:
    """Write rows by a `COPY … FROM STDIN`.

    Args:
        types: the columns' types, which a binary COPY must be told.
    """
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert isinstance(driver, PsycopgConnection), "the engine speaks psycopg"
    async with driver.cursor() as cursor, cursor.copy(query) as copy:
        if types is not None:
            copy.set_types(types)
        for line in lines:
            await copy.write_row(line)
