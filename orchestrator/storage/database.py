"""The door to Postgres: one engine for each event loop, transactions that know they are open, and what to retry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, TextClause, event, text
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from orchestrator.errors import Misconfigured, OrchestratorError, Unavailable
from orchestrator.runtime import transaction_open

T = TypeVar("T")

#: SQLSTATEs of a transaction that may be run again from its start: serialization, deadlock, lock timeout.
_RETRYABLE = frozenset({"40001", "40P01", "55P03"})

#: The server is going away, coming up, or is a read-only standby: the connection is of no more use.
_DISCONNECTED = frozenset({"57P01", "57P02", "57P03", "25006"})

#: Between two tries of a unit of work, seconds.
LONGEST_PAUSE_S = 3.0

#: Tries of what must not be given up while the process lives: the answer of a launch is in its memory alone.
FOR_EVER = 1_000_000

_UNDEFINED_TABLE = "42P01"

_SESSION = "-c statement_timeout=60s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"

NOW = text("SELECT orch_now()")


class Database:
    """Opens transactions. Make it inside the event loop that will use it, and close it there."""

    def __init__(self, url: str, *, pool_size: int = 5, program: str = "orchestrator") -> None:
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=15,
            pool_recycle=1800,
            pool_pre_ping=True,
            connect_args={
                "application_name": program,
                "connect_timeout": 5,
                "options": _SESSION,
                "keepalives_idle": 15,
                "keepalives_interval": 5,
                "keepalives_count": 3,
            },
        )
        event.listen(self._engine.sync_engine, "handle_error", _mark_disconnects)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction; it commits at the end of the block. No network call may happen inside.

        Raises:
            Unavailable: the database cannot be reached.
        """
        assert not transaction_open.get(), "transactions do not nest"
        token = transaction_open.set(True)
        try:
            async with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            explained = _explained(error)
            if explained is None:
                raise
            raise explained from error
        except PoolTimeout as error:
            raise Unavailable("all database connections are busy", code="database_busy") from error
        finally:
            transaction_open.reset(token)

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]], *, tries: int = 5) -> T:
        """Run one unit of work in a transaction, again from its start where that may help.

        The unit must be safe to repeat when the commit's answer was lost: fenced, or with ids made by the caller.
        """
        for attempt in range(1, tries + 1):
            try:
                async with self.transaction() as connection:
                    return await work(connection)
            except (DBAPIError, Unavailable) as error:
                if attempt == tries or not _is_worth_a_retry(error):
                    raise
                await asyncio.sleep(min(0.05 * 2**attempt, LONGEST_PAUSE_S))
        raise AssertionError("the loop returns or raises")

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _explained(error: DBAPIError) -> OrchestratorError | None:
    """Return what a caller should see: the database is away, or was never migrated; None for all else."""
    if is_disconnect(error):
        return Unavailable("the database is away", code="database_unavailable")
    if getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
        return Misconfigured("the database lacks our tables", code="not_migrated", hint="orchestrator migrate")
    return None


def is_disconnect(error: DBAPIError) -> bool:
    """Tell whether the connection, not the statement, failed."""
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError)
    return state in _DISCONNECTED or str(state).startswith("08")


def _is_worth_a_retry(error: DBAPIError | Unavailable) -> bool:
    if isinstance(error, Unavailable):
        return True
    return getattr(error.orig, "sqlstate", None) in _RETRYABLE


def _mark_disconnects(context: ExceptionContext) -> None:
    """Make SQLAlchemy drop connections that a failover left half alive: psycopg itself does not call them broken."""
    if getattr(context.original_exception, "sqlstate", None) in _DISCONNECTED:
        context.is_disconnect = True


async def now(connection: AsyncConnection) -> datetime:
    """Return the one clock's time: the database's, at the start of this transaction."""
    moment: datetime = (await connection.execute(NOW)).scalar_one()
    return moment


async def rows(connection: AsyncConnection, query: TextClause, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
    """Run a query and return all its rows."""
    return (await connection.execute(query, values)).all()


async def one(connection: AsyncConnection, query: TextClause, values: Mapping[str, Any]) -> Row[Any] | None:
    """Run a query and return its row, or None."""
    return (await connection.execute(query, values)).one_or_none()


async def execute(connection: AsyncConnection, query: TextClause, values: Mapping[str, Any]) -> int:
    """Run a statement and return how many rows it touched."""
    return (await connection.execute(query, values)).rowcount
