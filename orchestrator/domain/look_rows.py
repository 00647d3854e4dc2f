"""What a row of looks comes to: how many an execution takes, and how late its end is seen.

A forecast needs both before anything has run. The row is the one that `look_timing` plans, look after look; what ends
between two of them is seen at the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.domain.look_timing import Timing

#: A row is followed so far; by then hardly anything is left running.
LONGEST_ROW = 60
NEARLY_NONE = 0.003

#: The price at which a row costs what there is to spend is found in so many halvings.
HALVINGS = 7

#: Where requests are what is short, looks come late: at most by so many means.
LATEST_MEANS = 4.0

#: Rounds after which the price of a lane with requests to spare has found its measure.
SETTLED_AFTER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LookRow:
    """Looks an execution takes, seconds from its end to the look that sees it, and what a look is worth: means.

    Args:
        late_s: how much later than planned each look comes, because requests are short.
    """

    looks: float
    delay_s: float
    worth_s: float = 0.0
    late_s: float = 0.0


def row_of_looks(timing: Timing, *, late_s: float = 0.0) -> LookRow:
    """Follow the looks at one execution, from its beginning on.

    Args:
        late_s: how much later than planned each of them comes.
    """
    pace = timing.pace
    before_s, at_s = 0.0, timing.first_s() + late_s
    looks = delay_s = worth_s = ended_before = 0.0
    for _ in range(LONGEST_ROW):
        ended = pace.ended(at_s)
        looks += 1.0 - ended_before
        worth_s += (1.0 - ended_before) * timing.worth_s(before_s, at_s - before_s, waited=False)
        delay_s += (ended - ended_before) * (at_s - pace.expected_end_s(before_s, at_s))
        before_s, ended_before = at_s, ended
        if 1.0 - ended < NEARLY_NONE:
            break
        at_s += timing.next_s(at_s, waits=False, unit=0.5) + late_s
    return LookRow(looks=looks, delay_s=delay_s, worth_s=worth_s / looks, late_s=late_s)


def affordable_row(timing: Timing, *, highest_price_s: float, costs: Callable[[LookRow], float]) -> LookRow:
    """Return the row at the lowest price at which it may be had; where none may, the one that comes late enough.

    Args:
        costs: the share of what may be spent that a row takes: it may be had up to 1.
    """
    row = row_of_looks(replace(timing, price_s=0.0))
    if costs(row) <= 1.0:
        return _settled(timing, row, costs)
    dearest = replace(timing, price_s=highest_price_s)
    row = row_of_looks(dearest)
    if costs(row) > 1.0:
        longest_s = LATEST_MEANS * timing.pace.mean_s
        return _least(costs, lambda share: row_of_looks(dearest, late_s=longest_s * share**2))
    # Cubed: prices differ by orders of magnitude, and most are small.
    return _least(costs, lambda share: row_of_looks(replace(timing, price_s=highest_price_s * share**3)))


def _least(costs: Callable[[LookRow], float], row_at: Callable[[float], LookRow]) -> LookRow:
    """Return the row at the smallest share of 1 at which it may be had, the one at 1 where none may."""
    low, high, row = 0.0, 1.0, row_at(1.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        tried = row_at(middle)
        if costs(tried) <= 1.0:
            high, row = middle, tried
        else:
            low = middle
    return row


def _settled(timing: Timing, row: LookRow, costs: Callable[[LookRow], float]) -> LookRow:
    """Return the row at the price that a lane comes to where requests are left over: the worth of looks, less that."""
    for _ in range(SETTLED_AFTER):
        row = row_of_looks(replace(timing, price_s=row.worth_s * min(costs(row), 1.0)))
    return row
