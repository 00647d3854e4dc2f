"""How long to wait before a child that died is started again."""

from __future__ import annotations

LONGEST_S = 30.0
#: A child that lived so long was well; what killed it now is another story.
WELL_AFTER_S = 60.0


class Restarts:
    """The delays of one child: none for the first restart, then 1, 2, 4 … 30 s, and anew after a good minute."""

    def __init__(self) -> None:
        self._failures = 0

    def next_delay_s(self, *, lived_s: float) -> float:
        """Return the delay after a child that had lived for so long has died."""
        if lived_s >= WELL_AFTER_S:
            self._failures = 0
        delay_s = 0.0 if self._failures == 0 else min(2.0 ** (self._failures - 1), LONGEST_S)
        self._failures += 1
        return delay_s
