"""How many statements an execution costs: what belongs together is written together, however many there are.

Of a batch only statements that write are counted: how often a pump asks in vain depends on the machine. Of one turn
of looks all are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from orchestrator.engine import connections, poll, pump
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import change

pytestmark = pytest.mark.anyio

RUNS = 50

#: What every sweep tidies up, also where nothing happens: how often it comes depends on the machine too.
TIDIED = {"workers", "idempotency_keys", "sessions", "sign_in_links"}

#: A launch, its record, two looks, a download and its record: one by one they would take some forty.
MOST_EACH = 12


@contextmanager
def counted() -> Iterator[list[str]]:
    """Collect the statements that change a row."""
    found: list[str] = []

    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        words = statement.split()
        if (
            any(word in words for word in ("INSERT", "UPDATE", "DELETE"))
            and "FOR" not in words
            and not TIDIED & {*words}
        ):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", before)


@pytest.mark.parametrize("wave_size", [1, 25])
async def test_what_comes_together_is_claimed_and_recorded_together(
    office: Office, hands: Hands, wave_size: int
) -> None:
    # No limit of the provider is to keep anything apart.
    await connections.set_connection(office.deps, office.who, "main", requests_per_minute=6000)
    rows = [{"n": n, "sandbox": "duration_s=0.1"} for n in range(RUNS)]
    submitted = await office.submit(rows, wave_size=wave_size)

    async def ended() -> bool:
        return (await office.batch(submitted.id))["finished_at"] is not None

    with counted() as statements:
        await hands.work(until=ended)
    assert len(statements) / RUNS <= MOST_EACH


#: All that one turn of looks asks of the database, its two transactions among it; four more when it also asked for
#: lists and watches.
MOST_OF_A_TURN = 22


@contextmanager
def asked() -> Iterator[list[str]]:
    """Collect all that the database is asked, transactions among it."""
    found: list[str] = []

    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    def begun(_connection: Any) -> None:
        found.append("BEGIN")

    def committed(_connection: Any) -> None:
        found.append("COMMIT")

    heard = (("before_cursor_execute", before), ("begin", begun), ("commit", committed))
    for name, listener in heard:
        event.listen(Engine, name, listener)
    try:
        yield found
    finally:
        for name, listener in heard:
            event.remove(Engine, name, listener)


async def test_a_turn_of_looks_pays_nothing_for_lists_and_watches_that_nobody_has(office: Office, hands: Hands) -> None:
    await office.submit([{"n": 1, "sandbox": "duration_s=60"}])
    await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)
    await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'poll'")
    await change(office, "UPDATE lanes SET poll_due_at = now()")
    with asked() as statements:
        assert await poll.poll_due(office.deps, worker=hands.id) == 1
    assert not [statement for statement in statements if "lists" in statement]
    assert len(statements) <= MOST_OF_A_TURN
    with asked() as statements:
        assert await poll.poll_due(office.deps, worker=hands.id) is None
    assert len(statements) == 3, "where nothing is due, one question and its transaction"
