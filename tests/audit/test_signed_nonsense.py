"""A good signature makes nonsense no better: each rule is held against the key's own holder, without any anchor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from orchestrator.domain import audit_export, chain
from orchestrator.domain.chain import Event, Head, NewEvent
from orchestrator.domain.checkpoints import SignedCheckpoint, StreamHead, read_body, root
from tests.audit.judges import both
from tests.audit.worlds import BEGIN, World, make_world, sealed, sign_next

Heads = list[StreamHead]
Spoil = Callable[[dict[str, Any], Heads], None]


def _names_another(body: dict[str, Any], heads: Heads) -> None:
    body["previous"] = hashlib.sha256(b"another").hexdigest()


def _counts_one_more(name: str) -> Spoil:
    def spoil(body: dict[str, Any], heads: Heads) -> None:
        body[name] += 1

    return spoil


def _goes_back(body: dict[str, Any], heads: Heads) -> None:
    body["at"] = chain.timestamp(BEGIN)


def _is_another_workspaces(body: dict[str, Any], heads: Heads) -> None:
    body["workspace"] = str(heads[0].stream)


def _holds_what_has_not_moved(body: dict[str, Any], heads: Heads) -> None:
    heads[0] = replace(heads[0], seq=0)
    body["root"] = root(heads)


def _holds_a_head_twice(body: dict[str, Any], heads: Heads) -> None:
    heads.insert(0, heads[0])
    body["heads"] += 1
    body["root"] = root(heads)


def _holds_heads_out_of_order(body: dict[str, Any], heads: Heads) -> None:
    heads.reverse()
    lines = "".join(head.line() for head in heads)
    body["root"] = hashlib.sha256(lines.encode()).hexdigest()


def _has_another_root(body: dict[str, Any], heads: Heads) -> None:
    body["root"] = hashlib.sha256(b"another").hexdigest()


@pytest.mark.parametrize(
    ("spoil", "ours", "alone"),
    [
        (_names_another, "does not follow", "does not name the hash"),
        (_counts_one_more("number"), "is missing; number 10", "checkpoints are missing"),
        (_counts_one_more("events"), "number of events", "count of events"),
        (_counts_one_more("streams"), "number of streams", "count of streams"),
        (_counts_one_more("heads"), "heads and comes with", "not as many heads"),
        (_goes_back, "before the checkpoint before it", "older than the checkpoint"),
        (_is_another_workspaces, "of another workspace", "of another workspace"),
        (_holds_what_has_not_moved, "has not moved", "has not moved"),
        (_holds_a_head_twice, "order of their streams", "not in order"),
        (_holds_heads_out_of_order, "order of their streams", "not in order"),
        (_has_another_root, "do not give its root", "do not give its root"),
    ],
)
def test_a_signed_checkpoint_that_breaks_a_rule_is_named(spoil: Spoil, ours: str, alone: str, tmp_path: Path) -> None:
    world = make_world(0)
    sign_next(world, at=read_body(world.checkpoints[-1].body).at)
    assert both(world.files(), tmp_path / "export").ours.ok
    good = world.checkpoints.pop()
    body, heads = json.loads(good.body), list(good.heads)
    assert len(heads) > 1, "so that they have an order"
    spoil(body, heads)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    world.checkpoints.append(SignedCheckpoint(body=text, signature=world.key.sign(text.encode()), heads=heads))
    answers = both(world.files(), tmp_path / "export")
    assert (answers.ours.problem or "").startswith("checkpoint 9: ")
    assert ours in (answers.ours.problem or "")
    assert answers.alone_exit == 8
    assert "first bad place:  checkpoint 9 " in answers.alone_text
    assert alone in answers.alone_text
    assert "checkpoints 1 to 8" in answers.ours.trusted


def test_a_stream_that_begins_with_its_second_event_is_not_whole_though_its_hashes_are_right(
    tmp_path: Path,
) -> None:
    world, stream = _with_a_young_stream()
    assert both(world.files(), tmp_path / "export").ours.ok
    old = world.streams[stream]
    # As if event 2 were the first one that there ever was.
    begun, _ = chain.append(Head(seq=1), stream, [NewEvent(type=event.type) for event in old[1:]], at=old[0].at)
    world.streams[stream] = begun
    answers = both(_files(world), tmp_path / "export")
    assert answers.ours.problem == f"stream {stream}, event 1: is missing: after 0 comes 2"
    assert f"stream {stream}, event 1: is not there" in answers.alone_text


def _with_a_young_stream() -> tuple[World, UUID]:
    """Return a world with a stream that no checkpoint holds."""
    world = make_world(1)
    stream = UUID(int=7)
    world.streams[stream] = chain.append(Head(), stream, [NewEvent(type="a"), NewEvent(type="b")], at=BEGIN)[0]
    return world, stream


def _files(world: World) -> dict[str, bytes]:
    events: list[Event] = [event for stream in world.exported().values() for event in stream]
    return sealed(world, [audit_export.event_line(event).encode() for event in events])
