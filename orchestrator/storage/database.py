"""The door to Postgres: one engine for each event loop, transactions that know they are open, and what to retry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Row, TextClause, event, text
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from orchestrator.errors import Unavailable
from orchestrator.runtime import transaction_open
from orchestrator.storage import patience
from orchestrator.storage.arrays import ADAPTERS
from orchestrator.storage.troubles import DISCONNECTING, NO_CONNECTION_FREE, explained

T = TypeVar("T")

#: Between two tries of a unit of work, seconds.
LONGEST_PAUSE_S = 3.0

#: Tries of what must not be given up while the process lives: the answer of a launch is in its memory alone.
FOR_EVER = 1_000_000

#: Somebody may be waiting: no new try begins so long after the first, seconds. Not for what is tried for ever.
TRY_ANEW_WITHIN_S = 5.0

# A process that stands still in the middle of a transaction (SIGSTOP, a sleeping machine) keeps its locks for so long:
# less than the 20 s after which a worker is silent, so that its work is free within 45 s all the same.
_SESSION = (
    f"-c statement_timeout={patience.STATEMENT_S}s -c lock_timeout=10s"
    " -c idle_in_transaction_session_timeout=15s -c timezone=UTC"
)

NOW = text("SELECT orch_now()")


class Database:
    """Opens transactions. Make it inside the event loop that will use it, and close it there.

    Args:
        ping_after_s: a connection that was used so short ago is not asked whether it lives before it is used: what
            asks many small questions would ask twice each time. One that hangs is then noticed by the question itself.
    """

    def __init__(
        self, url: str, *, pool_size: int = 5, program: str = "orchestrator", ping_after_s: float = 0.0
    ) -> None:
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=10,
            pool_recycle=1800,
            pool_pre_ping=True,
            # The one that was used last is the one that needs no asking.
            pool_use_lifo=ping_after_s > 0,
            connect_args={
                "application_name": program,
                "connect_timeout": 5,
                "options": _SESSION,
                "context": ADAPTERS,
                # Rows that we pack ourselves hold texts in it, whatever the process' surroundings ask for.
                "client_encoding": "utf8",
                "keepalives_idle": 15,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                # Bytes that a dead machine never acknowledges: keepalives do not see them.
                "tcp_user_timeout": 30_000,
            },
        )
        patience.bound(self._engine, ping_after_s=ping_after_s)
        event.listen(self._engine.sync_engine, "handle_error", _mark_disconnects)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction; it commits at the end of the block. No network call may happen inside.

        Raises:
            Unavailable: the database is away, hangs, is full, or is too busy; `code` says which. Whether the
                transaction was committed is not known when it was lost at the very end.
            Misconfigured: the database was never migrated.
        """
        assert not transaction_open.get(), "transactions do not nest"
        token = transaction_open.set(True)
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (DBAPIError, psycopg.Error) as error:
            said = explained(error)
            if said is None:
                raise
            raise said from error
        except PoolTimeout as error:
            raise NO_CONNECTION_FREE.error() from error
        finally:
            transaction_open.reset(token)

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]], *, tries: int = 5) -> T:
        """Run one unit of work in a transaction, again from its start where that may help.

        The unit must be safe to repeat when the commit's answer was lost: fenced, or with ids made by the caller.
        """
        began_at = asyncio.get_running_loop().time()
        for attempt in range(1, tries + 1):
            try:
                async with self.transaction() as connection:
                    return await work(connection)
            except Unavailable:
                waited_s = asyncio.get_running_loop().time() - began_at
                if attempt == tries or (tries < FOR_EVER and waited_s > TRY_ANEW_WITHIN_S):
                    raise
                await asyncio.sleep(min(0.05 * 2**attempt, LONGEST_PAUSE_S))
        raise AssertionError("the loop returns or raises")

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _mark_disconnects(context: ExceptionContext) -> None:
    """Make SQLAlchemy drop connections that a failover left half alive: psycopg itself does not call them broken."""
    if getattr(context.original_exception, "sqlstate", None) in DISCONNECTING:
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
