"""Rings doorbells from a thread of its own, because a broker that is away may hold a sender for seconds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: A doorbell that is not taken within so long means that the broker is away.
PATIENCE_S = 1.0

#: While the broker is away it is tried so often.
TRY_AGAIN_S = 2.0


class Ringer:
    """Sends doorbells in order, and knows whether the broker is there.

    Args:
        send: sends one doorbell of a kind, or raises whatever the broker's library raises.
    """

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._waiting: queue.Queue[str] = queue.Queue(maxsize=16)
        self._sending_since: float | None = None
        self._away_since: float | None = None
        self._thread = threading.Thread(target=self._ring_for_ever, name="ringer", daemon=True)
        self._thread.start()

    @property
    def is_away(self) -> bool:
        """Whether the broker did not take the last doorbell, or has not taken the present one for too long."""
        since = self._sending_since
        return self._away_since is not None or (since is not None and time.monotonic() - since > PATIENCE_S)

    def ring(self, kind: str) -> bool:
        """Send a doorbell soon; False when the broker is away, and the work is better done here."""
        away = self.is_away
        try:
            self._waiting.put_nowait(kind)
        except queue.Full:
            return False
        return not away

    def _ring_for_ever(self) -> None:
        while True:
            kind = self._waiting.get()
            self._sending_since = time.monotonic()
            try:
                self._send(kind)
            except Exception as error:
                self._lost(error)
            else:
                self._found()
            finally:
                self._sending_since = None

    def _lost(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.warning("the broker is away, work goes on without it", why=f"{type(error).__name__}: {error}")
        # What waits would ring for work that was done meanwhile.
        while not self._waiting.empty():
            self._waiting.get_nowait()
        time.sleep(TRY_AGAIN_S)

    def _found(self) -> None:
        if self._away_since is not None:
            log.info("the broker is back", after_s=round(time.monotonic() - self._away_since, 1))
            self._away_since = None
