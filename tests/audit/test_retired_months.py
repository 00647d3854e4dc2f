"""What a retired month excuses, and what not: both verifiers, on histories made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest

from orchestrator.domain import chain
from orchestrator.domain.chain import Head
from orchestrator.domain.checkpoints import read_body
from orchestrator.domain.retention import Retired, read_retired
from tests.audit.judges import both
from tests.audit.worlds import World, make_world, public, sign_next


@pytest.fixture
def world() -> World:
    """A history with checkpoints, whose workspace's own stream comes first."""
    return make_world(6)


def retired(world: World, streams: list[UUID], *, checkpoint: int) -> Retired:
    return Retired(
        partition="events_2026_11",
        first_stream=min(streams),
        until_stream=UUID(int=max(s.int for s in streams) + 1),
        streams=len(streams),
        events=sum(len(world.streams[s]) for s in streams),
        checkpoint=checkpoint,
        export="events_2026_11-0123456789ab",
        manifest_sha256=hashlib.sha256(b"manifest").hexdigest(),
    )


def tell(world: World, month: Retired) -> None:
    """Let the workspace's stream tell of it, and sign that it does."""
    claim(world, month)
    sign_next(world, at=last_at(world))


def claim(world: World, month: Retired) -> None:
    """Let the workspace's stream tell of it, and nobody sign it."""
    own = world.streams.setdefault(world.workspace, [])
    head = Head(seq=own[-1].seq, hash=own[-1].hash, at=own[-1].at) if own else Head()
    told = month.told("orchestrator", keep_days=90)
    events, _ = chain.append(head, world.workspace, [told], at=last_at(world))
    own.extend(events)


def last_at(world: World) -> datetime:
    return max(read_body(each.body).at for each in world.checkpoints)


def others(world: World) -> list[UUID]:
    """Return the streams that a checkpoint holds whole, but the workspace's own."""
    return [s for s, events in world.streams.items() if s != world.workspace and whole(world, s) and events]


def whole(world: World, stream: UUID) -> bool:
    return world.anchored_seq(stream) == world.streams[stream][-1].seq


def judge(world: World, folder: Path) -> tuple[str | None, int]:
    answers = both(world.files(), folder, key=public(world.key))
    return answers.ours.problem, answers.alone_exit


def test_a_stream_of_a_retired_month_may_be_missing_and_no_other(world: World, tmp_path: Path) -> None:
    stream = others(world)[0]
    month = retired(world, [stream], checkpoint=len(world.checkpoints))
    del world.streams[stream]
    assert judge(world, tmp_path / "untold")[1] == 8
    tell(world, month)
    assert judge(world, tmp_path / "told") == (None, 0)
    another = others(world)[0]
    del world.streams[another]
    problem, alone = judge(world, tmp_path / "another")
    assert f"stream {another}, is missing" in str(problem)
    assert alone == 8


def test_what_nobody_signed_excuses_nothing(world: World, tmp_path: Path) -> None:
    stream = others(world)[0]
    month = retired(world, [stream], checkpoint=len(world.checkpoints))
    del world.streams[stream]
    claim(world, month)
    answers = both(world.files(), tmp_path / "claimed", key=public(world.key))
    assert f"stream {stream}, is missing" in str(answers.ours.problem)
    assert answers.ours.retired == ()
    assert answers.alone_exit == 8
    assert f"stream {stream}, is missing" in answers.alone_text
    assert month.export not in answers.alone_text
    sign_next(world, at=last_at(world))
    assert judge(world, tmp_path / "signed") == (None, 0)


def test_what_nobody_signed_does_not_let_a_stream_begin_later(world: World, tmp_path: Path) -> None:
    stream = next(s for s in others(world) if len(heads(world, s)) > 1)
    seq, number = heads(world, stream)[0]
    month = retired(world, [stream], checkpoint=number)
    world.streams[stream] = world.streams[stream][seq:]
    claim(world, month)
    problem, alone = judge(world, tmp_path / "claimed")
    assert (f"stream {stream}, event 1: is missing" in str(problem), alone) == (True, 8)


def test_what_a_later_checkpoint_holds_is_not_excused(world: World, tmp_path: Path) -> None:
    stream = others(world)[0]
    last = max(read_body(c.body).number for c in world.checkpoints for head in c.heads if head.stream == stream)
    month = retired(world, [stream], checkpoint=last - 1)
    del world.streams[stream]
    tell(world, month)
    problem, alone = judge(world, tmp_path / "later")
    assert (f"stream {stream}, is missing" in str(problem), alone) == (True, 8)


def test_a_stream_goes_on_after_its_signed_end_and_nowhere_else(world: World, tmp_path: Path) -> None:
    stream = next(s for s in others(world) if len(heads(world, s)) > 1)
    ends = heads(world, stream)
    first, number = ends[0]
    month = retired(world, [stream], checkpoint=number)
    events = world.streams[stream]
    world.streams[stream] = events[first:]
    problem, alone = judge(world, tmp_path / "untold")
    assert (f"stream {stream}, event 1: is missing" in str(problem), alone) == (True, 8)
    tell(world, month)
    assert judge(world, tmp_path / "told") == (None, 0)
    world.streams[stream] = events[ends[1][0] :]
    assert judge(world, tmp_path / "more")[1] == 8
    assert judge(world, tmp_path / "more")[0] is not None


def heads(world: World, stream: UUID) -> list[tuple[int, int]]:
    return [(h.seq, read_body(c.body).number) for c in world.checkpoints for h in c.heads if h.stream == stream]


def test_a_retirement_in_another_stream_excuses_nothing(world: World, tmp_path: Path) -> None:
    stream, liar = others(world)[:2]
    month = retired(world, [stream], checkpoint=len(world.checkpoints))
    del world.streams[stream]
    lie = world.streams[liar]
    events, _ = chain.append(
        Head(seq=lie[-1].seq, hash=lie[-1].hash), liar, [month.told("x", keep_days=1)], at=lie[-1].at
    )
    lie.extend(events)
    sign_next(world, at=last_at(world))
    problem, alone = judge(world, tmp_path / "lie")
    assert (f"stream {stream}, is missing" in str(problem), alone) == (True, 8)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.replace('"checkpoint":', '"checkpoint":"') + '"',
        lambda data: data.replace('"first_stream":"', '"first_stream":"x'),
        lambda data: data.replace('"manifest_sha256":"', '"manifest_sha256":"0'),
        lambda data: "[]",
        lambda data: "",
    ],
)
def test_an_event_that_does_not_say_it_in_the_one_form_tells_of_nothing(
    world: World, spoil: Callable[[str], str]
) -> None:
    tell(world, retired(world, others(world)[:1], checkpoint=1))
    event = world.streams[world.workspace][-1]
    assert read_retired(event) is not None
    assert read_retired(replace(event, data=spoil(event.data))) is None
