"""What a fast lane does together: each turn costs two transactions, however little it finds.

At the documented 100 requests a minute a turn is taken when something is due, and a token comes back within a quarter
of a second of its time. On a lane that allows many more, turns that come a little later find more to do; and the busier
it is, the longer they wait, for the more goes together.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

#: Lanes of so many requests a minute are fast.
FAST_FROM = 1_200

#: Requests of one turn: its transaction locks the lane, and its intents must not age while they are written.
A_TURN = 50
A_FAST_TURN = 200

#: A fast lane waits so long for company, seconds: when it is quiet, and when so many requests left in the last minute.
QUIET_S = 0.25
BUSY_S = 1.0
BUSY_FROM = 1_200

#: Spent tokens are kept in slots of this width, rounded up, so that a lane's row stays small at any rate.
SLOT_S = 0.25
FAST_SLOT_S = 1.0


def turn_size(requests_per_minute: int) -> int:
    """Return how many requests one turn of a lane may lead to."""
    return A_TURN if requests_per_minute < FAST_FROM else A_FAST_TURN


def slot_s(requests_per_minute: int) -> float:
    """Return the width of the slots in which a lane counts its spent tokens, seconds."""
    return SLOT_S if requests_per_minute < FAST_FROM else FAST_SLOT_S


def gathered(due_at: datetime, *, now: datetime, requests_per_minute: int, used: int, lane: int) -> datetime:
    """Return when to take a turn for what is due at a time: on a fast lane a little later, with what comes after.

    Args:
        used: requests of the lane's last minute.
        lane: the lane's number; lanes take their turns at different moments.
    """
    if requests_per_minute < FAST_FROM:
        return due_at
    step_s = QUIET_S + (BUSY_S - QUIET_S) * min(1.0, used / BUSY_FROM)
    offset_s = lane % 1000 / 1000 * step_s
    steps = math.ceil((max(due_at, now).timestamp() - offset_s) / step_s)
    return datetime.fromtimestamp(steps * step_s + offset_s, tz=UTC)
