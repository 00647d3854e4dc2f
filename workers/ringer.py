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
        self._telling = threading.Lock()
        self._thread = threading.Thread(target=self._ring_for_ever, name="ringer", daemon=True)
        self._thread.start()

    def ring(self, kind: str) -> bool:
        """Send a doorbell soon; False when the broker is away, and the work is better done here."""
        since = self._sending_since
        if since is not None and time.monotonic() - since > PATIENCE_S:
            self._tell_away(f"it has not taken a doorbell for {PATIENCE_S:.0f} s")
        is_away = self._away_since is not None
        try:
            self._waiting.put_nowait(kind)
        except queue.Full:
            return False
        return not is_away

    def away_s(self) -> float | None:
        """Return for how long the broker has been away; None when it is there."""
        since = self._away_since
        return None if since is None else time.monotonic() - since

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
        self._tell_away(f"{type(error).__name__}: {error}")
        # What waits would ring for work that was done meanwhile.
        while not self._waiting.empty():
            self._waiting.get_nowait()
        time.sleep(TRY_AGAIN_S)

    def _tell_away(self, why: str) -> None:
        """Say once, until it is back, that the broker is away: it refuses, or a doorbell hangs."""
        with self._telling:
            if self._away_since is not None:
                return
            self._away_since = time.monotonic()
        log.warning("the broker is away, work goes on without it", code="broker_away", why=why)

    def _found(self) -> None:
        with self._telling:
            since, self._away_since = self._away_since, None
            self._sending_since = None
        if since is not None:
            log.info("the broker is back", code="broker_away", after_s=round(time.monotonic() - since, 1))
