"""What is wrong: a table of sights and the alarms that they raise; and when an alarm is spoken of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from orchestrator.domain import alarms, file_failures
from orchestrator.domain.alarm_words import WORDS, Code
from orchestrator.domain.alarms import Alarm
from orchestrator.domain.breaker import BreakerState
from orchestrator.domain.sights import (
    DiskSight,
    DoubtsSight,
    EndingSight,
    HoldSight,
    InboxSight,
    LaneSight,
    OwnSights,
    ResultsSight,
    Sights,
    SlotsSight,
    WorkersSight,
)
from orchestrator.domain.telling import AGAIN_S, GROWN_S, OVER_AFTER_S, Told, tell
from orchestrator.errors import NotSent, StoreFull
from tests.unit.facts import NOW, RUN, s

GIB = 1024**3
QUIET = Sights(
    now=NOW,
    due_since={"launch": NOW - s(5), "poll": None, "download": NOW + s(30), "sweep": None},
    lanes=(LaneSight(id=UUID(int=1), names="main", limit=100, used=100, blocked_until=NOW - s(1)),),
    results=ResultsSight(waiting={"not_tried": 9, "not_sent": 1}, first_loss_at=NOW + s(3000)),
    doubts=DoubtsSight(),
    workers=WorkersSight(running=2, draining=1, dead=1, swept_ago_s=50),
    inbox=(InboxSight(kind="human", items=3, oldest_at=NOW - s(3600)),),
    slots=(SlotsSight(workflow_id="w", connection="main", used=10, limit=10, launched_at=NOW - s(3500)),),
)


ENDING = EndingSight(name="posts", version="2026-08-01", sunset_at=None, replacement=None, told_at=NOW)


def lane(**changes: Any) -> dict[str, Any]:
    return {"lanes": (replace(QUIET.lanes[0], **changes),)}


def results(**changes: Any) -> dict[str, Any]:
    return {"results": replace(QUIET.results, **changes)}


def workers(**changes: Any) -> dict[str, Any]:
    return {"workers": replace(QUIET.workers, **changes)}


#: What is different from a quiet installation, and the one alarm that it raises.
SHARED: list[tuple[dict[str, Any], Code, bool]] = [
    (lane(breaker=BreakerState.OPEN, trips=3), Code.PROVIDER_UNREACHABLE, False),
    (lane(breaker=BreakerState.HALF_OPEN), Code.PROVIDER_UNREACHABLE, False),
    (lane(breaker=BreakerState.OPEN, trips=7, loses_launches=True), Code.LAUNCHES_LOST, True),
    (lane(launches_stopped="key_refused"), Code.LAUNCHES_STOPPED, True),
    (lane(launches_stopped="version_unsupported"), Code.VERSION_UNSUPPORTED, True),
    (lane(told_limit=60), Code.LIMIT_LOWERED, False),
    ({"endings": (ENDING,)}, Code.VERSION_ENDING, False),
    ({"endings": (replace(ENDING, sunset_at=NOW + s(29 * 86_400)),)}, Code.VERSION_ENDING, True),
    (lane(blocked_until=NOW + s(30)), Code.LANE_THROTTLED, False),
    ({"launch_holds": (HoldSight(code="older", because="…", held_at=NOW),)}, Code.LAUNCHES_HELD, True),
    ({"doubts": DoubtsSight(singles=1, runs=1, since=NOW)}, Code.IN_DOUBT, False),
    (results(waiting={"store_full": 4}, store_says="no space"), Code.STORE_FULL, True),
    (results(waiting={"unavailable": 4}), Code.STORE_AWAY, True),
    (results(at_risk=1, run_at_risk=RUN, first_loss_at=NOW + s(600)), Code.RESULT_AT_RISK, True),
    (workers(dead_lately=(UUID(int=5),)), Code.WORKER_DEAD, False),
    (workers(silent=1), Code.WORKER_SILENT, False),
    (workers(swept_ago_s=61), Code.NOT_SWEPT, False),
    ({"signed_ago_s": 3901.0}, Code.HISTORY_UNSIGNED, False),
    ({"unproven_months": ("events_2026_11",)}, Code.RETENTION_UNPROVEN, True),
    ({"due_since": {"poll": NOW - s(61)}}, Code.WORK_STALLED, True),
    ({"inbox": (InboxSight(kind="doubt", items=1, oldest_at=NOW - s(90_000)),)}, Code.INBOX_OLD, False),
    ({"slots": (replace(QUIET.slots[0], launched_at=NOW - s(3700)),)}, Code.SLOTS_TAKEN, False),
]

OWN: list[tuple[dict[str, Any], Code, bool]] = [
    ({"clock_ahead_s": 5.1}, Code.CLOCK_OFF, False),
    ({"clock_ahead_s": -31.0}, Code.CLOCK_OFF, True),
    ({"broker_away_s": 1.0}, Code.BROKER_AWAY, False),
    ({"database_away_s": 0.0, "database_says": "refused"}, Code.DATABASE_AWAY, True),
    ({"disks": (DiskSight(folder="/d", free_bytes=40 * GIB, total_bytes=1000 * GIB),)}, Code.DISK_LOW, False),
    ({"disks": (DiskSight(folder="/d", free_bytes=GIB - 1, total_bytes=2 * GIB),)}, Code.DISK_LOW, False),
    ({"disks_are_silent": True}, Code.DISK_SILENT, True),
]


@pytest.mark.parametrize(
    ("changes", "code", "is_grave"), SHARED, ids=[f"{c}-{n}" for n, (_, c, _) in enumerate(SHARED)]
)
def test_each_trouble_that_the_database_tells_of_raises_its_one_alarm(
    changes: dict[str, Any], code: Code, is_grave: bool
) -> None:
    (alarm,) = alarms.shared(replace(QUIET, **changes), sweep_interval_s=5)
    assert (alarm.code, alarm.is_grave) == (code, is_grave)
    assert alarm.facts, "an alarm without facts leads nowhere"


@pytest.mark.parametrize(("seen", "code", "is_grave"), OWN, ids=[f"{c}-{n}" for n, (_, c, _) in enumerate(OWN)])
def test_each_trouble_of_a_place_raises_its_one_alarm(seen: dict[str, Any], code: Code, is_grave: bool) -> None:
    (alarm,) = alarms.own(OwnSights(**seen))
    assert (alarm.code, alarm.is_grave) == (code, is_grave)


def test_a_busy_installation_that_is_well_raises_no_alarm() -> None:
    assert alarms.shared(QUIET, sweep_interval_s=5) == []
    healthy = DiskSight(folder="/d", free_bytes=6 * GIB, total_bytes=100 * GIB)
    assert alarms.own(OwnSights(clock_ahead_s=-4.9, disks=(healthy,))) == []


def test_every_alarm_is_in_the_table_but_the_one_that_is_told_where_it_happens() -> None:
    assert (
        {code for _, code, _ in (*SHARED, *OWN)} | {Code.RESULT_LOST, Code.TICK_MISSED, Code.NO_WORKERS}
        == set(Code)
        == set(WORDS)
    )


def test_rare_sweeps_are_no_trouble_where_an_operator_wants_them_rare() -> None:
    seen = replace(QUIET, **workers(swept_ago_s=200))
    assert alarms.shared(seen, sweep_interval_s=60) == []


def doubt(count: float = 1) -> Alarm:
    return Alarm(code=Code.IN_DOUBT, extent=count)


def spoken(*seen: tuple[float, Alarm | None]) -> list[tuple[float, str]]:
    """Return when what was said, of alarms (or none) that were seen at such times."""
    told, said = Told(), []
    for at_s, alarm in seen:
        told, lines = tell(told, [] if alarm is None else [alarm], now_s=at_s)
        said += [(at_s, str(line.moment)) for line in lines]
    return said


def test_an_alarm_is_told_as_it_begins_every_ten_minutes_while_it_lasts_and_when_it_is_over() -> None:
    lasting = [(float(at_s), doubt()) for at_s in range(0, 1300, 10)]
    over = (1290 + OVER_AFTER_S, None)
    expected = [(0, "begins"), (AGAIN_S, "lasts"), (2 * AGAIN_S, "lasts"), (1290 + OVER_AFTER_S, "over")]
    assert spoken(*lasting, over, (over[0] + 15, None)) == expected


def test_an_alarm_that_grows_is_told_again_but_not_each_time_it_grows() -> None:
    growing = [(float(at_s), doubt(1 + at_s)) for at_s in range(0, 130, 10)]
    assert spoken(*growing) == [(0, "begins"), (GROWN_S, "lasts"), (2 * GROWN_S, "lasts")]
    assert spoken((0, doubt(5)), (15, doubt(1)), (90, doubt(2))) == [(0, "begins"), (90, "lasts")]


def test_an_alarm_that_flaps_is_told_once() -> None:
    assert spoken((0, doubt()), (15, None), (30, doubt()), (45, None), (60, doubt())) == [(0, "begins")]


def test_an_alarm_with_patience_is_told_when_it_has_lasted_and_never_if_it_has_not() -> None:
    slow = Alarm(code=Code.LANE_THROTTLED, patience_s=120)
    assert spoken((0, slow), (110, slow), (120, slow)) == [(120, "begins")]
    assert spoken((0, slow), (60, slow), (90, None), (120, None)) == []


def test_two_lanes_are_two_alarms_of_one_code() -> None:
    one, other = (Alarm(code=Code.PROVIDER_UNREACHABLE, subject=name) for name in "ab")
    _, lines = tell(Told(), [one, other], now_s=0)
    assert [line.alarm.subject for line in lines] == ["a", "b"]


@pytest.mark.parametrize(
    ("kept", "code", "words"),
    [
        (file_failures.kept(StoreFull("no space: none")), "store_full", "no space: none"),
        (file_failures.kept(NotSent("x" * 900)), "not_sent", "x" * (file_failures.LONGEST - len("not_sent: "))),
        ("The host answered: 503", None, "The host answered: 503"),
        ("", None, ""),
    ],
)
def test_what_is_kept_of_a_files_failure_gives_back_its_code(kept: str, code: str | None, words: str) -> None:
    assert file_failures.parted(kept) == (code, words)
