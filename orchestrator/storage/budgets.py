"""A lane's request budget as its row keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from orchestrator.domain import gathering
from orchestrator.domain.governor import WINDOW_S, Budget, CallKind, Elsewhere, Spent

COLUMNS = "requests_per_minute, told_limit, spent, spent_elsewhere"

_KINDS = {str(kind): kind for kind in CallKind}

#: For `UPDATE lanes … FROM unnest(ARRAYS) AS v(NAMES)`.
NAMES = "spent, spent_elsewhere, told_limit"
ARRAYS = "CAST(:spent AS text[]), CAST(:spent_elsewhere AS text[]), CAST(:told_limit AS int[])"
SET = "spent = CAST(v.spent AS jsonb), spent_elsewhere = CAST(v.spent_elsewhere AS jsonb), told_limit = v.told_limit"


def values(budgets: Sequence[Budget]) -> dict[str, list[Any]]:
    """Return what `ARRAYS` takes, for lanes in the order of their budgets."""
    return {
        "spent": [json.dumps(b.spent, separators=(",", ":")) for b in budgets],
        "spent_elsewhere": [_elsewhere(b.elsewhere) for b in budgets],
        "told_limit": [b.told_limit for b in budgets],
    }


def _elsewhere(told: Elsewhere | None) -> str | None:
    return None if told is None else json.dumps([told.count, _ms(told.one_back_at), _ms(told.until)])


def read(row: Row[Any], in_flight: Mapping[CallKind, int]) -> Budget:
    """Return the budget of a row that has `now` beside its `COLUMNS`."""
    # No token takes longer to come back; where the row says so, the clock went back.
    latest = row.now + timedelta(seconds=WINDOW_S + gathering.slot_s(row.requests_per_minute))
    latest_ms = _ms(latest)
    spent = tuple(Spent(min(back_ms, latest_ms), _KINDS[kind], tokens) for back_ms, kind, tokens in row.spent)
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
