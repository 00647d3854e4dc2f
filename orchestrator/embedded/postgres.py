"""PostgreSQL from a wheel as a part of the product: started, found again after a crash, and stopped.

It listens on a Unix socket in the data folder only, asks for a password even there, and outlives the process
that started it: a supervisor that was killed finds its server running and goes on with it. The one who
wants it stopped calls `stop`; nothing happens at exit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from orchestrator.embedded.account import Account, account_for
from orchestrator.embedded.address import PORT, Address
from orchestrator.embedded.binaries import programs_for
from orchestrator.embedded.claim import turn
from orchestrator.embedded.cluster import SUPERUSER, Cluster
from orchestrator.embedded.datadir import DataDir, explained
from orchestrator.embedded.postmaster import Postmaster, StopMode
from orchestrator.embedded.serverlog import FOLDER as LOG_FOLDER
from orchestrator.embedded.serverlog import ServerLog, startup_error
from orchestrator.embedded.serversettings import FINGERPRINT, NOT_DURABLE, SETTINGS, arguments, fingerprint
from orchestrator.errors import Conflict, Misconfigured, NotFound, Unavailable

Connection: TypeAlias = psycopg.Connection[tuple[object, ...]]

DATABASE = "orchestrator"
#: What the product logs in as: owner of its database, no superuser, so that SQL cannot read files or run programs.
ROLE = "orchestrator"
CONNECT_TIMEOUT_S = 10
MIN_CONNECT_TIMEOUT_S = 2  # libpq's own
LOOK_EVERY_S = 0.02
MAX_PAUSE_S = 0.25
#: After the deadline of a stop: immediate, and then kill. Both lose nothing; the next start recovers.
IMMEDIATE_PATIENCE_S = 15.0
#: A server found running may be on its way out, or have other settings; more than this many turns is a bug.
MAX_STARTS = 3


class EmbeddedPostgres:
    """The Postgres of one data folder. Any number of objects, in any process, may speak of the same server.

    Args:
        durable: False only for tests; see `serversettings.NOT_DURABLE`.
        settings: Postgres settings that differ from `SETTINGS`.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True, settings: Mapping[str, str] | None = None) -> None:
        self._data = DataDir(data_dir)
        self._is_durable = durable
        self._settings = {**SETTINGS, **({} if durable else NOT_DURABLE), **(settings or {})}
        self._cluster = Cluster(self._data.postgres)
        self._address = Address(self._cluster.path)
        self._start_log = self._data.logs / "postgres-start.log"
        self._log = ServerLog(start_log=self._start_log, cluster=self._cluster.path)
        self._postmaster: Postmaster | None = None

    def start(self, deadline_s: float = 120.0) -> None:
        """Return when the product can log in to its database; make both where they are missing.

        Recovery after a crash can take minutes. When the deadline comes first, the server goes on with it, and
        the next `start` finds it.

        Raises:
            Misconfigured: this folder, or this account, cannot hold or run it.
            Unavailable: it did not come up in time, or ended; the message has the end of its log.
        """
        until = time.monotonic() + deadline_s
        self._data.create()
        with explained(f"run PostgreSQL in {self._data.postgres}"), self._turn(deadline_s):
            account = account_for(self._cluster.path)
            programs = programs_for(account)
            self._make_cluster(programs, account, until)
            password = self._data.make_password(ROLE)
            with self._up(programs, account, until) as connection:
                try:
                    _provide(connection, password)
                except psycopg.OperationalError as error:  # a full disk, or it ended just now
                    raise startup_error("PostgreSQL could not make the product's database", str(error)) from error

    def stop(self, mode: StopMode | str = StopMode.FAST, deadline_s: float = 60.0) -> None:
        """End the server, whoever started it; return when it is gone. No server is no error.

        After the deadline it is ended at once, which loses nothing: the next start recovers.
        """
        with explained(f"stop PostgreSQL in {self._data.postgres}"):
            if not self._data.run.exists():
                return
            with self._turn(deadline_s):
                self._stop(StopMode(mode), deadline_s)
                self._address.forget()

    def is_running(self) -> bool:
        """Tell whether the server process lives (it may still be recovering).

        Meant to be asked now and then: it also mends the short way to the socket, which a cleaner of
        temporary files may take away.
        """
        postmaster = self._current()
        if postmaster is not None:
            self._address.host()
        return postmaster is not None

    def kill(self) -> None:
        """End the server and its children as a power cut would. For tests."""
        postmaster = self._current()
        if postmaster is not None:
            postmaster.kill()

    @property
    def pid(self) -> int | None:
        """The server's process id, None when it does not run."""
        postmaster = self._current()
        return postmaster.pid if postmaster else None

    def dsn(self, database: str = DATABASE) -> str:
        """Return the product's SQLAlchemy URL. It holds the password."""
        host = quote(self._address.host())
        password = self._data.password(ROLE)
        return f"postgresql+psycopg://{ROLE}:{password}@/{quote(database, safe='')}?host={host}&port={PORT}"

    def libpq(self, database: str = DATABASE) -> str:
        """Return the product's connection string for libpq and the broker. It holds the password."""
        return self._conninfo(ROLE, database)

    def superuser_libpq(self, database: str = "postgres") -> str:
        """Return the superuser's connection string, for people and tests; the product never uses it."""
        return self._conninfo(SUPERUSER, database)

    def create_database(self, name: str, template: str | None = None) -> None:
        """Make a database that the product owns; with `template`, as a copy of that one (nobody may be in it).

        Raises:
            Conflict: the name is taken, or somebody is in the template.
            NotFound: there is no such template.
        """
        # Measured: without fsync a copy of the files takes 0.04 s, a copy through the log 0.15 s; with it both do.
        strategy = "WAL_LOG" if self._is_durable else "FILE_COPY"
        order = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY {}").format(
            sql.Identifier(name),
            sql.Identifier(ROLE),
            sql.Identifier(template or "template1"),
            sql.SQL(strategy),
        )
        try:
            with self._superuser() as connection:
                connection.execute(order)
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.ObjectInUse) as error:
            raise Conflict(str(error).strip()) from error
        except psycopg.errors.InvalidCatalogName as error:
            raise NotFound(str(error).strip()) from error

    def drop_database(self, name: str) -> None:
        """Remove a database and whoever is in it. No database is no error."""
        with self._superuser() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _turn(self, patience_s: float) -> AbstractContextManager[None]:
        """Let one process at a time start or stop this server."""
        return turn(self._data.run / "postgres.lock", patience_s=patience_s)

    def _make_cluster(self, programs: Path, account: Account | None, until: float) -> None:
        password = self._data.make_password(SUPERUSER)  # kept before the first cluster that asks for it
        if not self._cluster.path.exists() or not any(self._cluster.path.iterdir()):
            self._cluster.make(
                programs=programs,
                account=account,
                password=password,
                log=self._data.logs / "initdb.log",
                is_durable=self._is_durable,
                deadline_s=max(until - time.monotonic(), 1.0),
            )
        self._cluster.check()
        self._cluster.adopt(account)
        self._show_logs()

    def _show_logs(self) -> None:
        """Put Postgres' log folder where people look for logs."""
        link = self._data.logs / "postgres"
        if not link.is_symlink():
            link.symlink_to(Path("..") / self._cluster.path.relative_to(self._data.root) / LOG_FOLDER)

    def _up(self, programs: Path, account: Account | None, until: float) -> Connection:
        """Return a superuser's connection to a server with our settings: the running one, or a new one."""
        for _ in range(MAX_STARTS):
            self._log.mark()
            running = self._current()
            self._postmaster = running or self._launch(programs, account)
            connection = self._await(self._postmaster, until)
            if connection is None and running is None:
                raise startup_error("PostgreSQL did not start", self._log.since_mark())
            if connection is not None and _started_with(connection) == fingerprint(self._settings, programs):
                return connection
            if connection is not None:  # other settings, or other programs
                connection.close()
                self._stop(StopMode.FAST, max(until - time.monotonic(), 1.0))
        raise Unavailable("PostgreSQL keeps ending.", hint=f"See {self._data.logs}.")

    def _launch(self, programs: Path, account: Account | None) -> Postmaster:
        return Postmaster.launch(
            self._cluster.path,
            program=programs / "postgres",
            arguments=arguments(self._settings, programs),
            account=account,
            log=self._start_log,
        )

    def _await(self, postmaster: Postmaster, until: float) -> Connection | None:
        """Return a connection as soon as the server takes one, None when it ended instead."""
        pause_s = LOOK_EVERY_S
        while True:
            try:
                return self._superuser(until - time.monotonic())
            except psycopg.OperationalError as error:
                reason = str(error).strip()
            if "password authentication failed" in reason:
                raise Misconfigured(
                    f"The database in {self._cluster.path} does not take the password in {self._data.keys}.",
                    code="database_password",
                    hint="Put the folder `keys` back from the backup that the database is from.",
                )
            if not postmaster.is_alive:
                return None
            if time.monotonic() >= until:
                raise Unavailable(
                    f"PostgreSQL (process {postmaster.pid}) is not ready yet: {reason}",
                    code="database_unavailable",
                    hint="It goes on recovering by itself; start again to wait for it.",
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def _current(self) -> Postmaster | None:
        if self._postmaster is None or not self._postmaster.is_alive:
            with explained(f"find PostgreSQL in {self._data.postgres}"):
                self._postmaster = Postmaster.find(self._cluster.path)
        return self._postmaster

    def _stop(self, mode: StopMode, deadline_s: float) -> None:
        postmaster = self._current()
        if postmaster is None:
            return
        postmaster.ask_to_stop(mode)
        if not postmaster.wait(deadline_s):
            postmaster.ask_to_stop(StopMode.IMMEDIATE)
            if not postmaster.wait(IMMEDIATE_PATIENCE_S):
                postmaster.kill()
        self._postmaster = None

    def _superuser(self, patience_s: float = CONNECT_TIMEOUT_S) -> Connection:
        timeout_s = round(min(max(patience_s, MIN_CONNECT_TIMEOUT_S), CONNECT_TIMEOUT_S))
        return psycopg.connect(self.superuser_libpq(), autocommit=True, connect_timeout=timeout_s)

    def _conninfo(self, role: str, database: str) -> str:
        return make_conninfo(
            host=self._address.host(),
            port=PORT,
            dbname=database,
            user=role,
            password=self._data.password(role),
        )


def _started_with(connection: Connection) -> str:
    row = connection.execute("SELECT current_setting(%s, true)", [FINGERPRINT]).fetchone()
    return str(row[0]) if row else ""


def _provide(connection: Connection, password: str) -> None:
    """Make the product's role and database where they are missing: a start may be killed between any two steps.

    The role's password is set anew each time, so that a lost file of it mends itself.
    """
    role = sql.Identifier(ROLE)
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    # The server is told the verifier, not the password.
    verifier = connection.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256")
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, verifier.decode()))
    connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(role))
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), role))
