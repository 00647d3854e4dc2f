"""kombu's pgmq transport on queues that `broker.prepare` has made: a worker's start changes no table.

The stock transport creates each queue's trigger anew whenever a consumer starts. Two workers that start together then
trip over each other's DDL, and one of them dies. It also reads every queue every second, though Postgres tells when a
message comes: here a queue is read when it was told of, and now and then in case something was not heard.
"""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

import psycopg
from kombu.transport import pgmq

#: The longest turn of Celery's loop, seconds: it learns only between them that it shall stop.
DRAIN_AT_MOST_S = 1.0

#: A queue that nothing was told of is read so often, seconds: for messages whose worker died, and whatever was missed.
READ_ANYWAY_S = 10.0

#: A connection that was found alive is not asked again for so long, seconds. A read that fails shows it at once.
BELIEVED_S = 10.0

_CHANNEL = "pgmq.q_{}.INSERT"


class Waiter(pgmq._NotifyWaiter):
    """Waits for a notification, and remembers which queues were told of."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._told: set[str] = set()
        self._read_at_s: dict[str, float] = {}

    def wait(self, timeout: float | None) -> bool:
        """Wait for one notification; whether it came. Without a connection everything counts as told of."""
        with self._lock:
            if self._closed or not self._channels:
                return False
            self._ensure_conn()
            connection: Any = self._conn
        try:
            for notification in connection.notifies(timeout=timeout, stop_after=1):
                self._told.add(notification.channel)
                return True
        except (OSError, psycopg.OperationalError, psycopg.InterfaceError):
            self._read_at_s.clear()
            self._drop_conn(connection)
        return False

    def is_worth_reading(self, queue: str) -> bool:
        """Tell whether the queue may hold something."""
        channel = _CHANNEL.format(queue)
        read_at_s = self._read_at_s.get(channel)
        return channel in self._told or read_at_s is None or time.monotonic() - read_at_s >= READ_ANYWAY_S

    def will_read(self, queue: str) -> None:
        """Forget what was told until now: what comes from here on is told of again."""
        self._told.discard(_CHANNEL.format(queue))

    def was_empty(self, queue: str) -> None:
        """Note that nothing is left in it."""
        self._read_at_s[_CHANNEL.format(queue)] = time.monotonic()

    def had_some(self, queue: str) -> None:
        """Note that there may be more in it."""
        self._told.add(_CHANNEL.format(queue))


class Channel(pgmq.Channel):
    """Listens on queues; makes none."""

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._maybe_enable_notify(queue)

    def _maybe_enable_notify(self, queue: str, queue_name: str | None = None) -> None:
        if self.use_notify:
            self.connection._register_notify_queue(queue_name or self._queue_name(queue))

    def _get_bulk(self, queue: str, *args: Any, **kwargs: Any) -> None:
        if not self.use_notify:
            super()._get_bulk(queue, *args, **kwargs)  # type: ignore[no-untyped-call]
            return
        waiter, name = self.connection._get_notify_waiter(), self._queue_name(queue)
        if not waiter.is_worth_reading(name):
            raise Empty
        waiter.will_read(name)
        is_empty = False
        try:
            super()._get_bulk(queue, *args, **kwargs)  # type: ignore[no-untyped-call]
        except Empty:
            is_empty = True
            raise
        finally:
            # A read that failed may have left something, too.
            (waiter.was_empty if is_empty else waiter.had_some)(name)


class Transport(pgmq.Transport):
    """The stock transport with our channels."""

    Channel = Channel
    _alive_at_s: float | None = None

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Wait for messages, but not for long."""
        short = None if timeout is None else min(timeout, DRAIN_AT_MOST_S)
        return super().drain_events(connection, timeout=short, **kwargs)  # type: ignore[no-untyped-call]

    def verify_connection(self, connection: Any) -> bool:
        """Tell whether the broker is there. Celery's loop asks at every turn."""
        now_s = time.monotonic()
        if self._alive_at_s is not None and now_s - self._alive_at_s < BELIEVED_S:
            return True
        is_alive = super().verify_connection(connection)
        self._alive_at_s = now_s if is_alive else None
        return is_alive

    def _get_notify_waiter(self) -> Waiter:
        waiter = self._notify_waiter
        if not isinstance(waiter, Waiter):
            waiter = self._notify_waiter = Waiter(self._get_pgmq_client().config.dsn)
        return waiter
