"""A lane's request budget as its row keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from orchestrator.domain import gathering
from orchestrator.domain.governor import WINDOW_S, Budget, CallKind, Elsewhere, Spent

COLUMNS = "requests_per_minute, told_limit, spent, spent_elsewhere"

SET = """spent = CAST(:spent AS jsonb), spent_elsewhere = CAST(:spent_elsewhere AS jsonb), told_limit = :told_limit"""


def values(budget: Budget) -> dict[str, Any]:
    """Return what `SET` writes."""
    elsewhere = budget.elsewhere
    told = [elsewhere.count, _ms(elsewhere.one_back_at), _ms(elsewhere.until)] if elsewhere is not None else None
    return {
        "spent": json.dumps([[_ms(s.back_at), s.kind, s.count] for s in budget.spent]),
        "spent_elsewhere": None if told is None else json.dumps(told),
        "told_limit": budget.told_limit,
    }


def read(row: Row[Any], in_flight: Mapping[CallKind, int]) -> Budget:
    """Return the budget of a row that has `now` beside its `COLUMNS`."""
    # No token takes longer to come back; where the row says so, the clock went back.
    latest = row.now + timedelta(seconds=WINDOW_S + gathering.slot_s(row.requests_per_minute))
    spent = tuple(
        Spent(back_at=min(_moment(ms), latest), kind=CallKind(kind), count=count) for ms, kind, count in row.spent
    )
    elsewhere = None
    if row.spent_elsewhere is not None:
        count, one_back_ms, until_ms = row.spent_elsewhere
        one_back_at, until = min(_moment(one_back_ms), latest), min(_moment(until_ms), latest)
        # What is over is nothing any more, and is not written again.
        elsewhere = Elsewhere(count=count, one_back_at=one_back_at, until=until) if until > row.now else None
    return Budget(
        limit=row.requests_per_minute,
        told_limit=row.told_limit,
        spent=spent,
        in_flight=in_flight,
        elsewhere=elsewhere,
    )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, tz=UTC)
