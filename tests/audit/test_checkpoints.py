"""A checkpoint's text is what the format says, and the next one follows from the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from orchestrator.domain.checkpoints import (
    MovedHead,
    StreamHead,
    Unreadable,
    body_hash,
    body_text,
    key_id,
    next_checkpoint,
    read_body,
    root,
)
from tests.audit.worlds import BEGIN

ONE, TWO = UUID(int=1), UUID(int=2)
A = StreamHead(stream=ONE, seq=3, hash=b"\x01" * 32)
B = StreamHead(stream=TWO, seq=10, hash=b"\x02" * 32)
KEY = key_id(bytes(32))


def _body(*moved: MovedHead, previous: str | None = None) -> str:
    return body_text(next_checkpoint(previous, moved, workspace=TWO, at=BEGIN, key=KEY)[0])


def test_the_root_is_one_hash_over_a_line_for_each_head_in_the_order_of_their_streams() -> None:
    lines = f"{ONE} 3 {'01' * 32}\n{TWO} 10 {'02' * 32}\n"
    assert root([B, A]) == root([A, B]) == hashlib.sha256(lines.encode()).hexdigest()
    assert root([]) == hashlib.sha256(b"").hexdigest()


def test_the_body_is_the_text_that_the_format_describes() -> None:
    assert _body(MovedHead(head=A)) == (
        '{"at":"2026-11-20T03:00:00.000000Z","events":3,"format":"orchestrator-checkpoint/1","heads":1,'
        f'"key":"{hashlib.sha256(bytes(32)).hexdigest()[:32]}","number":1,"previous":"{"0" * 64}",'
        f'"root":"{root([A])}","streams":1,"workspace":"{TWO}"}}'
    )


def test_the_next_one_counts_on_and_names_the_hash_of_the_one_before() -> None:
    first = _body(MovedHead(head=A))
    later = StreamHead(stream=ONE, seq=5, hash=b"\x03" * 32)
    second = read_body(_body(MovedHead(head=later, anchored_seq=3), MovedHead(head=B), previous=first))
    assert (second.number, second.events, second.streams, second.heads) == (2, 3 + 2 + 10, 2, 2)
    assert second.previous == body_hash(first) == hashlib.sha256(first.encode()).hexdigest()


def test_a_checkpoint_is_never_older_than_the_one_before_though_the_clock_went_back() -> None:
    first = _body(MovedHead(head=A))
    second, _ = next_checkpoint(first, [], workspace=TWO, at=BEGIN - timedelta(hours=1), key=KEY)
    assert second.at == BEGIN
    assert second.heads == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(",", ", ", 1),
        lambda text: text.replace('"events":3', '"events":3.0'),
        lambda text: text.replace('"events":3', '"events":true'),
        lambda text: text.replace('"events":3', '"events":-3'),
        lambda text: text.replace('"events":3', '"events":3,"events":3'),
        lambda text: text.replace('"events":3', '"events":3,"more":3'),
        lambda text: text.replace("03:00:00.000000Z", "03:00:00Z"),
        lambda text: text.replace("2026-11-20", "2026-02-30"),
        lambda text: text.replace("checkpoint/1", "checkpoint/2"),
        lambda text: text.replace(str(TWO), str(TWO).replace("-", "")),
        lambda text: text.replace(root([A]), root([A]).upper()),
        lambda text: text[:-1],
        lambda text: "[" * 100_000,
    ],
)
def test_a_body_in_any_other_form_is_refused(spoil: Callable[[str], str]) -> None:
    text = _body(MovedHead(head=A))
    assert spoil(text) != text
    with pytest.raises(Unreadable):
        read_body(spoil(text))


def test_reading_a_body_gives_back_what_was_written() -> None:
    text = _body(MovedHead(head=A), MovedHead(head=B))
    assert body_text(read_body(text)) == text
    assert json.loads(text)["heads"] == 2
