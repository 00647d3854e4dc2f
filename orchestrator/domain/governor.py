"""The arithmetic of one lane's request budget: how many requests may leave now, and when the next may.

A token comes back `window_s` after the *response*, not after the send: a request that took 3 s to arrive would
otherwise share its window with one more. Counted so, no 60 s at the provider ever hold more than the limit, whatever
the latency. Tokens in flight are out until their call is recorded, or until their worker is known to be dead.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from orchestrator.domain import gathering
from orchestrator.domain.heard import RateSaid

WINDOW_S = 60.0

#: Looks are spread over the window: in so long a time no more leave than their share of it. All at once would come back
#: all at once a window later, and so on for ever, with nothing to look with in between.
PACE_S = 5
PACE_SLACK = 1.15


class CallKind(StrEnum):
    """What a request is for. Each kind keeps a minimum share of the budget while it has work."""

    LAUNCH = "launch"
    LOOK = "look"
    OTHER = "other"


#: The share of the limit that other kinds may not take away while this kind has work waiting. A look that fetches a
#: fresh URL counts as a look and goes before all others, so it needs no share of its own.
MIN_SHARES: Mapping[CallKind, float] = {CallKind.LAUNCH: 0.15, CallKind.LOOK: 0.50, CallKind.OTHER: 0.0}

#: Where at least this share of the limit goes into launches, looks leave one request over: a slot that comes free is
#: filled at once, instead of waiting for a token among looks that would each take it first.
LAUNCHES_OFTEN = 0.1

assert sum(MIN_SHARES.values()) < 1.0, "shares must leave room for whoever has work"


class Spent(NamedTuple):
    """Tokens of one kind that come back at one time: as a lane's row lists them, for every turn reads them all.

    Args:
        back_ms: when, in milliseconds since 1970.
    """

    back_ms: int
    kind: CallKind
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Requests that the provider has counted and we have not: somebody else uses the limit too.

    Args:
        one_back_at: from then on the provider would take one more; that one's answer tells how many.
        until: by then it has forgotten them all.
    """

    count: int
    one_back_at: datetime
    until: datetime

    def out(self, now: datetime) -> int:
        """Return how many of them count now."""
        if now >= self.until:
            return 0
        return self.count - 1 if now >= self.one_back_at else self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A lane's budget as it stands in its row.

    Args:
        limit: requests in any 60 s.
        spent: answered requests whose tokens are not back yet.
        in_flight: requests by kind that were granted and are not recorded yet.
        told_limit: the provider's own limit, where it tells a lower one.
        elsewhere: what others have spent of it, by the provider's last word.
    """

    limit: int
    spent: tuple[Spent, ...] = ()
    in_flight: Mapping[CallKind, int]
    told_limit: int | None = None
    elsewhere: Elsewhere | None = None

    @property
    def most(self) -> int:
        """Return how many requests may leave in any 60 s: what was declared, or what the provider says, if lower."""
        return self.limit if self.told_limit is None else min(self.limit, self.told_limit)

    def free(self, now: datetime) -> int:
        """Return how many requests may leave now."""
        return max(0, self.most - self._used(now))

    def _used(self, now: datetime) -> int:
        others = 0 if self.elsewhere is None else self.elsewhere.out(now)
        return _out(self.spent, now) + sum(self.in_flight.values()) + others

    def used(self, kind: CallKind, now: datetime) -> int:
        """Return the tokens of one kind that are out now."""
        out, now_ms = self.in_flight.get(kind, 0), _ms(now)
        for back_ms, spent_on, tokens in self.spent:
            if spent_on == kind and back_ms > now_ms:
                out += tokens
        return out

    def grant(self, kind: CallKind, wanted: int, *, now: datetime, waiting: Sequence[CallKind] = ()) -> int:
        """Return how many of `wanted` requests this kind may send now.

        Args:
            waiting: the other kinds that have work due; what is missing of their minimum share is left to them.
        """
        reserved = sum(max(0, _share(other, self.most) - self.used(other, now)) for other in waiting if other != kind)
        # A kind below its own minimum share is served even where the others' reserves take the rest.
        own_floor = max(0, _share(kind, self.most) - self.used(kind, now))
        free = self.free(now)
        return max(0, min(wanted, free, max(free - reserved, min(own_floor, free))))

    def _left(self, now: datetime) -> int:
        """Return how many requests looks leave over for the next launch."""
        return 1 if self.used(CallKind.LAUNCH, now) >= max(2, LAUNCHES_OFTEN * self.most) else 0

    def paced(self, wanted: int, *, now: datetime) -> int:
        """Return how many of `wanted` looks to send now so that they stay spread: the fewer are left, the fewer."""
        recent_from = now + timedelta(seconds=WINDOW_S - PACE_S)
        in_flight = sum(self.in_flight.values())
        out = self._used(now)
        recent = in_flight + _out(self.spent, recent_from)
        share = self.most * PACE_S / WINDOW_S * (self.most / max(out, 1))
        return max(0, min(wanted, math.ceil(share * PACE_SLACK) - recent, self.most - out - self._left(now)))

    def next_free_at(self, now: datetime) -> datetime:
        """Return when at least one request may leave, as far as is known: tokens in flight may be back sooner."""
        if self.free(now) > 0:
            return now
        now_ms = _ms(now)
        first_ms = min((s.back_ms for s in self.spent if s.back_ms > now_ms), default=None)
        coming = [] if first_ms is None else [datetime.fromtimestamp(first_ms / 1000, tz=now.tzinfo)]
        if self.elsewhere is not None:
            coming += [at for at in (self.elsewhere.one_back_at, self.elsewhere.until) if at > now]
        return min(coming) if coming else now + timedelta(seconds=1)

    def spend(self, kind: CallKind, answered_ago_s: Sequence[float], *, now: datetime) -> Budget:
        """Return the budget after calls of one kind were answered; those that were never sent cost nothing."""
        now_ms = _ms(now)
        kept = [s for s in self.spent if s.back_ms > now_ms]
        width_ms = round(gathering.slot_s(self.limit) * 1000)
        back = (_slot(now_ms + (WINDOW_S - ago) * 1000, width_ms) for ago in answered_ago_s)
        for back_ms, tokens in Counter(back).items():
            _add(kept, Spent(back_ms, kind, tokens))
        kept.sort()
        return replace(self, spent=tuple(kept))

    def heard(self, said: RateSaid, *, now: datetime) -> Budget:
        """Return the budget after the provider told how its own count stands; the calls that told it are recorded.

        Never more may leave than the provider would take, whatever our own count says: of what remains, requests in
        flight may be yet to arrive. A limit that is lower than ours lowers ours until it is told otherwise; a higher
        one is not taken, for the owner declared ours. The last word counts: it replaces what was told before.
        """
        budget = self
        if said.limit is not None:
            budget = replace(budget, told_limit=said.limit if said.limit < self.limit else None)
        if said.remaining is None:
            return budget
        # What is in flight is no part of it: it is kept from what remains like from all else, until it is recorded.
        count = budget.most - _out(self.spent, now) - said.remaining
        if count <= 0:
            return replace(budget, elsewhere=None)
        reset_s = WINDOW_S if said.reset_s is None else min(max(said.reset_s, 1.0), WINDOW_S)
        one_back_at, until = now + timedelta(seconds=reset_s), now + timedelta(seconds=WINDOW_S)
        return replace(budget, elsewhere=Elsewhere(count=count, one_back_at=one_back_at, until=until))


def _out(spent: Sequence[Spent], after: datetime) -> int:
    """Return the tokens that come back later than this. A plain loop: this is asked at every turn of every lane."""
    out, after_ms = 0, _ms(after)
    for back_ms, _, tokens in spent:
        if back_ms > after_ms:
            out += tokens
    return out


def _add(kept: list[Spent], new: Spent) -> None:
    """Add tokens to those that come back at the same time."""
    for place in range(len(kept) - 1, -1, -1):
        known = kept[place]
        if known.back_ms == new.back_ms and known.kind == new.kind:
            kept[place] = Spent(new.back_ms, new.kind, known.tokens + new.tokens)
            return
    kept.append(new)


def _share(kind: CallKind, limit: int) -> int:
    """Return a kind's minimum share in tokens: at least one if it has any, so that a small limit starves nobody."""
    return max(1, int(MIN_SHARES[kind] * limit)) if MIN_SHARES[kind] else 0


def _slot(at_ms: float, width_ms: int) -> int:
    """Round up to the slot's end: a token may come back late, never early."""
    return (int(at_ms // width_ms) + 1) * width_ms


def _ms(at: datetime) -> float:
    return at.timestamp() * 1000


def launches_at_once(requests_per_minute: int) -> int:
    """Return how many launches of a lane may be on the wire together.

    Everything on the wire when a provider fails ends in doubt, so few are: at the documented 100 a minute two suffice
    (a launch answers in well under a second), and an outage then costs at most two doubts.
    """
    return max(2, requests_per_minute // 100)
