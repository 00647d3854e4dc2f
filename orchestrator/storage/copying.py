"""COPY: the one way in for many rows at once, inside the caller's transaction."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import LiteralString

from psycopg import AsyncConnection as PsycopgConnection
from sqlalchemy.ext.asyncio import AsyncConnection

#: Rows go to the driver so many bytes at a time: each handing over costs as much as many small rows.
BLOCK_BYTES = 64 * 1024

_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = struct.pack(">h", -1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

#: NULL, as a field of a row in the binary form.
NULL = struct.pack(">i", -1)

packed_size = struct.Struct(">i").pack


def fields_count(count: int) -> bytes:
    """Return how a row of so many fields begins."""
    return struct.pack(">h", count)


def field(value: bytes) -> bytes:
    """Return a field of a row: an id, a digest, a text in UTF-8, the four bytes of an int."""
    return packed_size(len(value)) + value


def time_field(at: datetime) -> bytes:
    """Return a field that is a time."""
    return struct.pack(">iq", 8, (at - _EPOCH) // timedelta(microseconds=1))


async def copy_rows(connection: AsyncConnection, query: LiteralString, lines: Iterable[bytes]) -> None:
    """Write rows by a `COPY … FROM STDIN WITH (FORMAT BINARY)`.

    Args:
        lines: each row as Postgres' binary form has it, made of the fields of this module.
    """
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, PsycopgConnection), "the engine speaks psycopg"
    async with driver.cursor() as cursor, cursor.copy(query) as copy:
        for block in blocks(lines):
            await copy.write(block)


def blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Give the bytes of a whole COPY of such rows, in pieces of a good size."""
    waiting, size = [_BEGIN], len(_BEGIN)
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= BLOCK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join((*waiting, _END))
