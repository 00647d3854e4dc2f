"""kombu's pgmq transport on queues that `broker.prepare` has made: a worker's start changes no table.

The stock transport creates each queue's trigger anew whenever a consumer starts. Two workers that start together then
trip over each other's DDL, and one of them dies.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import pgmq

#: The longest turn of Celery's loop, seconds: it learns only between them that it shall stop. Queues are read as often.
DRAIN_AT_MOST_S = 1.0


class Channel(pgmq.Channel):
    """Listens on queues; makes none."""

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        self._maybe_enable_notify(queue)

    def _maybe_enable_notify(self, queue: str, queue_name: str | None = None) -> None:
        if self.use_notify:
            self.connection._register_notify_queue(queue_name or self._queue_name(queue))


class Transport(pgmq.Transport):
    """The stock transport with our channels."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Wait for messages, but not for long."""
        short = None if timeout is None else min(timeout, DRAIN_AT_MOST_S)
        return super().drain_events(connection, timeout=short, **kwargs)  # type: ignore[no-untyped-call]
