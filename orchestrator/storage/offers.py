"""The files that a provider offers: names and sealed URLs, beside what was stored of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.answers import OfferedFile
from orchestrator.domain.changes import Change
from orchestrator.domain.download_decisions import FileOutcome
from orchestrator.domain.file_failures import kept
from orchestrator.domain.offered_files import KnownFile, numbers, storable
from orchestrator.errors import Misconfigured
from orchestrator.storage.database import rows
from orchestrator.storage.sealing import Sealer

# A fresh look renews the URL of what is not stored yet, and leaves alone what is.
OFFER = text("""
    INSERT INTO artifacts AS a (run_id, attempt, n, filename, url, url_expires_at, offered_at)
    SELECT v.run_id, v.attempt, v.n, v.filename, v.url, v.url_expires_at, orch_now()
    FROM unnest(CAST(:run_id AS uuid[]), CAST(:attempt AS int[]), CAST(:n AS int[]), CAST(:filename AS text[]),
        CAST(:url AS bytea[]), CAST(:url_expires_at AS timestamptz[]))
        AS v(run_id, attempt, n, filename, url, url_expires_at)
    ON CONFLICT (run_id, attempt, n) DO UPDATE SET
        url = excluded.url, url_expires_at = excluded.url_expires_at, filename = excluded.filename
    WHERE a.stored_at IS NULL""")

READ_WANTED = text("""
    SELECT run_id, attempt, n, filename, url, url_expires_at, offered_at, stored_at, failure FROM artifacts
    WHERE (run_id, attempt) IN (
        SELECT * FROM unnest(CAST(:run_ids AS uuid[]), CAST(:attempts AS int[]))) ORDER BY run_id, n""")

# The URL is a credential: it goes as soon as its file is stored.
STORED = text("""
    UPDATE artifacts a SET size_bytes = v.size_bytes, sha256 = v.sha256, store_key = v.store_key,
        stored_at = orch_now(), url = NULL, failure = NULL
    FROM unnest(CAST(:run_id AS uuid[]), CAST(:attempt AS int[]), CAST(:n AS int[]), CAST(:size_bytes AS bigint[]),
        CAST(:sha256 AS bytea[]), CAST(:store_key AS text[])) AS v(run_id, attempt, n, size_bytes, sha256, store_key)
    WHERE a.run_id = v.run_id AND a.attempt = v.attempt AND a.n = v.n""")

FAILED = text("""
    UPDATE artifacts a SET failure = v.failure
    FROM unnest(CAST(:run_id AS uuid[]), CAST(:attempt AS int[]), CAST(:n AS int[]), CAST(:failure AS text[]))
        AS v(run_id, attempt, n, failure)
    WHERE a.run_id = v.run_id AND a.attempt = v.attempt AND a.n = v.n""")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedFile:
    """A file that is offered and perhaps stored.

    Args:
        url: None once it is stored, or if it cannot be opened any more.
        failure: what is kept of the last try's failure, or None.
    """

    run_id: UUID
    attempt: int
    number: int
    filename: str
    url: str | None
    url_expires_at: datetime
    offered_at: datetime
    is_stored: bool
    failure: str | None = None


async def offer(connection: AsyncConnection, touched: Sequence[tuple[Change, Row[Any]]], *, sealer: Sealer) -> None:
    """Write what looks offered."""
    offering = [(run.id, run.attempt) for change, run in touched if change.offered is not None]
    files = await known(connection, offering)
    offered = [
        (change, run, n, file)
        for change, run in touched
        if change.offered is not None
        for n, file in _numbered(change.offered, files.get(run.id, ()))
    ]
    if not offered:
        return
    await connection.execute(
        OFFER,
        {
            "run_id": [run.id for _, run, _, _ in offered],
            "attempt": [run.attempt for _, run, _, _ in offered],
            "n": [n for _, _, n, _ in offered],
            "filename": [storable(file.filename) for _, _, _, file in offered],
            "url": [
                sealer.seal(f.url, column="artifacts.url", row=f"{r.id}/{r.attempt}/{n}") for _, r, n, f in offered
            ],
            "url_expires_at": [change.url_expires_at for change, _, _, _ in offered],
        },
    )


async def known(connection: AsyncConnection, runs: Sequence[tuple[UUID, int]]) -> dict[UUID, list[KnownFile]]:
    """Return what earlier looks offered of some attempts, in the order of their numbers."""
    values = {"run_ids": [run for run, _ in runs], "attempts": [attempt for _, attempt in runs]}
    files: dict[UUID, list[KnownFile]] = {}
    for row in await rows(connection, READ_WANTED, values) if runs else []:
        file = KnownFile(filename=row.filename, is_stored=row.stored_at is not None)
        files.setdefault(row.run_id, []).append(file)
    return files


def _numbered(offered: Sequence[OfferedFile], files: Sequence[KnownFile]) -> list[tuple[int, OfferedFile]]:
    """Return each file with its number. What is known and is not among them keeps its row, and its old URL."""
    names = [file.filename for file in offered]
    return list(zip(numbers([file.filename for file in files], names), offered, strict=True))


async def wanted(
    connection: AsyncConnection, runs: Sequence[tuple[UUID, int]], *, sealer: Sealer
) -> dict[UUID, list[WantedFile]]:
    """Return the files of some attempts, in order, with their URLs opened."""
    values = {"run_ids": [run for run, _ in runs], "attempts": [attempt for _, attempt in runs]}
    files: dict[UUID, list[WantedFile]] = {}
    for row in await rows(connection, READ_WANTED, values) if runs else []:
        url = _opened(row, sealer)
        files.setdefault(row.run_id, []).append(
            WantedFile(
                run_id=row.run_id,
                attempt=row.attempt,
                number=row.n,
                filename=row.filename,
                url=url,
                url_expires_at=row.url_expires_at,
                offered_at=row.offered_at,
                is_stored=row.stored_at is not None,
                failure=row.failure,
            )
        )
    return files


def _opened(row: Row[Any], sealer: Sealer) -> str | None:
    """Return a file's URL; None once it is stored, or when it was sealed with another key and must be asked for."""
    if row.url is None:
        return None
    try:
        return sealer.open(bytes(row.url), column="artifacts.url", row=f"{row.run_id}/{row.attempt}/{row.n}")
    except Misconfigured:
        return None


async def record(connection: AsyncConnection, outcomes: Sequence[tuple[UUID, int, FileOutcome]]) -> None:
    """Write what became of files: (run, attempt, outcome)."""
    stored = [(run, attempt, o) for run, attempt, o in outcomes if o.sha256 is not None]
    failed = [(run, attempt, o) for run, attempt, o in outcomes if o.failure is not None]
    if stored:
        await connection.execute(
            STORED,
            {
                "run_id": [run for run, _, _ in stored],
                "attempt": [attempt for _, attempt, _ in stored],
                "n": [o.number for _, _, o in stored],
                "size_bytes": [o.size_bytes for _, _, o in stored],
                "sha256": [bytes.fromhex(o.sha256 or "") for _, _, o in stored],
                "store_key": [o.store_key for _, _, o in stored],
            },
        )
    if failed:
        await connection.execute(
            FAILED,
            {
                "run_id": [run for run, _, _ in failed],
                "attempt": [attempt for _, attempt, _ in failed],
                "n": [o.number for _, _, o in failed],
                "failure": [kept(o.failure) for _, _, o in failed if o.failure is not None],
            },
        )
