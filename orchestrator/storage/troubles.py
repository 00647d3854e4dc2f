"""What an error of the database means for the caller: almost always, that it is to be tried again later.

Shape: a SQLSTATE, or where a connection was refused and there is none, a word of the server's reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from sqlalchemy.exc import DBAPIError, OperationalError

from orchestrator.errors import Misconfigured, OrchestratorError, Unavailable

_UNDEFINED_TABLE = "42P01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One kind of trouble: a stable code, what to say, what a person can do, and when to come back."""

    code: str
    message: str
    hint: str | None = None
    retry_after_s: float = 5.0

    def error(self) -> Unavailable:
        """Return it as what the caller sees."""
        return Unavailable(self.message, code=self.code, hint=self.hint, retry_after_s=self.retry_after_s)


AWAY = Trouble(code="database_unavailable", message="the database is away")

NO_CONNECTION_FREE = Trouble(code="database_busy", message="all database connections are busy")

_BUSY = Trouble(code="database_busy", message="others keep what is needed in the database locked", retry_after_s=2.0)

_FULL = Trouble(
    code="database_full",
    message="the database's disk is full: nothing can be stored, and nothing is launched",
    hint="Free space on the disk of Postgres; work goes on by itself.",
    retry_after_s=30.0,
)

_OUT_OF_MEMORY = Trouble(
    code="database_out_of_memory",
    message="the database is out of memory",
    hint="Give Postgres more memory, or lower its max_connections; work goes on by itself.",
    retry_after_s=30.0,
)

_TOO_MANY = Trouble(
    code="database_connections",
    message="the database takes no more connections",
    hint="Raise Postgres' max_connections, or run fewer workers.",
    retry_after_s=10.0,
)

_SLOW = Trouble(
    code="database_slow",
    message="the database took too long for a statement, or was told to cancel it",
    hint="Look for what loads Postgres; the work is tried again.",
)

_READ_ONLY = Trouble(
    code="database_read_only",
    message="the database takes no writes: it is a standby, or was made read-only",
    hint="ORCH_DATABASE_URL must lead to the primary.",
    retry_after_s=10.0,
)

_STARTING = Trouble(code="database_starting", message="the database is starting or recovering", retry_after_s=2.0)

_DISK = Trouble(
    code="database_io",
    message="the database cannot read or write its files",
    hint="Postgres' log says which; check its disk.",
    retry_after_s=30.0,
)

_REFUSES_US = Trouble(
    code="database_refuses_us",
    message="the database does not let us in",
    hint="Check user, password and database name in ORCH_DATABASE_URL.",
    retry_after_s=30.0,
)

_BY_STATE: Mapping[str, Trouble] = {
    "40001": _BUSY,
    "40P01": _BUSY,
    "55P03": _BUSY,
    "53000": _OUT_OF_MEMORY,
    "53100": _FULL,
    "53200": _OUT_OF_MEMORY,
    "53300": _TOO_MANY,
    "53400": _DISK,
    "57014": _SLOW,
    "57P01": AWAY,
    "57P02": AWAY,
    "57P03": _STARTING,
    "57P04": AWAY,
    "57P05": AWAY,
    "25006": _READ_ONLY,
    "25P03": _SLOW,
    "25P04": _SLOW,
    "58000": _DISK,
    "58030": _DISK,
}

#: A server that refuses a connection tells its reason in words only: libpq passes no SQLSTATE on.
_AT_THE_DOOR: Mapping[str, Trouble] = {
    "too many clients": _TOO_MANY,
    "too many connections": _TOO_MANY,
    "remaining connection slots": _TOO_MANY,
    "starting up": _STARTING,
    "recovery": _STARTING,
    "not yet accepting connections": _STARTING,
    "password authentication failed": _REFUSES_US,
    "no pg_hba.conf entry": _REFUSES_US,
    "does not exist": _REFUSES_US,
    "No space left on device": _FULL,
}

#: After these the connection is of no more use, though psycopg itself does not call it broken: the server is going
#: away, or it became a standby. A new connection may lead to another server.
DISCONNECTING = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25006", "25P03", "25P04"})


def explained(error: DBAPIError | psycopg.Error) -> OrchestratorError | None:
    """Return what a caller should see of a database error; None for our own bugs.

    Args:
        error: SQLAlchemy's, or psycopg's own: those of a COPY come unwrapped.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    if state == _UNDEFINED_TABLE:
        return Misconfigured("the database lacks our tables", code="not_migrated", hint="orchestrator migrate")
    if state is not None and state in _BY_STATE:
        return _BY_STATE[state].error()
    if not is_disconnect(error):
        return None
    reason = str(cause)
    return next((trouble for words, trouble in _AT_THE_DOOR.items() if words in reason), AWAY).error()


def is_disconnect(error: DBAPIError | psycopg.Error) -> bool:
    """Tell whether the connection, not the statement, failed."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError | psycopg.OperationalError)
    return state in DISCONNECTING or str(state).startswith("08")
