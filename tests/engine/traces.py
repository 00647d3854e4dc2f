"""Looks for a text everywhere: in every row of every table, and in the names and bytes of every file of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from orchestrator.domain.chain import first_break
from orchestrator.engine.deps import Deps
from orchestrator.storage import events

TABLES = text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type <> 'VIEW'")


async def traces(deps: Deps, marker: str) -> list[str]:
    """Return where a text is found; empty when it is nowhere."""
    return [*await in_tables(deps, marker), *in_files(store_root(deps), marker)]


async def in_tables(deps: Deps, marker: str) -> list[str]:
    """Return the rows that hold the text, as text or as bytes, which a row spells in hex."""
    values = {"plain": marker, "hex": marker.encode().hex()}

    async def read(connection: Any) -> list[str]:
        found = []
        for (table,) in (await connection.execute(TABLES)).all():
            holds = "strpos(t::text, :plain) > 0 OR strpos(t::text, :hex) > 0"
            hits = (await connection.execute(text(f'SELECT t::text FROM "{table}" t WHERE {holds}'), values)).all()
            found += [f"{table}: {row[0]}" for row in hits]
        return found

    return await deps.db.run(read)


def in_files(root: Path, marker: str) -> list[str]:
    """Return the files that hold the text, in their names or their bytes."""
    return [
        str(path)
        for path in sorted(root.rglob("*"))
        if marker in path.name or (path.is_file() and marker.encode() in path.read_bytes())
    ]


def store_root(deps: Deps) -> Path:
    """Return the folder of the store."""
    root: Path = deps.store.root  # type: ignore[attr-defined]
    return root


async def broken(deps: Deps, stream: UUID) -> str | None:
    """Return what is wrong with a stream's chain; it must have events."""

    async def read(connection: Any) -> Any:
        return await events.read(connection, stream)

    found = await deps.db.run(read)
    assert found, "the stream has events"
    return first_break(found)


async def in_samples(deps: Deps, marker: str) -> list[str]:
    """Return the columns of which Postgres' planner keeps samples that hold the text."""
    holds = "strpos({0}::text, :plain) > 0 OR strpos({0}::text, :hex) > 0"
    either = f"{holds.format('most_common_vals')} OR {holds.format('histogram_bounds')}"
    query = text(f"SELECT tablename, attname FROM pg_stats WHERE schemaname = 'public' AND ({either})")

    async def read(connection: Any) -> list[str]:
        found = (await connection.execute(query, {"plain": marker, "hex": marker.encode().hex()})).all()
        return [f"{row.tablename}.{row.attname}" for row in found]

    return await deps.db.run(read)
