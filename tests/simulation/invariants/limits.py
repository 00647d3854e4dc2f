"""The provider's limits, by its own count: requests in any 60 s, waits that it asked for, executions alive together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sandbox.executions import ENDINGS, Execution
from tests.simulation.invariants.view import Row, View

#: How long a launch may be under way after its claim: to the deadline of its sending, and a moment.
CLAIMED_BEFORE_S = 16.0

#: One claim of looks, of a worker that stood still between its claim and its looks, which have no deadline.
LOOKS_OF_ONE_CLAIM = 10

#: A doubted launch, or one that is watched no more, holds its slot for so long; after that nobody counts it.
SLOT_HELD_S = 16 * 60.0

THROTTLED = """
    SELECT body_sha256, outcome_at FROM intents WHERE http_status = 429 AND outcome_at IS NOT NULL"""

BLOCKED = "SELECT id, blocked_until FROM lanes WHERE blocked_until > %(now)s"

NEW_GRANTS = """
    SELECT id, kind, granted_at FROM grants
    WHERE lane_id = %(lane)s AND granted_at > %(seen_at)s AND granted_at < %(until)s"""


@dataclass(slots=True)
class Blocks:
    """Since when each lane is seen to be blocked, and until when."""

    seen: dict[UUID, tuple[datetime, datetime]] = field(default_factory=dict)


def rate(view: View) -> Iterator[str]:
    """No more requests arrive in any 60 s of a key than its limit."""
    limit = view.evidence.requests_per_minute
    for key, meter in view.service.meters.items():
        if meter.max_arrivals > limit:
            yield f"key {key}: {meter.max_arrivals} arrivals in 60 s, the limit is {limit}"


def no_grant_while_blocked(blocks: Blocks, view: View) -> Iterator[str]:
    """While a lane is blocked by the provider's wait, no request is granted on it."""
    blocked = {row.id: row.blocked_until for row in view.rows(BLOCKED, now=view.now)}
    for lane, until in blocked.items():
        since = blocks.seen.get(lane)
        if since is None or since[1] > until or since[1] <= view.now:  # another block than the one that was seen
            blocks.seen[lane] = (view.now, until)
            continue
        blocks.seen[lane] = (since[0], until)
        for grant in view.rows(NEW_GRANTS, lane=lane, seen_at=since[0], until=since[1]):
            yield f"lane {lane}: a {grant.kind} was granted at {grant.granted_at}, it is blocked until {until}"
    for lane in blocks.seen.keys() - blocked.keys():
        del blocks.seen[lane]


def retry_after_obeyed(view: View) -> Iterator[str]:
    """After a wait that a launch was told, and that was written down, nothing of its key begins before it is over."""
    recorded = {bytes(row.body_sha256): row.outcome_at.timestamp() for row in view.rows(THROTTLED)}
    digests = _digests(view)
    keys = _keys(view)
    for wait in view.evidence.provider.waits:
        at = recorded.get(digests.get(wait.seq, b""))
        if at is None or at < wait.said_at:
            continue
        early = [
            one
            for one in view.evidence.exchanges
            if at + CLAIMED_BEFORE_S < view.epoch_s(one.began_at) < wait.until - 1.0
            and keys.get(one.connection_id) == wait.key
        ]
        launches = sum(one.method == "POST" for one in early)
        if launches or len(early) > LOOKS_OF_ONE_CLAIM:
            yield f"request {wait.seq} was told to wait until {wait.until:.0f}: {len(early)} began, {launches} launches"


def slots(view: View) -> Iterator[str]:
    """Of the executions launched one by one, at most as many are alive in a workflow as it has slots."""
    _ = view.there  # brings the provider up to now
    alive: dict[tuple[str, str], list[Execution]] = defaultdict(list)
    for execution in view.service.world.executions.values():
        if execution.launch.concurrency is None and execution.status not in ENDINGS and not execution.is_lost:
            alive[execution.account, execution.workflow_id].append(execution)
    limit = view.evidence.max_concurrent
    for (_, workflow), found in alive.items():
        if len(found) <= limit:
            continue
        known = _attempts(view)
        counted = [execution for execution in found if _is_counted(view, execution, known.get(execution.id))]
        if len(counted) > limit:
            yield f"workflow {workflow}: {len(counted)} single executions alive, {limit} slots"


def _is_counted(view: View, execution: Execution, attempt: Row | None) -> bool:
    """Tell whether an execution's slot must be held still: for what is not known for sure it is held for a while."""
    age_s = view.service.clock.now() - execution.created_at
    is_known = attempt is not None and attempt.state in ("launching", "open") and attempt.outcome == "accepted"
    return is_known or age_s <= SLOT_HELD_S


def _attempts(view: View) -> Mapping[str, Row]:
    query = "SELECT e.remote_id, e.state, i.outcome FROM executions e JOIN intents i ON i.id = e.intent_id"
    return {row.remote_id: row for row in view.rows(query) if row.remote_id}


def _digests(view: View) -> Mapping[int, bytes]:
    """Return the hashes of the launches that were told to wait, by their place in the provider's log."""
    log = view.service.log
    seqs = {wait.seq for wait in view.evidence.provider.waits}
    return {
        seq: bytes.fromhex(entry.body_sha256)
        for seq in seqs
        for entry in log.since(seq - 1, limit=1)
        if entry.seq == seq and entry.body_sha256 is not None
    }


def _keys(view: View) -> Mapping[int, str | None]:
    log = view.service.log
    return {entry.connection_id: entry.key for entry in log.since(0, limit=log.last_seq)}
