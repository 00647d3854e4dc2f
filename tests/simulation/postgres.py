"""The product's own `Database` on a driver that blocks: one statement at a time, in the order that the seed gives.

SQLAlchemy's asynchronous engine runs its driver inside a greenlet. Here the driver underneath is psycopg's blocking
one, so a statement is over when the call returns, and no two replies can race. Between the statements of a transaction
others get a turn when the seed says so; a statement that waits for another's lock lets them run until it is granted.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
from psycopg import generators, waiting
from psycopg.pq import ExecStatus, Format
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.util import await_only

from orchestrator.storage import copying
from tests.simulation.faults import Faults
from tests.simulation.locks import Server, Waiter

registry.register("postgresql.simulated", __name__, "SimulatedDialect")

#: A statement that has not answered for so long may be waiting for a lock; then Postgres is asked. Real seconds.
SUSPECT_S = 0.004

#: The session's own limits are in real time, which says nothing here.
_NO_LIMITS = "-c statement_timeout=300s -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"


class Killed(BaseException):
    """The worker that runs this is dead. Not an Exception: nothing of it may go on."""


@dataclass
class Client:
    """One simulated process, as its database driver sees it.

    Args:
        now: the virtual wall clock as an ISO time.
        interleave: the chance of a transaction to let others run between its statements.
        is_away: tells whether the database cannot be reached now.
        when_committed: called after each commit.
    """

    server: Server
    faults: Faults
    rng: Random
    now: Callable[[], str]
    interleave: float
    is_away: Callable[[], bool]
    when_committed: Callable[[], None] = lambda: None
    is_dead: bool = False
    #: In the order they were made: what befalls them all must befall them in one order.
    connections: dict[SimConnection, None] = field(default_factory=dict)

    def kill(self) -> None:
        """Die: what was open is rolled back by the server, which sees the socket close."""
        self.is_dead = True
        for connection in tuple(self.connections):
            connection.cut()


class SimCursor(psycopg.Cursor[Any]):
    """A blocking cursor under an asynchronous engine: closing it is nothing to wait for."""

    async def _async_soft_close(self) -> None:
        """Answer SQLAlchemy, which asks it of every cursor of an asynchronous engine."""


class SimConnection(psycopg.Connection[Any]):
    """A blocking connection that steps aside while it waits for a lock."""

    client: Client
    is_interleaved = False
    is_in_transaction = False
    #: The backend's, known for longer than the connection lasts.
    pid = 0

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def wait(self, gen: Generator[Any, Any, Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Drive one exchange with the server to its end."""
        if self.client.server.open_transactions <= 1:
            return super().wait(gen, interval, timeout)  # nobody is there whose lock it could wait for
        descriptor = self.pgconn.socket
        try:
            wanted = next(gen)
            while True:
                reads = [descriptor] if wanted & waiting.WAIT_R else []
                writes = [descriptor] if wanted & waiting.WAIT_W else []
                readable, writable, _ = select.select(reads, writes, [], SUSPECT_S)
                ready = (waiting.READY_R if readable else 0) | (waiting.READY_W if writable else 0)
                if ready:
                    wanted = gen.send(ready)
                elif self.is_in_transaction and (blockers := self.client.server.blockers(self.pid)):
                    self._step_aside(blockers)
        except StopIteration as end:
            return end.value

    def _step_aside(self, blockers: frozenset[int]) -> None:
        server = self.client.server
        if server.is_deadlock(self.pid, blockers):
            return
        waiter = Waiter(self.pid, asyncio.get_running_loop().create_future())
        server.stand_still(waiter, blockers)
        try:
            await_only(waiter.granted)
        except BaseException:
            server.waiting.pop(waiter, None)
            self.cut()  # its statement is still under way, so it is of no more use
            raise
        if self.client.is_dead:
            raise Killed
        if self.closed:
            raise psycopg.OperationalError("the connection was lost while it waited for a lock (simulated)")

    def begin_if_needed(self) -> None:
        """Note that a transaction begins with the next statement, and draw whether others may run within it."""
        if self.is_in_transaction:
            return
        self.is_in_transaction = True
        self.client.server.open_transactions += 1
        self.is_interleaved = self.client.rng.random() < self.client.interleave

    def _exec_command(self, command: Any, result_format: Any = Format.TEXT) -> Any:
        """Take the two results of a transaction's beginning, where the driver expects one."""
        if not isinstance(command, bytes) or not command.startswith(b"BEGIN; SET"):
            return (yield from super()._exec_command(command, result_format))
        self.pgconn.send_query(command)
        results = yield from generators.execute(self.pgconn)
        if any(result.status != ExecStatus.COMMAND_OK for result in results):
            raise psycopg.OperationalError("the transaction could not begin")
        return results[-1]

    def _get_tx_start_command(self) -> bytes:
        """Begin a transaction at the virtual time, in the one message that begins it anyway."""
        return f"BEGIN; SET LOCAL orch.now = '{self.client.now()}'".encode()

    def end(self) -> None:
        """Note that the transaction is over, one way or another."""
        if self.is_in_transaction:
            self.is_in_transaction = False
            self.client.server.open_transactions -= 1
            self.client.server.wake(self.pid)

    def cut(self) -> None:
        """Lose the connection, as when a cable is pulled or a process dies."""
        self.client.connections.pop(self, None)
        self.pgconn.finish()
        if self.is_in_transaction:
            self.client.server.bury(self.pid)
        self.end()


class SimulatedDialect(PGDialect_psycopg):
    """psycopg's dialect, blocking under an asynchronous engine, with the faults of a database's boundary."""

    is_async = True
    supports_statement_cache = True
    #: Set on the engine's dialect right after it was made.
    client: Client

    @classmethod
    def get_async_dialect_cls(cls, url: Any) -> Any:
        """Be asynchronous oneself: the blocking driver's dialect names another for that."""
        return cls

    def connect(self, *arguments: Any, **options: Any) -> Any:
        if self.client.is_dead:
            raise Killed
        if self.client.is_away() or self.client.faults.at("db.connect"):
            raise psycopg.OperationalError("connection refused (simulated)")
        connection = SimConnection.connect(*arguments, **{**options, "options": f"{options['options']} {_NO_LIMITS}"})
        connection.cursor_factory = SimCursor
        connection.client = self.client
        connection.pid = connection.pgconn.backend_pid
        self.client.connections[connection] = None
        return connection

    def do_ping(self, dbapi_connection: Any) -> bool:
        return not dbapi_connection.closed

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        connection = cursor.connection
        self._before(connection)
        await_only(self._others_turn(connection))
        cursor.execute(statement, parameters)

    async def _others_turn(self, connection: SimConnection) -> None:
        """Let others run before this statement, if this transaction is one of those."""
        if connection.is_interleaved:
            await asyncio.sleep(self.client.rng.choice((0, 0, 0.001, 0.02)))
            if self.client.is_dead:
                raise Killed
            if connection.closed:
                raise psycopg.OperationalError("the connection was lost between two statements (simulated)")

    def _before(self, connection: SimConnection) -> None:
        if self.client.is_dead:
            raise Killed
        if self.client.is_away() or self.client.faults.at("db.statement"):
            connection.cut()
            raise psycopg.OperationalError("the connection is lost (simulated)")
        connection.begin_if_needed()

    def do_commit(self, dbapi_connection: Any) -> None:
        if self.client.is_dead:
            raise Killed
        fault = None
        if dbapi_connection.is_in_transaction:
            fault = "lost_before" if self.client.is_away() else self.client.faults.at("db.commit")
        if fault == "lost_before":
            dbapi_connection.cut()
            raise psycopg.OperationalError("the connection is lost (simulated)")
        dbapi_connection.commit()
        dbapi_connection.end()
        self.client.when_committed()
        if fault is not None:
            dbapi_connection.cut()
            raise psycopg.OperationalError("the connection is lost after the commit (simulated)")

    def do_rollback(self, dbapi_connection: Any) -> None:
        if not dbapi_connection.closed:
            dbapi_connection.rollback()
        dbapi_connection.end()

    def do_close(self, dbapi_connection: Any) -> None:
        self.client.connections.pop(dbapi_connection, None)
        dbapi_connection.close()
        dbapi_connection.end()


def copy_rows_blocking(connection: Any, query: Any, lines: Any) -> None:
    """Stand in for the product's COPY, which speaks to an asynchronous driver."""
    driver = connection.sync_connection.connection.driver_connection
    assert isinstance(driver, SimConnection)
    driver.begin_if_needed()
    with driver.cursor() as cursor, cursor.copy(query) as copy:
        for block in copying.blocks(lines):
            copy.write(block)
