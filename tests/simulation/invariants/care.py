"""Care: nothing accepted is lost, somebody is responsible for whatever lives, and nothing is held for the dead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from orchestrator.domain.statuses import ENDINGS, LIVE, PARKED
from orchestrator.domain.statuses import RunStatus as S
from tests.simulation.invariants.view import Row, View, tag_of

#: Something due for longer is not being served.
OVERDUE_S = 120.0

BATCHES = """
    SELECT b.id, b.total, b.ended_at, b.final_counts, b.paused_at, b.cancelled_at,
        (SELECT t.due_at FROM timers t WHERE t.subject_id = b.id AND t.kind = 'launch') AS turn,
        l.launch_due_at, l.launches_stopped
    FROM batches b JOIN workflows w ON w.id = b.workflow_id JOIN lanes l ON l.id = w.lane_id"""

COUNTS = "SELECT batch_id, status, count(*)::int AS runs FROM runs WHERE batch_id IS NOT NULL GROUP BY batch_id, status"

ORPHANED_TIMERS = """
    SELECT t.subject_id, t.kind FROM timers t WHERE t.kind = 'sending'
        AND NOT EXISTS (SELECT FROM intents i WHERE i.id = t.subject_id AND i.outcome IS NULL)
    UNION ALL SELECT t.subject_id, t.kind FROM timers t JOIN batches b ON b.id = t.subject_id
    WHERE b.ended_at IS NOT NULL AND t.due_at IS NOT NULL
    UNION ALL SELECT i.id, 'no sending' FROM intents i WHERE i.outcome IS NULL
        AND NOT EXISTS (SELECT FROM timers t WHERE t.subject_id = i.id AND t.kind = 'sending')"""

HELD_SLOTS = """
    SELECT 'run ' || e.run_id || ' has ended, its attempt is ' || e.state AS what
    FROM executions e JOIN runs r ON r.id = e.run_id
    WHERE e.state IN ('launching', 'open', 'in_doubt')
        AND r.status IN ('finished', 'error', 'result_lost', 'cancelled', 'abandoned')
    UNION ALL
    SELECT 'wave ' || w.id || ' is ' || w.state || ', and none of its items is' FROM waves w
    WHERE w.state IN ('launching', 'open') AND NOT EXISTS (
        SELECT FROM executions e WHERE e.wave_id = w.id AND e.state IN ('launching', 'open'))"""

HELD_GRANTS = """
    SELECT g.id, g.kind, g.granted_at, w.state FROM grants g LEFT JOIN workers w ON w.id = g.worker_id
    WHERE w.buried_at IS NOT NULL OR g.granted_at < %(now)s - make_interval(
        mins => CASE g.kind WHEN 'launch' THEN 16 ELSE 4 END)"""

HELD_LEASES = """
    SELECT t.subject_id, t.kind, w.state FROM timers t JOIN workers w ON w.id = t.worker_id
    WHERE w.buried_at IS NOT NULL"""


def never_lost(view: View) -> Iterator[str]:
    """What the client was told is stored is stored: every run, every batch with all of its runs and their inputs."""
    journal = view.evidence.journal()
    rows = view.rows("SELECT r.id, r.batch_id, i.body FROM runs r JOIN inputs i ON i.run_id = r.id")
    by_id = {row.id: tag_of(row.body) for row in rows}
    for run, tag in journal.runs.items():
        if by_id.get(run) != tag:
            yield f"run {run} ({tag}) was acknowledged, and is {by_id.get(run)}"
    by_batch: dict[object, Counter[str]] = {}
    for row in rows:
        by_batch.setdefault(row.batch_id, Counter())[tag_of(row.body)] += 1
    for batch, tags in journal.batches.items():
        stored = by_batch.get(batch, Counter())
        if stored != Counter(tags):
            yield f"batch {batch} of {len(tags)} was acknowledged, and has {stored.total()}"


def nothing_invented(view: View) -> Iterator[str]:
    """No input was stored twice, however often its submission was repeated."""
    tags = Counter(tag_of(row.body) for row in view.rows("SELECT body FROM inputs"))
    yield from (f"{tag} is stored {times} times" for tag, times in tags.items() if times > 1)


def batches_add_up(view: View) -> Iterator[str]:
    """A batch has all of its runs; it has ended only if they have, with their counts."""
    counts: dict[object, dict[str, int]] = {}
    for row in view.rows(COUNTS):
        counts.setdefault(row.batch_id, {})[row.status] = row.runs
    for batch in view.rows(BATCHES):
        counted = counts.get(batch.id, {})
        if sum(counted.values()) != batch.total:
            yield f"batch {batch.id}: {sum(counted.values())} runs of {batch.total}"
        if batch.ended_at is None:
            continue
        live = {status: n for status, n in counted.items() if status in LIVE}
        if live:
            yield f"batch {batch.id}: it has ended, and {live} live"
        elif batch.final_counts != counted:
            yield f"batch {batch.id}: it ended with {batch.final_counts}, and has {counted}"


def somebody_is_responsible(view: View) -> Iterator[str]:
    """Each run that lives has a timer, or its batch a turn, or a person a question."""
    batches = {batch.id: batch for batch in view.rows(BATCHES)}
    for run in view.runs:
        if run.status in LIVE:
            lack = _lack(view, run, batches.get(run.batch_id))
            if lack is not None:
                yield f"run {run.id}: it is {run.status}, and {lack}"


def _lack(view: View, run: Row, batch: Row | None) -> str | None:
    timer = view.timers.get(run.id)
    match S(run.status):
        case S.QUEUED if batch is not None:
            return _lack_of_turn(batch)
        case S.QUEUED:
            return _lack_of_timer(timer, "launch")
        case S.LAUNCHING:
            present = view.current(run)
            waits = present is not None and present.outcome is None
            return None if waits else "no intent of it is open"
        case S.IN_DOUBT:
            asked = any(item.kind == "doubt" for item in view.questions.get(run.id, ()))
            return None if asked else "nobody is asked about it"
        case S.HUMAN_IN_THE_LOOP if not any(item.kind == "human" for item in view.questions.get(run.id, ())):
            return "nobody is told that a person is waited for"
        case S.PROCESSING if timer is not None and timer.due_at is None:
            return _lack_of_window(view, run)
        case _:
            return _lack_of_timer(timer, "poll", "download")


def _lack_of_turn(batch: Row) -> str | None:
    if batch.paused_at is not None or batch.cancelled_at is not None:
        return None
    if batch.turn is None:
        return "its batch has no turn to launch"
    return None if batch.launch_due_at or batch.launches_stopped else "its lane never comes due to launch"


def _lack_of_timer(timer: Row | None, *kinds: str) -> str | None:
    if timer is None or timer.kind not in kinds:
        return f"it has no timer to {' or '.join(kinds)}"
    if timer.due_at is None:
        return "its timer is never due"
    if timer.kind == "launch" and timer.launch_due_at is None and timer.launches_stopped is None:
        return "its lane never comes due to launch"
    return "its lane never comes due to look" if timer.kind == "poll" and timer.poll_due_at is None else None


def _lack_of_window(view: View, run: Row) -> str | None:
    """Return what is wrong with a run that sleeps: only beyond the window of an open wave may it."""
    present = view.current(run)
    if present is None or present.wave_id is None or present.wave_state != "open":
        return "it sleeps, and no open wave will wake it"
    return "it sleeps within its wave's window" if present.position < present.frontier else None


def questions_are_closed(view: View) -> Iterator[str]:
    """No question stays open about a run that has ended, but for what came to light after its end."""
    for run in view.runs:
        if run.status in ENDINGS and not view.count(run, "late_answer", "second_execution"):
            for item in view.questions.get(run.id, ()):
                if item.run_id is not None:
                    yield f"run {run.id}: it is {run.status}, and a question ({item.kind}) is open"


def no_timer_of_the_ended(view: View) -> Iterator[str]:
    """What has ended is due for nothing."""
    for run in view.runs:
        if run.status in ENDINGS and run.id in view.timers:
            yield f"run {run.id}: it is {run.status}, and due to {view.timers[run.id].kind}"


def every_intent_is_watched(view: View) -> Iterator[str]:
    """An intent without an outcome has the timer that makes it a doubt; one with an outcome has none."""
    for row in view.rows(ORPHANED_TIMERS):
        yield f"{row.kind} {row.subject_id}: nobody would ever decide, or decides about nothing"


def everything_ended_or_asks(view: View) -> Iterator[str]:
    """Once it is quiet, every run has ended, or waits for a person who is asked, or in a batch that one has paused."""
    paused = {batch.id for batch in view.rows(BATCHES) if batch.paused_at is not None}
    for run in view.runs:
        if run.status in ENDINGS or (run.status in PARKED and view.questions.get(run.id)):
            continue
        if run.status != S.QUEUED or run.batch_id not in paused:
            yield f"run {run.id}: it is {run.status} since {run.status_at}"


def ended_batches_say_so(view: View) -> Iterator[str]:
    """Once it is quiet, a batch of which every run has ended has ended."""
    live = {row.batch_id for row in view.rows(COUNTS) if row.status in LIVE}
    for batch in view.rows(BATCHES):
        if batch.ended_at is None and batch.id not in live:
            yield f"batch {batch.id}: all of its runs have ended, and it has not"


def slots_are_released(view: View) -> Iterator[str]:
    """Once it is quiet, no slot is held for what has ended."""
    yield from (row.what for row in view.rows(HELD_SLOTS))


def grants_are_released(view: View) -> Iterator[str]:
    """Once it is quiet, no token is out for a request that nobody will record."""
    for row in view.rows(HELD_GRANTS, now=view.now):
        yield f"grant {row.id} ({row.kind}) is out since {row.granted_at}; its worker is {row.state}"


def leases_free(view: View) -> Iterator[str]:
    """Once it is quiet, no dead or stopped worker holds a lease."""
    for row in view.rows(HELD_LEASES):
        yield f"{row.subject_id} is leased to {row.kind} by a worker that is {row.state}"


def nothing_is_overdue(view: View) -> Iterator[str]:
    """Once it is quiet, nothing has been due for long."""
    for timer in view.timers.values():
        if timer.due_at is None or (view.now - timer.due_at).total_seconds() <= OVERDUE_S:
            continue
        if timer.kind != "launch" or timer.launches_stopped is None:
            yield f"{timer.subject_id} is due to {timer.kind} since {timer.due_at}"
