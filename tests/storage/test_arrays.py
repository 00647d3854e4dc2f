"""Lists reach Postgres as what they are, whatever they hold, and as the driver would write them."""

from __future__ import annotations

import enum
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.array import ListDumper
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine.deps import Deps
from orchestrator.storage.arrays import PlainLists

pytestmark = pytest.mark.anyio

ODD = ["", "NULL", "null", "a,b", "{a}", 'say "so"', "back\\slash", '\\"', " spaces ", "tab\tline\n", "ä€😀", "'"]
AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Word(enum.StrEnum):
    """A word that is text to the database."""

    FIRST = "a,b"


LISTS: dict[str, list[Any]] = {
    "uuid": [uuid4(), None, UUID(int=0)],
    "int": [1, -5, None, 2**31 - 1],
    "bigint": [1, 2**62, -(2**62)],
    "float8": [0.1, -1e300, None, 5e-324, math.inf],
    "boolean": [True, None, False],
    "timestamptz": [AT, None, AT.astimezone(timezone(timedelta(hours=5, minutes=45)))],
    "text": [*ODD, None],
    "bytea": [b"\x00\xff,{}", None, b""],
    "smallint": [1, 2],
}


async def sent(deps: Deps, kind: str, values: list[Any]) -> list[Any]:
    """Return what the database makes of a list."""

    async def ask(connection: AsyncConnection) -> list[Any]:
        found = await connection.execute(text(f"SELECT CAST(:v AS {kind}[])"), {"v": values})
        return list(found.scalar_one())

    return await deps.db.run(ask, tries=1)


@pytest.mark.parametrize("kind", LISTS)
async def test_a_list_arrives_as_it_was_sent(deps: Deps, kind: str) -> None:
    assert await sent(deps, kind, LISTS[kind]) == LISTS[kind]
    assert await sent(deps, kind, []) == []
    assert await sent(deps, kind, [None, None]) == [None, None]


async def test_lists_go_our_way_on_every_new_connection(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Any]] = []
    dump = PlainLists.dump

    def watched(self: PlainLists, obj: list[Any]) -> object:
        seen.append(obj)
        return dump(self, obj)

    monkeypatch.setattr(PlainLists, "dump", watched)
    await sent(deps, "int", [1, 2])
    assert seen == [[1, 2]]


async def test_a_list_of_words_is_a_list_of_text(deps: Deps) -> None:
    assert await sent(deps, "text", [Word.FIRST, None]) == ["a,b", None]
    assert await sent(deps, "text", ["x", Word.FIRST]) == ["x", "a,b"], "the first element does not speak for all"


async def test_what_is_no_number_stays_none(deps: Deps) -> None:
    (value,) = await sent(deps, "float8", [math.nan])
    assert math.isnan(value)


async def test_a_text_that_postgres_cannot_hold_is_refused_and_not_cut(deps: Deps) -> None:
    with pytest.raises((DBAPIError, psycopg.Error), match="NUL"):
        await sent(deps, "text", ["cut\x00here"])


@pytest.mark.parametrize("kind", LISTS)
def test_the_driver_would_write_the_same(kind: str) -> None:
    for item in LISTS[kind]:
        if isinstance(item, UUID | datetime):
            continue  # both read alike, and are written otherwise
        ours, theirs = PlainLists(list), ListDumper(list)
        read = [psycopg.adapt.Transformer() for _ in range(2)]
        written = [dumper.dump([item, item]) for dumper in (ours, theirs)]
        loader = read[0].get_loader(1009, psycopg.pq.Format.TEXT)
        assert loader.load(bytes(written[0] or b"")) == loader.load(bytes(written[1] or b""))
