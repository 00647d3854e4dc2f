"""Business gauges for Prometheus: their names, what they mean, and their values from one reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator import __version__
from orchestrator.domain.changes import InboxKind
from orchestrator.domain.fires import FireState
from orchestrator.domain.sights import HOLDS, ResultsSight, Sights
from orchestrator.domain.statuses import BATCH_ENDINGS, ENDINGS, BatchStatus, RunStatus
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.engine.readings import Reading

#: Why downloads wait, in an operator's words: by the code of the last failure.
DOWNLOADS_WAIT = {
    "not_tried": "not_tried",
    "store_full": "store_full",
    "unavailable": "store_away",
    "not_sent": "host_unreachable",
}


def text(reading: Reading) -> str:
    """Return a reading as Prometheus text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families([*_work(reading), *_results(reading), *_lanes(reading), *_workers(reading)]))
    return generate_latest(registry).decode()


class _Families(Collector):
    """Hands families over as they were made."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._families


def _gauge(name: str, told: str, value: float | None = None, *, labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, told, value=value, labels=labels or None)


def _work(reading: Reading) -> Iterator[Metric]:
    seen, ended = reading.seen, reading.ended
    by_status = _gauge(
        "orch_runs",
        "Runs by status. Live ones are counted now, ended ones when orch_ended_counted_age_seconds says.",
        labels=("status",),
    )
    for status in RunStatus:
        if status not in ENDINGS:
            by_status.add_metric([status], reading.live.get(status, 0))
        elif ended is not None:
            by_status.add_metric([status], ended.runs.get(status, 0))
    yield by_status
    batches = _gauge(
        "orch_batches",
        "Batches by status; waiting: only a person can move what is left of them.",
        labels=("status",),
    )
    for kind in BatchStatus:
        if kind not in BATCH_ENDINGS or ended is not None:
            settled = ended.batches.get(kind, 0) if ended is not None else 0
            batches.add_metric([kind], reading.batches.get(kind, 0) + settled)
    yield batches
    ticks = _gauge(
        "orch_ticks",
        "Ticks of schedules of the last 24 hours by what became of them; missed: a person must look why.",
        labels=("state",),
    )
    for state in FireState:
        ticks.add_metric([state], reading.ticks.get(state, 0))
    yield ticks
    yield from _webhooks(reading)
    oldest = _gauge(
        "orch_oldest_due_seconds",
        "How long the oldest due work of a kind has waited for a worker; above 60 it is not being done.",
        labels=("kind",),
    )
    for name, since in seen.due_since.items():
        waited_s = (seen.now - since).total_seconds() if since is not None else 0.0
        oldest.add_metric([name], max(0.0, waited_s))
    yield oldest
    yield _gauge(
        "orch_executions_overdue",
        "Executions that the provider has had for over 20 minutes; they are looked at less often.",
        reading.overdue,
    )
    if ended is not None:
        yield _gauge(
            "orch_ended_counted_age_seconds",
            "How old the counts of what has ended are (of orch_runs and orch_batches): renewed as often as their cost"
            " allows, at most a thousandth of the time.",
            reading.ended_age_s,
        )
    yield _gauge(
        "orch_retired_months",
        "Months of the history that were exported and dropped by their age.",
        reading.retired_months,
    )
    yield _gauge("orch_retired_events", "Events that went with them.", reading.retired_events)
    yield from _questions(seen)


def _webhooks(reading: Reading) -> Iterator[Metric]:
    standing = _gauge(
        "orch_webhooks",
        "Webhooks by how they do; failing: nothing has come through lately; disabled: a person must enable it again.",
        labels=("state",),
    )
    for state in ("ok", "failing", "disabled"):
        standing.add_metric([state], reading.webhooks.get(state, 0))
    yield standing
    deliveries = _gauge(
        "orch_webhook_deliveries",
        "Messages to webhooks that are enabled: pending, or failed for good in the last 30 days (counted to 10,000 each"
        " webhook).",
        labels=("state",),
    )
    for state in (DeliveryState.PENDING, DeliveryState.FAILED):
        deliveries.add_metric([state], reading.deliveries.get(state, 0))
    yield deliveries


def _questions(seen: Sights) -> Iterator[Metric]:
    doubts = _gauge(
        "orch_doubts_open",
        "Launches that may or may not have arrived, by what a person decides about: a run, or a wave as a whole.",
        labels=("of",),
    )
    doubts.add_metric(["run"], seen.doubts.singles)
    doubts.add_metric(["wave"], seen.doubts.waves)
    yield doubts
    items = _gauge("orch_inbox_open", "Questions that only a person can answer, by kind.", labels=("kind",))
    ages = _gauge(
        "orch_inbox_oldest_seconds", "How long the oldest open question of a kind has stood.", labels=("kind",)
    )
    opened = {item.kind: item for item in seen.inbox}
    for kind in sorted({*InboxKind, *opened}):
        item = opened.get(kind)
        items.add_metric([kind], item.items if item is not None else 0)
        ages.add_metric([kind], (seen.now - item.oldest_at).total_seconds() if item is not None else 0.0)
    yield items
    yield ages


def _results(reading: Reading) -> Iterator[Metric]:
    results: ResultsSight = reading.seen.results
    waiting = _gauge(
        "orch_downloads_waiting",
        "Runs whose results are not stored yet, by reason: not_tried is healthy, store_full and store_away are ours.",
        labels=("reason",),
    )
    counts: Counter[str] = Counter(dict.fromkeys([*DOWNLOADS_WAIT.values(), "other"], 0))
    for code, count in results.waiting.items():
        counts[DOWNLOADS_WAIT.get(code, "other")] += count
    for reason, count in sorted(counts.items()):
        waiting.add_metric([reason], count)
    yield waiting
    yield _gauge(
        "orch_results_at_risk",
        "Runs with a result that is not stored and whose URL dies within 20 minutes.",
        results.at_risk,
    )
    if results.first_loss_at is not None:
        yield _gauge(
            "orch_first_result_lost_in_seconds",
            "Until the first URL of an unstored result dies; below 0 it has died, and a fresh one is asked for."
            " Absent while nothing is to be fetched.",
            (results.first_loss_at - reading.seen.now).total_seconds(),
        )


def _lanes(reading: Reading) -> Iterator[Metric]:
    yield _gauge(
        "orch_launches_held",
        "1 while nothing is launched anywhere: the database and its mark outside do not agree; a person releases it.",
        int(bool(reading.seen.launch_holds)),
    )
    names = ("lane", "connections")
    limit = _gauge("orch_lane_budget_limit_requests", "Requests that a key may send in any 60 s.", labels=names)
    used = _gauge(
        "orch_lane_budget_used_requests",
        "Requests that count against a key's last 60 s, also those on the wire; at the limit the key is the bound.",
        labels=names,
    )
    held = _gauge(
        "orch_lane_launches_held",
        "1 while nothing is launched with a key, by reason. Only key_refused needs a person; workflow_rests holds"
        " some of its workflows only.",
        labels=(*names, "reason"),
    )
    for lane in reading.seen.lanes:
        who = [str(lane.id), lane.names]
        limit.add_metric(who, lane.limit)
        used.add_metric(who, lane.used)
        holds = lane.holds(reading.seen.now)
        for reason in sorted({*HOLDS, *holds}):
            held.add_metric([*who, reason], int(reason in holds))
    yield from (limit, used, held)


def _workers(reading: Reading) -> Iterator[Metric]:
    seen = reading.seen.workers
    by_state = _gauge(
        "orch_workers",
        "Workers by state; silent: should speak and does not; dead: declared dead within the last hour.",
        labels=("state",),
    )
    for state in ("running", "draining", "silent", "dead"):
        by_state.add_metric([state], getattr(seen, state))
    yield by_state
    yield _gauge("orch_dead_workers_unrecovered", "Dead workers whose work is not free for others yet.", seen.unburied)
    if seen.recovery_s is not None:
        yield _gauge(
            "orch_dead_worker_recovery_seconds",
            "The longest time, of the last hour's dead workers, from the last heartbeat until their work was free.",
            seen.recovery_s,
        )
    if seen.swept_ago_s is not None:
        yield _gauge(
            "orch_sweep_age_seconds",
            "Since any worker last swept; beyond a minute, the work of dead workers is not taken up.",
            seen.swept_ago_s,
        )
    if reading.seen.signed_ago_s is not None:
        yield _gauge(
            "orch_history_unsigned_seconds",
            "Since the history was last signed; beyond that time nothing vouches for it.",
            reading.seen.signed_ago_s,
        )
    units = CounterMetricFamily(
        "orch_work_units_total",
        "Claims that a living worker has worked, in Celery tasks or in its ticker, which works without a broker.",
        labels=("worker", "place"),
    )
    in_tasks = in_ticker = 0
    for worker in reading.alive:
        units.add_metric([str(worker.id), "task"], worker.units_in_tasks)
        units.add_metric([str(worker.id), "ticker"], worker.units_in_ticker)
        in_tasks, in_ticker = in_tasks + worker.units_in_tasks, in_ticker + worker.units_in_ticker
    yield units
    yield _gauge(
        "orch_task_share",
        "Share of the living workers' work that ran inside Celery tasks; falling: the broker is away.",
        in_tasks / (in_tasks + in_ticker) if in_tasks + in_ticker else 1.0,
    )
    schema = _gauge("orch_schema_info", "The database schema's revision; always 1.", labels=("revision",))
    schema.add_metric([reading.revision or "none"], 1)
    build = _gauge("orch_build_info", "The version that answers; always 1.", labels=("version",))
    build.add_metric([__version__], 1)
    yield from (schema, build)
