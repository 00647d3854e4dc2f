"""When a database is older than the world, and what becomes of launches that it forgot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from orchestrator.domain import launch_notes
from orchestrator.domain.highwater import NO_FOLDER, HeldCode, Mark, OutsideMark, is_taken_over, judge
from orchestrator.domain.launch_decisions import LaunchingRun
from orchestrator.domain.launch_notes import AnswerNote, Came, Fate, LaunchNote, NotedLaunch, RunHere
from orchestrator.domain.statuses import RunStatus as S

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OURS, OTHERS = uuid4(), uuid4()
FOLDER = uuid4()
RUN = uuid4()


def mark(number: int, *, epoch: int = 0, incarnation: UUID = OURS) -> Mark:
    return Mark(incarnation=incarnation, epoch=epoch, number=number)


def outside(at: Mark, *, is_copy: bool = False) -> OutsideMark:
    return OutsideMark(folder=FOLDER, place="here", mark=at, written_at=NOW, is_copy=is_copy)


def code(
    here: Mark, *told: OutsideMark, seen: Mark | None = None, lost: int = 0, at_start: bool = True
) -> HeldCode | None:
    finding = judge(here, told, seen=seen, lost_launches=lost, at_start=at_start)
    return None if finding is None else finding.code


@pytest.mark.parametrize(
    ("here", "told", "expected"),
    [
        (mark(5), [], None),
        (mark(5), [outside(mark(5))], None),
        (mark(5), [outside(mark(4))], None),
        (mark(5), [outside(mark(6))], HeldCode.OLDER),
        (mark(9, epoch=0), [outside(mark(5, epoch=1))], HeldCode.OLDER),
        (mark(5, epoch=1), [outside(mark(9, epoch=0))], None),
        (mark(5), [outside(mark(1, incarnation=OTHERS))], HeldCode.FOREIGN),
        (mark(5), [outside(mark(4)), outside(mark(6))], HeldCode.OLDER),
        (mark(5), [outside(mark(5), is_copy=True)], HeldCode.COPIED),
    ],
)
def test_a_database_is_held_by_every_place_that_knows_more(
    here: Mark, told: list[OutsideMark], expected: HeldCode | None
) -> None:
    assert code(here, *told) is expected


def test_a_copy_that_this_process_has_written_to_since_is_its_own() -> None:
    assert code(mark(5), outside(mark(5), is_copy=True), at_start=False) is None


def test_a_mark_that_goes_back_under_a_running_process_is_noticed_before_the_place_outside_knows() -> None:
    assert code(mark(5), outside(mark(4)), seen=mark(6)) is HeldCode.SWAPPED
    assert code(mark(9), outside(mark(9)), seen=mark(6, incarnation=OTHERS)) is HeldCode.SWAPPED
    assert code(mark(6), outside(mark(4)), seen=mark(6)) is None


def test_a_process_that_could_never_write_outside_remembers_all_the_same() -> None:
    finding = judge(mark(5), [], seen=mark(6), lost_launches=0, at_start=True)
    assert finding is not None
    assert finding.folder == NO_FOLDER
    assert code(mark(5), lost=1) is HeldCode.LOST_LAUNCHES


def test_a_release_is_beyond_every_mark_and_is_taken_over_only_where_it_was_made() -> None:
    seen = mark(700)
    released = mark(3).released()
    assert not released.is_before(seen)
    assert is_taken_over(released, [outside(released)], seen)
    assert not is_taken_over(released, [outside(mark(700))], seen)
    assert not is_taken_over(mark(700), [outside(mark(700))], seen)


def noted(came: Came, execution_id: str | None = None, *, attempt: int = 1, at: datetime = NOW) -> NotedLaunch:
    note = LaunchNote(
        at=at,
        intent_id=uuid4(),
        fence=1,
        connection_id=uuid4(),
        remote_workflow_id="w",
        is_wave=False,
        body_sha256="00",
        body_bytes=1,
        runs=(LaunchingRun(run_id=RUN, attempt=attempt, position=0),),
    )
    return NotedLaunch(note=note, came=came, execution_ids={0: execution_id} if execution_id else {})


def here(status: S, *, attempt: int = 1, execution_id: str | None = None) -> RunHere:
    return RunHere(status=status, attempt=attempt, execution_id=execution_id)


@pytest.mark.parametrize(
    ("launch", "is_known", "run", "expected"),
    [
        (noted(Came.ACCEPTED, "e"), False, here(S.QUEUED), Fate.ADOPT),
        (noted(Came.ACCEPTED, "e", attempt=2), False, here(S.QUEUED), Fate.ADOPT),
        (noted(Came.ACCEPTED, "e"), False, here(S.QUEUED, attempt=2), Fate.LIST),
        (noted(Came.UNKNOWN), False, here(S.QUEUED), Fate.DOUBT),
        (noted(Came.NOTHING), False, here(S.QUEUED), None),
        (noted(Came.ACCEPTED, "e"), False, None, Fate.LIST),
        (noted(Came.UNKNOWN), False, None, Fate.LIST),
        (noted(Came.ACCEPTED, "e"), False, here(S.CANCELLED), Fate.LIST),
        (noted(Came.ACCEPTED, "e"), True, here(S.PROCESSING, execution_id="e"), None),
        (noted(Came.ACCEPTED, "e"), True, here(S.IN_DOUBT), Fate.SETTLE_DOUBT),
        (noted(Came.ACCEPTED, "e"), True, here(S.LAUNCHING), Fate.LIST),
        (noted(Came.ACCEPTED, "e"), True, here(S.QUEUED), Fate.ADOPT),
        (noted(Came.UNKNOWN), True, here(S.IN_DOUBT), None),
    ],
)
def test_what_was_launched_and_is_queued_here_is_never_left_to_be_launched_again(
    launch: NotedLaunch, is_known: bool, run: RunHere | None, expected: Fate | None
) -> None:
    attempt = launch.note.runs[0].attempt
    found = launch_notes.unknown_of(launch, is_known=is_known, here={(RUN, attempt): run})
    assert [one.fate for one in found] == ([] if expected is None else [expected])


def test_of_several_forgotten_launches_of_a_run_only_the_last_is_taken_up() -> None:
    first, second = noted(Came.ACCEPTED, "e1"), noted(Came.ACCEPTED, "e2", at=NOW + timedelta(seconds=1))
    found = [
        one
        for launch in (first, second)
        for one in launch_notes.unknown_of(launch, is_known=False, here={(RUN, 1): here(S.QUEUED)})
    ]
    assert [one.fate for one in launch_notes.latest_only(found)] == [Fate.LIST, Fate.ADOPT]


def test_a_note_comes_back_as_it_was_written_and_a_torn_line_is_none() -> None:
    launch = noted(Came.UNKNOWN).note
    answer = AnswerNote(at=NOW, intent_id=launch.intent_id, came=Came.ACCEPTED, execution_ids={0: 'a"\n\ud800'})
    for note in (launch, answer):
        line = note.line()
        assert line.count(b"\n") == 1
        assert launch_notes.parse(line) == note
        assert all(launch_notes.parse(line[:cut]) is None for cut in range(len(line) - 1))


def test_an_answer_finds_its_launch_in_a_file_that_is_read_later() -> None:
    launch = noted(Came.UNKNOWN).note
    answer = AnswerNote(at=NOW, intent_id=launch.intent_id, came=Came.ACCEPTED, execution_ids={0: "e"})
    answers: dict[UUID, AnswerNote] = {}
    assert launch_notes.joined([answer], answers) == []
    (found,) = launch_notes.joined([launch], answers)
    assert found.execution_ids == {0: "e"}
    assert answers == {}
