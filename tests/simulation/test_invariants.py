"""Each invariant can fail: a small real world is broken in the way that it guards against, and is named for it."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from orchestrator.embedded.postgres import EmbeddedPostgres
from tests.simulation import damages
from tests.simulation.damages import DAMAGES, GRANT, NOT_TOUCHED
from tests.simulation.invariants.checker import INVARIANTS, Checker
from tests.simulation.invariants.view import Evidence
from tests.simulation.small_world import Scene, Small, live


@pytest.fixture(scope="module")
def small(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    postgres.create_database("invariants", template="orchestrator")
    yield asyncio.run(live(postgres.dsn("invariants"), tmp_path_factory.mktemp("invariants")))
    postgres.drop_database("invariants")


@pytest.fixture
def scene(small: Small, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with psycopg.connect(small.dsn.replace("+psycopg", "")) as connection:
        evidence = Evidence(
            connection=connection,
            provider=small.provider,
            exchanges=small.fabric.exchanges,
            store=small.store,
            journal=lambda: small.told,
            now=lambda: datetime.now(UTC),
            requests_per_minute=6_000,
            max_concurrent=10,
        )
        yield Scene(small=small, connection=connection, evidence=evidence, patch=monkeypatch)
        connection.rollback()


def names(breaches: list[Any]) -> set[str]:
    return {breach.name for breach in breaches}


def test_the_small_world_is_whole(scene: Scene) -> None:
    checker = Checker(scene.evidence)
    assert checker.after_step() == []
    assert checker.at_end(is_quiet=True) == []
    assert len(scene.small.provider.service.world.executions) == 8


@pytest.mark.parametrize(("name", "damage"), DAMAGES, ids=[f"{n}-{d.__name__}" for n, d in DAMAGES])
def test_a_broken_world_is_named_for_what_is_broken(scene: Scene, name: str, damage: Callable[[Scene], None]) -> None:
    checker = Checker(scene.evidence)
    damage(scene)
    steps = {invariant.name for invariant in INVARIANTS if invariant.when.value == "step"}
    if name in steps and damage not in NOT_TOUCHED:
        assert name in names(checker.after_step())
    assert name in names(checker.at_end(is_quiet=True))


def test_a_step_looks_only_at_what_was_touched(scene: Scene) -> None:
    checker = Checker(scene.evidence)
    damages.skip_the_history(scene)
    mark = scene.evidence.watermark()
    assert scene.evidence.touched(mark) == [scene.run("done")]
    assert "projection_equals_history" in names(checker.after_step())


def test_a_grant_while_the_lane_is_blocked_is_seen(scene: Scene) -> None:
    checker = Checker(scene.evidence)
    scene.sql("UPDATE lanes SET blocked_until = now() + interval '10 minutes'")
    assert checker.after_step() == []
    scene.sql(GRANT, at=datetime.now(UTC) + timedelta(seconds=1))
    assert names(checker.after_step()) == {"no_grant_while_blocked"}


def test_every_invariant_is_proved_to_fail() -> None:
    assert {invariant.name for invariant in INVARIANTS} == {name for name, _ in DAMAGES}
    listed = [invariant.name for invariant in INVARIANTS]
    assert not [name for name, again in itertools.pairwise(sorted(listed)) if name == again]


def test_the_store_of_the_small_world_holds_what_was_made(small: Small) -> None:
    truth = {
        file["sha256"]
        for execution in small.provider.service.world.executions.values()
        for file in small.provider.service.files.truth(execution)
    }
    stored = {hashlib.sha256(body).hexdigest() for body in small.store.files.values()}
    assert stored <= truth and len(stored) == 6
