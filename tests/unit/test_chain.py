"""The hash chain: what was appended verifies, and nothing can be changed in it unseen."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.chain import (
    GENESIS,
    Beginnings,
    Event,
    Head,
    NewEvent,
    append,
    canonical_bytes,
    canonical_data,
    first_break,
    timestamp,
)
from tests.unit.facts import NOW, few, s

STREAM = UUID(int=1)
words = st.text(st.characters(codec="utf-8"), max_size=6)
facts = st.dictionaries(words, st.one_of(st.none(), st.booleans(), st.integers(), words), max_size=3)
new_events = st.lists(st.builds(NewEvent, type=words, actor=words, data=facts), min_size=2, max_size=6)


def chain(new: list[NewEvent]) -> list[Event]:
    """Append in two parts, as two acts would."""
    first, head = append(Head(), STREAM, new[:1], at=NOW)
    second, _ = append(head, STREAM, new[1:], at=NOW + s(1))
    return first + second


@few
@given(new_events)
def test_whatever_is_appended_verifies_and_the_head_is_its_last_event(new: list[NewEvent]) -> None:
    events, head = append(Head(), STREAM, new, at=NOW)
    assert first_break(events) is None
    assert head == Head(seq=len(new), hash=events[-1].hash)
    assert [e.seq for e in events] == list(range(1, len(new) + 1))


@few
@given(new_events, st.data())
def test_a_change_of_any_field_of_any_event_is_found(new: list[NewEvent], data: st.DataObject) -> None:
    events = chain(new)
    n = data.draw(st.integers(0, len(events) - 1))
    event = events[n]
    mutations: dict[str, Any] = {
        "stream": UUID(int=2),
        "seq": event.seq + 1,
        "at": event.at + timedelta(microseconds=1),
        "type": event.type + "x",
        "actor": event.actor + " ",
        "data": event.data + " ",
        "hash": bytes(32),
    }
    for field, value in mutations.items():
        changed = [*events[:n], replace(event, **{field: value}), *events[n + 1 :]]
        assert first_break(changed) is not None, field


@few
@given(new_events, st.data())
def test_an_event_removed_doubled_or_moved_is_found(new: list[NewEvent], data: st.DataObject) -> None:
    events = chain(new)
    n = data.draw(st.integers(0, len(events) - 2))
    assert first_break(events[:n] + events[n + 1 :]) is not None
    assert first_break([*events[: n + 1], *events[n:]]) is not None
    assert first_break([*events[:n], events[n + 1], events[n], *events[n + 2 :]]) is not None


def test_an_event_inserted_with_a_number_and_hash_of_its_own_is_found() -> None:
    events = chain([NewEvent(type="a"), NewEvent(type="b")])
    forged, _ = append(Head(seq=1, hash=events[0].hash), STREAM, [NewEvent(type="x")], at=NOW)
    assert first_break([events[0], *forged]) is None, "a forger can write a chain of his own ..."
    assert first_break([events[0], *forged, replace(events[1], seq=3)]) is not None, "... but not go on with ours"


def test_a_cut_tail_verifies_by_itself_so_the_head_on_the_owners_row_must_be_compared() -> None:
    events, head = append(Head(), STREAM, [NewEvent(type="a"), NewEvent(type="b")], at=NOW)
    assert first_break(events[:1]) is None
    assert (events[0].seq, events[0].hash) != (head.seq, head.hash)


def test_the_hash_can_be_recomputed_with_nothing_but_json_and_sha256() -> None:
    (event,), _ = append(Head(), STREAM, [NewEvent(type="finished", data={"ü": 1, "a": "é"})], at=NOW)
    told = [str(STREAM), 1, "2026-03-01T12:00:00.000000Z", "finished", "orchestrator", '{"a":"é","ü":1}']
    body = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    assert event.hash == hashlib.sha256(GENESIS + body).digest()


def test_fields_that_run_into_each_other_do_not_hash_alike() -> None:
    one = canonical_bytes(stream=STREAM, seq=1, at=NOW, type='a","b', actor="c", data="{}")
    other = canonical_bytes(stream=STREAM, seq=1, at=NOW, type="a", actor='b","c', data="{}")
    assert one != other


def test_the_same_moment_in_another_zone_hashes_alike() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert timestamp(there) == timestamp(NOW)
    assert timestamp(datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=NOW.tzinfo)) == "2026-01-01T00:00:00.000001Z"


@few
@given(facts)
def test_the_same_facts_give_the_same_text_in_whatever_order_they_come(data: dict[str, object]) -> None:
    assert canonical_data(data) == canonical_data(dict(reversed(data.items())))


def test_a_number_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_data({"x": float("nan")})


def test_an_empty_stream_verifies() -> None:
    assert first_break([]) is None
    assert canonical_data(None) == "{}"


@few
@given(words, words, facts, st.lists(st.tuples(st.uuids(), st.binary(min_size=32, max_size=32)), max_size=3))
def test_beginnings_written_together_are_those_that_are_appended_one_by_one(
    type: str, actor: str, common: dict[str, Any], each: list[tuple[UUID, bytes]]
) -> None:
    together = Beginnings(type=type, actor=actor, facts=common, digest="of_input", at=NOW)
    for stream, digest in each:
        told = NewEvent(type=type, actor=actor, data={**common, "of_input": digest.hex()})
        (event,), _ = append(Head(), stream, [told], at=NOW)
        assert together.of(stream, digest) == (event.data.encode(), event.hash)
