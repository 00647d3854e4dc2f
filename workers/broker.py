"""Which broker, and what it needs before a message can be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from kombu.transport import TRANSPORT_ALIASES
from pgmq import install_pgmq_from_sql
from sqlalchemy.engine import make_url

from orchestrator.settings import Settings
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: The doorbells, one queue each, so that operators can scale them apart.
QUEUES = ("launch", "poll", "download", "fire", "deliver", "sweep")

#: A doorbell older than this rings for nothing.
EXPIRES_S = 30

_INSTALL_LOCK = 7_205_012

# The scheme `pgmq://` means our transport, which finds its queues made.
TRANSPORT_ALIASES["pgmq"] = "workers.pgmq_transport:Transport"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """How Celery reaches its broker."""

    url: str
    options: dict[str, Any]

    @property
    def is_pgmq(self) -> bool:
        """Whether messages lie in Postgres."""
        return self.url.startswith("pgmq:")


def broker(settings: Settings) -> Broker:
    """Return the broker that the settings name; by default, queues in the same Postgres."""
    if settings.broker_url is not None:
        url = settings.broker_url.get_secret_value()
        return Broker(url=url, options=_options(url, libpq=None))
    return Broker(url="pgmq://localhost", options=_options("pgmq:", libpq=libpq(settings.require_database_url())))


def _options(url: str, *, libpq: str | None) -> dict[str, Any]:
    if url.startswith("pgmq:"):
        # Measured: a wake-up in 7 ms. Long polls would serialise the queues, and the extension is installed by SQL.
        options: dict[str, Any] = {
            "use_notify": True,
            "wait_time_seconds": 0,
            "polling_interval": 1,
            "init_extension": False,
            "notify_throttle_interval_ms": 0,
            "visibility_timeout": 60,
            "pool_size": 2,
            "pool_timeout": 5,
        }
        return options | ({"conn_string": libpq} if libpq else {})
    if url.startswith(("redis:", "rediss:")):
        return {
            "socket_timeout": 10,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 15,
        }
    return {"confirm_publish": True}


def libpq(database_url: str) -> str:
    """Return a database URL in libpq's keyword form, the only one in which the broker keeps a socket's folder."""
    url = make_url(database_url)
    host = url.query.get("host") or url.host or "localhost"
    port = url.query.get("port") or url.port or 5432
    given = {
        "host": host,
        "port": port,
        "dbname": url.database or "postgres",
        "user": url.username or "postgres",
        "password": url.password or "",
    }
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in given.items())


def _quoted(value: str) -> str:
    plain = value and not any(c in value for c in " '\\")
    return value if plain else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def prepare(settings: Settings) -> None:
    """Make the queues where the broker is Postgres and they are missing. Any number may call it, at once and again."""
    if not broker(settings).is_pgmq:
        return
    target = broker_dsn(settings)
    with psycopg.connect(target, autocommit=True, connect_timeout=5) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_INSTALL_LOCK,))
        installed = connection.execute("SELECT to_regclass('pgmq.meta')").fetchone()
        if installed is None or installed[0] is None:
            with psycopg.connect(target, connect_timeout=5) as installing:
                install_pgmq_from_sql(conn=installing)
        made = {name for (name,) in connection.execute("SELECT queue_name FROM pgmq.meta")}
        ringing = {name for (name,) in connection.execute("SELECT queue_name FROM pgmq.notify_insert_throttle")}
        for queue in QUEUES:
            if queue not in made:
                connection.execute("SELECT pgmq.create(%s)", (queue,))
            if queue not in ringing:
                connection.execute("SELECT pgmq.enable_notify_insert(%s, 0)", (queue,))


def prepare_if_possible(settings: Settings) -> None:
    """Make the queues at a worker's start. A database that is away is no reason not to start: the ticker waits."""
    try:
        prepare(settings)
    except psycopg.Error as error:
        log.warning("the queues could not be looked at", why=str(error))


def broker_dsn(settings: Settings) -> str:
    """Return the libpq form of the database that holds the queues."""
    if settings.broker_url is None:
        return libpq(settings.require_database_url())
    parts = urlsplit(settings.broker_url.get_secret_value())
    named = {"user": parts.username, "password": parts.password, "host": parts.hostname, "dbname": parts.path[1:]}
    given = {name: unquote(value) for name, value in named.items() if value}
    return " ".join(f"{n}={_quoted(v)}" for n, v in {**given, "port": str(parts.port or 5432)}.items())
