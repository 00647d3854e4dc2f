"""The inputs that stand beside results in a table: small ones whole, of others their size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import rows

# octet_length of a toasted value does not read it.
SMALL = text("""
    SELECT run_id, octet_length(body) AS size_bytes,
        CASE WHEN octet_length(body) <= :most_bytes THEN body END AS body
    FROM inputs WHERE run_id = ANY(CAST(:ids AS uuid[]))""")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallInput:
    """An input; `body` is None when it is longer than was asked for."""

    size_bytes: int
    body: bytes | None


async def small(connection: AsyncConnection, run_ids: Sequence[UUID], *, most_bytes: int) -> dict[UUID, SmallInput]:
    """Return the inputs of some runs; an erased run has none."""
    found = await rows(connection, SMALL, {"ids": list(run_ids), "most_bytes": most_bytes})
    return {row.run_id: SmallInput(size_bytes=row.size_bytes, body=row.body) for row in found}
