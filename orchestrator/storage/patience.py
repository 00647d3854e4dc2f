"""How long a database may keep us waiting: a server that hangs answers nothing, and says nothing about it.

Postgres' own limits (statement, lock) end with the server. One that stands still, or whose machine is gone, is only
noticed here: a connection that owes an answer for too long is closed, which reads as a connection that was lost.
"""

from __future__ import annotations

import time
from typing import Any

from psycopg import AsyncConnection, OperationalError
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout
from sqlalchemy import event, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection as Transaction
from sqlalchemy.ext.asyncio import AsyncEngine

#: The server ends a statement by itself after so long; ANSWER_WITHIN_S is a little more.
STATEMENT_S = 20

#: An answer that takes longer does not come any more, seconds.
ANSWER_WITHIN_S = 25.0

#: An idle connection is asked before it is used, and needs no time to think.
PING_WITHIN_S = 3.0

#: How often a wait looks up, seconds: psycopg's own figure.
_LOOK_S = 0.1

# On one core: what reads a whole history must not take the cores from the workers. Memory for a join of a million rows.
_TAKE_TIME = text("""
    SELECT set_config('statement_timeout', CAST(:statement_ms AS text), true),
        set_config('idle_in_transaction_session_timeout', '60s', true), set_config('work_mem', '64MB', true),
        set_config('max_parallel_workers_per_gather', '0', true), set_config('jit', 'off', true)""")


class BoundedConnection(AsyncConnection[Any]):
    """A connection that is given up when the server owes an answer for too long."""

    patience_s = ANSWER_WITHIN_S
    used_at_s: float | None = None

    async def wait(self, gen: PQGen[Any], interval: float = _LOOK_S, timeout: float | None = None) -> Any:
        """Wait for the server, but not for ever."""
        limit_s = self.patience_s if timeout is None else min(timeout, self.patience_s)
        try:
            return await super().wait(gen, interval, limit_s)
        except _WaitTimeout:
            if timeout is not None and timeout <= self.patience_s:
                raise
            # Closed, not cancelled: a cancel is one more question to a server that answers none.
            self.pgconn.finish()
            raise OperationalError(f"the database has not answered for {self.patience_s:.0f} s") from None


def bound(engine: AsyncEngine, *, ping_after_s: float) -> None:
    """Make every wait of an engine's connections end.

    Args:
        ping_after_s: a connection that was used so short ago is not asked before it is used.
    """
    event.listen(engine.sync_engine, "do_connect", _open_bounded)
    event.listen(engine.sync_engine, "checkout", _expect_answers)
    event.listen(engine.sync_engine, "checkin", _expect_pings)
    _ask_only_the_idle(engine.dialect, ping_after_s)


def _ask_only_the_idle(dialect: Dialect, ping_after_s: float) -> None:
    """Leave out the pool's question to a connection that was just used; the pool itself asks always or never."""
    ask = dialect.do_ping

    def do_ping(dbapi_connection: DBAPIConnection) -> bool:
        return _is_fresh(dbapi_connection, ping_after_s) or ask(dbapi_connection)

    dialect.do_ping = do_ping  # type: ignore[method-assign]


def _open_bounded(dialect: Dialect, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
    # A driver of another kind has its own way to wait.
    if isinstance(dialect, PGDialectAsync_psycopg):
        options["async_creator_fn"] = BoundedConnection.connect


def _is_fresh(connection: Any, within_s: float) -> bool:
    driver = getattr(connection, "driver_connection", None)
    if not isinstance(driver, BoundedConnection) or driver.used_at_s is None:
        return False
    return not driver.closed and time.monotonic() - driver.used_at_s < within_s


def _expect_answers(connection: Any, *_: Any) -> None:
    _set(connection, ANSWER_WITHIN_S)


def _expect_pings(connection: Any, *_: Any) -> None:
    _set(connection, PING_WITHIN_S)
    driver = getattr(connection, "driver_connection", None)
    if isinstance(driver, BoundedConnection):
        driver.used_at_s = time.monotonic()


def _set(connection: Any, patience_s: float) -> None:
    driver = getattr(connection, "driver_connection", None)  # None where the pool has just dropped it
    if isinstance(driver, BoundedConnection):
        driver.patience_s = patience_s


async def take_time(transaction: Transaction, statement_s: int) -> None:
    """Let the statements of this one transaction take longer than others may."""
    await transaction.execute(_TAKE_TIME, {"statement_ms": str(statement_s * 1000)})
    # Back to the ordinary patience by itself, when the connection is next taken from the pool.
    _set(await transaction.get_raw_connection(), statement_s + 5.0)
