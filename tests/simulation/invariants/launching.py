"""Launches: sent at most once, after their intent; what the provider has is linked or flagged; no needless doubt."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from orchestrator.domain.statuses import RunStatus as S
from sandbox.http import Request
from sandbox.world import canonical_json
from tests.simulation.invariants.history import history_of
from tests.simulation.invariants.view import Evidence, View, facts, tag_of

LAUNCHES = ("launch", "batch")

#: run status -> where its present attempt may stand; None: it has no row yet.
STANDS: dict[S, frozenset[str | None]] = {
    S.QUEUED: frozenset({None, "not_sent"}),
    S.LAUNCHING: frozenset({"launching"}),
    S.IN_DOUBT: frozenset({"in_doubt"}),
    S.PROCESSING: frozenset({"open"}),
    S.HUMAN_IN_THE_LOOP: frozenset({"open"}),
    S.DOWNLOADING: frozenset({"ended"}),
    S.FINISHED: frozenset({"ended"}),
    S.ERROR: frozenset({"ended", "refused", "left"}),
    S.RESULT_LOST: frozenset({"ended"}),
    S.CANCELLED: frozenset({None, "not_sent", "ended"}),
    S.ABANDONED: frozenset({"left", "ended"}),
}
assert set(STANDS) == set(S), "every status needs a row in STANDS"

INTENTS = "SELECT id, body_sha256, committed_at, outcome, outcome_at, http_status, detail, worker_id FROM intents"

SEEN_INTENTS = "SELECT count(*) FROM intents WHERE body_sha256 = %(digest)s"

STOPPED = """
    SELECT i.id, i.worker_id FROM intents i JOIN workers w ON w.id = i.worker_id
    WHERE i.outcome = 'in_doubt' AND i.detail IS NULL AND w.state = 'stopped' AND i.outcome_at >= w.ended_at"""

SHARED = """
    SELECT connection_id, remote_id, count(*) FROM executions WHERE remote_id IS NOT NULL
    GROUP BY connection_id, remote_id HAVING count(*) > 1"""

POLICY_ACTS = """
    SELECT r.id, e.type, w.on_doubt
    FROM events e JOIN runs r ON r.id = e.stream JOIN workflows w ON w.id = r.workflow_id
    WHERE (e.type = 'relaunched' AND w.on_doubt <> 'relaunch')
        OR (e.type = 'failed_by_policy' AND w.on_doubt <> 'fail')"""

#: These prove that nothing was started: RFC 9110, and the provider's page.
PROOFS = frozenset({400, 401, 403, 404, 413, 422, 429})


def watch_arrivals(evidence: Evidence) -> None:
    """Look, at each launch's arrival, whether its intent can be seen: only what is committed can."""
    arrived: Counter[bytes] = Counter()

    def look(request: Request) -> None:
        if request.method != "POST" or not request.path.startswith("/api/"):
            return
        digest = hashlib.sha256(request.body).digest()
        arrived[digest] += 1
        ((seen,),) = evidence.rows(SEEN_INTENTS, digest=digest)
        if seen < arrived[digest]:
            evidence.early_arrivals.append(f"request {arrived[digest]} of {digest.hex()[:12]} found {seen} intents")

    evidence.provider.before_answer = look


def one_open_attempt(view: View) -> Iterator[str]:
    """A run has at most one attempt that is launching, open or in doubt, and it stands where the run does."""
    for run in view.runs:
        attempts = view.executions.get(run.id, [])
        live = [e.attempt for e in attempts if e.state in ("launching", "open", "in_doubt")]
        if len(live) > 1:
            yield f"run {run.id}: attempts {live} are all open"
        present = view.current(run)
        state = None if present is None else present.state
        if state not in STANDS[S(run.status)]:
            yield f"run {run.id}: it is {run.status}, its attempt {run.attempt} is {state}"
        later = [e.attempt for e in attempts if e.attempt > run.attempt]
        if later:
            yield f"run {run.id}: it is at attempt {run.attempt}, and {later} were sent"


def intent_before_deed(view: View) -> Iterator[str]:
    """When a launch arrives, as many intents for its bytes are committed as have arrived."""
    yield from view.evidence.early_arrivals


def one_request_per_attempt(view: View) -> Iterator[str]:
    """No more requests arrived with some bytes than intents were written for them."""
    intents = Counter(bytes(row.body_sha256) for row in view.rows(INTENTS))
    log = view.service.log
    arrived = Counter(
        bytes.fromhex(entry.body_sha256 or "")
        for entry in log.since(0, limit=log.last_seq)
        if entry.kind in LAUNCHES and entry.method == "POST"
    )
    for digest, times in arrived.items():
        if times > intents[digest]:
            yield f"{times} requests of {digest.hex()[:12]} arrived for {intents[digest]} intents"


def no_silent_orphan(view: View) -> Iterator[str]:
    """What the provider executes for a run is linked to one of its attempts, or one of them was in doubt for it."""
    for run in view.runs:
        there = view.executions_there(run)
        linked = {e.remote_id for e in view.executions.get(run.id, ()) if e.remote_id}
        told = {facts(e).get("execution_id") for e in view.events.get(run.id, ()) if e.type == "second_execution"}
        orphans = [execution.id for execution in there if execution.id not in linked | told]
        doubts = view.count(run, "in_doubt") + (run.status == S.LAUNCHING)
        if len(orphans) > doubts:
            yield f"run {run.id}: {orphans} exist, and only {doubts} doubts; {history_of(view, run.id)}"


def no_unflagged_duplicate(view: View) -> Iterator[str]:
    """A run is executed once, and once more for each time that a person or a policy said so, or an attempt ended."""
    for run in view.runs:
        there = len(view.executions_there(run))
        if there <= 1:
            continue
        allowed = 1 + view.count(run, "relaunched", "reopened")
        allowed += sum(
            event.type == "doubt_resolved" and facts(event).get("how") in ("relaunch", "not_started")
            for event in view.events.get(run.id, ())
        )
        if there > allowed:
            yield f"run {run.id}: {there} executions, {allowed} allowed; {history_of(view, run.id)}"


def policies_are_the_owners(view: View) -> Iterator[str]:
    """What a policy did to a doubt is what the workflow's owner chose; in a world nobody changes the choice."""
    for row in view.rows(POLICY_ACTS):
        yield f"run {row.id}: {row.type} by policy, and its owner chose {row.on_doubt}"


def linked_to_its_own(view: View) -> Iterator[str]:
    """The execution that an attempt names ran that run's input, and no other's."""
    everything = view.service.world.executions
    for run in view.runs:
        for attempt in view.executions.get(run.id, ()):
            if attempt.remote_id is None:
                continue
            there = everything.get(attempt.remote_id)
            if there is None:
                yield f"run {run.id}: the provider never had {attempt.remote_id}"
            elif tag_of(there.canonical) != tag_of(run.body):
                yield f"run {run.id} ({tag_of(run.body)}) is linked to {there.id} ({tag_of(there.canonical)})"


def no_shared_execution(view: View) -> Iterator[str]:
    """An execution belongs to one attempt only."""
    for row in view.rows(SHARED):
        yield f"execution {row.remote_id} belongs to {row.count} attempts"


def right_bytes(view: View) -> Iterator[str]:
    """The input is stored as it came, and what the provider executed is that input."""
    for run in view.runs:
        body = bytes(run.body)
        if hashlib.sha256(body).digest() != bytes(run.input_sha256):
            yield f"run {run.id}: its input does not match its hash"
        canonical = canonical_json(json.loads(body))
        yield from (
            f"run {run.id}: {there.id} ran another input"
            for there in view.executions_there(run)
            if there.canonical != canonical
        )


def no_needless_doubt(view: View) -> Iterator[str]:
    """A launch whose answer proves that nothing was started, or of which no byte left, is no doubt."""
    posts = sorted(view.epoch_s(one.began_at) for one in view.evidence.exchanges if one.method == "POST")
    for row in view.rows(INTENTS):
        if row.outcome != "in_doubt":
            continue
        if row.http_status in PROOFS:
            yield f"intent {row.id}: in doubt after an answer with {row.http_status}"
        elif row.detail is not None and not _any_within(posts, row):
            yield f"intent {row.id}: in doubt ({row.detail}), and no byte of a launch left meanwhile"


def no_doubt_by_stopping(view: View) -> Iterator[str]:
    """A worker that was asked to stop leaves no doubt behind."""
    for row in view.rows(STOPPED):
        yield f"intent {row.id}: its worker {row.worker_id} stopped in good order, and left it in doubt"


def doubts_are_prompt(view: View) -> Iterator[str]:
    """A launch that nobody recorded does not stay `launching` for longer than the longest call may last."""
    for run in view.runs:
        if run.status == S.LAUNCHING and view.now - run.status_at > timedelta(minutes=15):
            yield f"run {run.id}: launching since {run.status_at}"


def wave_positions_are_single(view: View) -> Iterator[str]:
    """No two attempts stand at one place of a wave."""
    places: dict[tuple[Any, int], list[Any]] = defaultdict(list)
    for run_id, attempts in view.executions.items():
        for attempt in attempts:
            if attempt.wave_id is not None:
                places[attempt.wave_id, attempt.position].append(run_id)
    for (wave, position), runs in places.items():
        if len(runs) > 1:
            yield f"wave {wave}: {len(runs)} runs at position {position}"


def _any_within(moments: list[float], row: Any) -> bool:
    first, last = row.committed_at.timestamp() - 0.001, row.outcome_at.timestamp() + 0.001
    return any(first <= moment <= last for moment in moments)
