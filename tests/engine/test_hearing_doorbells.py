"""A consumer that waits for a doorbell looks up as seldom as it may, and hears what comes."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import waiting

from orchestrator.embedded.postgres import EmbeddedPostgres
from workers.pgmq_transport import DRAIN_AT_MOST_S, Waiter


def test_a_wait_looks_up_once_a_turn_and_a_message_ends_it(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up_every_s: list[float] = []
    wait = waiting.wait

    def noted(gen: Any, descriptor: int, interval: float = 0.1, timeout: float | None = None) -> Any:
        looked_up_every_s.append(interval)
        return wait(gen, descriptor, interval, timeout)

    waiter = Waiter(postgres.libpq())
    try:
        waiter.register("sweep")
        monkeypatch.setattr(waiting, "wait", noted)
        assert not waiter.wait(0.01)
        assert looked_up_every_s == [DRAIN_AT_MOST_S]
        monkeypatch.undo()
        with psycopg.connect(postgres.libpq(), autocommit=True) as other:
            other.execute('NOTIFY "pgmq.q_sweep.INSERT"')
        # Would wait for a minute; it ends by what came.
        assert waiter.wait(60)
        assert waiter.is_worth_reading("sweep")
    finally:
        waiter.close()
