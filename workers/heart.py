"""For how long heartbeats came in time: only where somebody was heard all along may another be called silent."""

from __future__ import annotations

from datetime import datetime


class Heart:
    """Follows the heartbeats of one worker by the clock that judges silence, the database's.

    After an outage of the database, a SIGSTOP or a laptop's sleep every worker looks silent, however alive it is. The
    gap shows in one's own beats too, and in those of all together: where somebody was heard all along, the database was
    there, and a worker that said nothing could have spoken. So a worker that has just begun may judge at once.

    Args:
        beat_s: how often it beats. A gap of two of them is a break.
    """

    def __init__(self, beat_s: float) -> None:
        self.gap_s = 2 * beat_s
        self._since: datetime | None = None
        self._last: datetime | None = None
        self._went_back = False

    @property
    def unbroken_s(self) -> float:
        """For how long no beat was missed or late, one's own or anybody's, up to the last."""
        if self._since is None or self._last is None:
            return 0.0
        return (self._last - self._since).total_seconds()

    def beat(self, at: datetime, *, heard_since: datetime | None = None) -> None:
        """Note a heartbeat that was written. A clock that went back breaks the row too.

        Args:
            heard_since: since when some worker or other was heard without a gap.
        """
        self._went_back = self._went_back or (self._last is not None and at < self._last)
        if self._last is None or not 0 <= (at - self._last).total_seconds() <= self.gap_s:
            self._since = at
        if heard_since is not None and self._since is not None:
            self._since = min(self._since, heard_since)
        self._last = at

    def take_jump(self) -> bool:
        """Tell, once, whether the database's clock went back between two beats: what was due by it is due later now."""
        went_back, self._went_back = self._went_back, False
        return went_back

    def miss(self) -> None:
        """Note a heartbeat that could not be written."""
        self._since = self._last = None
