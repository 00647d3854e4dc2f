"""How many executions are observed together, by a provider's list of them: which pages to ask for, and how often.

Two lists are walked: what is live, and then, of what was in it no more, what has ended. An execution that ends between
the two stands in both, and its end counts; one that whole lists do not show at all is an anomaly, and is looked at by
itself. Nothing is believed of a list but what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.domain.answers import ExecutionPage, ListAsk, Observation, RemoteStatus, Standing

#: By so much the provider's clock, which its list is asked by, may differ from ours.
SKEW = timedelta(minutes=10)

#: Lists take at most this share of a lane's requests, and one list at most so much of a window and so many pages.
LIST_SHARE = 0.25
ONE_LIST_SHARE = 0.5
MOST_REQUESTS = 60

#: A list of many pages is worth its requests when so many executions have ended since the last for each of them.
ENDINGS_EACH = 25

#: Lists are so far apart, seconds: an end is seen within the longest, and what a list takes.
SOONEST_S = 2.0
LONGEST_S = 45.0

#: A provider whose list failed is looked at one by one for so long, seconds.
OFF_S = 60.0

_ENDED = {RemoteStatus.FINISHED, RemoteStatus.FAILED, RemoteStatus.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """An execution to find in a list.

    Args:
        sent_at: before its launch was sent: the provider cannot have made it sooner.
        known_at: when the provider had taken it: it cannot have made it later.
    """

    execution_id: str
    workflow_id: str
    sent_at: datetime
    known_at: datetime


def least_requests(live: int, *, page_items: int) -> int:
    """Return how many requests a list takes at least: the live ones, and a page of those that have ended."""
    return math.ceil(live / page_items) + 1


def most_requests(live: int, *, page_items: int, limit: int) -> int:
    """Return how many requests a list may take: other programs' executions stand in it too."""
    wanted = 3 * least_requests(live, page_items=page_items) + 2
    return max(2, min(wanted, MOST_REQUESTS, int(limit * ONE_LIST_SHARE)))


def pays(due: int, live: int, *, page_items: int) -> bool:
    """Return whether a list costs less than looking at each that is due by itself."""
    return due > least_requests(live, page_items=page_items)


def next_list_s(requests: int, live: int, *, page_items: int, limit: int, mean_s: float) -> float:
    """Return how long after a list the next one is worth it, seconds.

    Args:
        requests: what this one took.
        live: executions that it was asked of.
        limit: the lane's requests in a minute.
        mean_s: how long executions take.
    """
    by_budget_s = requests * 60.0 / (limit * LIST_SHARE)
    # Where one page holds all that live, a list is cheap, and somebody waits for each of the few.
    by_worth_s = ENDINGS_EACH * requests * mean_s / live if live > page_items else 0.0
    return min(max(by_budget_s, by_worth_s, SOONEST_S), LONGEST_S)


class Walk:
    """A walk through both lists: says what to ask for next, and remembers what was seen.

    Args:
        sought: at least one, with ids that differ.
        most_requests: pages that may be asked for.
    """

    def __init__(self, sought: Sequence[Sought], *, most_requests: int) -> None:
        assert sought and most_requests > 0, "nothing to look for, or nothing to look with"
        self.seen: dict[str, Observation] = {}
        self.requests = 0
        self._most = most_requests
        self._sought = {one.execution_id: one for one in sought}
        self._ended_pages = 0
        self._cursors: set[str] = set()
        #: None: the walk is over; `_is_whole` says whether it came to its end by itself.
        self._ask: ListAsk | None = self._first(Standing.LIVE)
        self._is_whole = False

    @property
    def ask(self) -> ListAsk | None:
        """What to ask for next; None when the walk is over."""
        return self._ask if self.requests < self._most else None

    @property
    def unseen(self) -> frozenset[str]:
        """What no page has shown yet."""
        return frozenset(self._sought.keys() - self.seen.keys())

    @property
    def alone(self) -> frozenset[str]:
        """What to look at by itself: whole lists do not show it, or more pages would cost as much as looking at it."""
        return self.unseen if self._is_whole else frozenset()

    def take(self, page: ExecutionPage) -> None:
        """Take the page that was asked for."""
        assert self._ask is not None, "nothing was asked for"
        self.requests += 1
        for one in page.executions:
            known = self.seen.get(one.execution_id)
            # Shown twice: an end is an end, and the first one counts, whatever the order of the pages.
            if one.execution_id in self._sought and (known is None or known.status not in _ENDED):
                self.seen[one.execution_id] = one.seen
        self._ask = self._after(self._ask, page.cursor)

    def _after(self, ask: ListAsk, cursor: str | None) -> ListAsk | None:
        is_live = ask.standing is Standing.LIVE
        self._ended_pages += not is_live
        unseen = len(self.unseen)
        if not unseen or (not is_live and unseen <= self._ended_pages):
            # What is left is found one by one for no more than was spent on pages already.
            self._is_whole = True
            return None
        if cursor is not None:
            if cursor in self._cursors:
                return None  # a list that leads back into itself says nothing of what it has not shown
            self._cursors.add(cursor)
            return ListAsk(
                standing=ask.standing, since=ask.since, until=ask.until, workflow_ids=ask.workflow_ids, cursor=cursor
            )
        if is_live:
            self._cursors.clear()
            return self._first(Standing.ENDED)
        self._is_whole = True
        return None

    def _first(self, standing: Standing) -> ListAsk:
        """Return the first page of a list that can hold all that is unseen."""
        left = [self._sought[id] for id in self.unseen]
        return ListAsk(
            standing=standing,
            since=min(one.sent_at for one in left) - SKEW,
            until=max(one.known_at for one in left) + SKEW,
            workflow_ids=tuple(sorted({one.workflow_id for one in left})),
        )
