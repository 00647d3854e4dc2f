"""Damages: each breaks the small world in the way that one invariant guards against, by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from sandbox.http import Request
from tests.simulation.network import Exchange
from tests.simulation.provider import Wait
from tests.simulation.small_world import Scene

GRANT: LiteralString = """
    INSERT INTO grants (id, lane_id, worker_id, kind, count, granted_at)
    SELECT gen_random_uuid(), id, gen_random_uuid(), 'look', 1, %(at)s FROM lanes"""


def _rewrite_event(scene: Scene, tag: str, was: str, to: str) -> None:
    """Change a type in the history, past the trigger that forbids it, and touch the run."""
    scene.sql("UPDATE runs SET provider_status = 'x' WHERE id = %(id)s", id=scene.run(tag))
    for table in ("events_default", *_partitions(scene)):
        scene.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER no_change")
    scene.sql(
        "UPDATE events SET type = %(to)s WHERE stream = %(id)s AND type = %(was)s", id=scene.run(tag), to=to, was=was
    )


def _partitions(scene: Scene) -> list[str]:
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass"
    return [name for (name,) in scene.connection.execute(query).fetchall() if name != "events_default"]


def forge_a_move(scene: Scene) -> None:
    _rewrite_event(scene, "done", "launching", "waits_for_human")


def change_an_event(scene: Scene) -> None:
    _rewrite_event(scene, "done", "finished_at_provider", "results_refreshed")


def skip_the_history(scene: Scene) -> None:
    scene.sql("UPDATE runs SET status = 'error' WHERE id = %(id)s", id=scene.run("done"))


def lose_a_batch_event(scene: Scene) -> None:
    scene.sql("UPDATE batches SET event_seq = event_seq + 1")


def open_a_second_attempt(scene: Scene) -> None:
    scene.connection.execute("DROP INDEX executions_one_open")
    scene.sql(
        "INSERT INTO executions (run_id, attempt, intent_id, connection_id, workflow_id, state) SELECT run_id,"
        " attempt + 1, intent_id, connection_id, workflow_id, 'open' FROM executions WHERE run_id = %(id)s",
        id=scene.run("human"),
    )


def arrive_before_the_intent(scene: Scene) -> None:
    scene.small.provider.before_answer(Request("POST", "/api/v1/workflows/w/executions", "", {}, b"unknown"))


def arrive_twice(scene: Scene) -> None:
    scene.sql("DELETE FROM executions WHERE run_id = %(id)s", id=scene.run("failed"))
    scene.sql("DELETE FROM intents WHERE run_id = %(id)s", id=scene.run("failed"))


def forget_the_doubt(scene: Scene) -> None:
    """Unlink what was launched, as if its answer had been taken for a refusal."""
    scene.sql("UPDATE executions SET remote_id = NULL WHERE run_id = %(id)s", id=scene.run("done"))


def execute_twice(scene: Scene) -> None:
    world = scene.small.provider.service.world
    first = world.executions[scene.execution_id("done")]
    twin = _twin(first, id="twin")
    scene.patch.setitem(world.executions, "twin", twin)


def _twin(execution: Any, **changes: Any) -> Any:
    made = object.__new__(type(execution))
    for name in type(execution).__slots__:
        setattr(made, name, changes.get(name, getattr(execution, name)))
    return made


def cross_the_links(scene: Scene) -> None:
    one, other = scene.execution_id("w0"), scene.execution_id("w1")
    scene.sql("UPDATE executions SET remote_id = 'x' WHERE run_id = %(id)s", id=scene.run("w0"))
    scene.sql("UPDATE executions SET remote_id = %(o)s WHERE run_id = %(id)s", o=one, id=scene.run("w1"))
    scene.sql("UPDATE executions SET remote_id = %(o)s WHERE run_id = %(id)s", o=other, id=scene.run("w0"))


def share_an_execution(scene: Scene) -> None:
    scene.connection.execute("DROP INDEX executions_remote")
    taken = scene.execution_id("w0")
    scene.sql("UPDATE executions SET remote_id = %(o)s WHERE run_id = %(id)s", o=taken, id=scene.run("w1"))


def change_an_input(scene: Scene) -> None:
    scene.sql("UPDATE inputs SET body = body || ' '::bytea WHERE run_id = %(id)s", id=scene.run("done"))


def relaunch_against_the_owners_will(scene: Scene) -> None:
    _rewrite_event(scene, "doubted", "in_doubt", "relaunched")


def doubt_a_refusal(scene: Scene) -> None:
    scene.sql("UPDATE intents SET http_status = 429 WHERE run_id = %(id)s", id=scene.run("doubted"))


def doubt_without_a_byte(scene: Scene) -> None:
    scene.patch.setattr(scene.evidence, "exchanges", [])


def stop_and_leave_a_doubt(scene: Scene) -> None:
    scene.sql("UPDATE intents SET detail = NULL, outcome_at = now() WHERE run_id = %(id)s", id=scene.run("doubted"))
    scene.sql("UPDATE workers SET state = 'stopped', ended_at = now() - interval '1 second'")


def stand_at_one_place(scene: Scene) -> None:
    scene.sql("UPDATE executions SET position = 0 WHERE run_id = %(id)s", id=scene.run("w1"))


def exceed_the_rate(scene: Scene) -> None:
    scene.patch.setattr(scene.evidence, "requests_per_minute", 3)


def exceed_the_slots(scene: Scene) -> None:
    scene.patch.setattr(scene.evidence, "max_concurrent", 0)


def ignore_the_wait(scene: Scene) -> None:
    entry = next(e for e in scene.small.provider.service.log.since(0, limit=999) if e.kind == "launch")
    wait = Wait(seq=entry.seq, connection_id=entry.connection_id, key=entry.key, said_at=entry.at, until=entry.at + 90)
    scene.patch.setattr(scene.small.provider, "waits", [wait])
    scene.sql(
        "UPDATE intents SET http_status = 429 WHERE body_sha256 = %(h)s", h=bytes.fromhex(entry.body_sha256 or "")
    )
    loop_s = scene.small.fabric.exchanges[0].began_at
    late = Exchange(connection_id=entry.connection_id, owner="w", began_at=loop_s + 40, method="POST", target="/")
    scene.patch.setattr(scene.evidence, "exchanges", [*scene.small.fabric.exchanges, late])


def lose_a_file_row(scene: Scene) -> None:
    scene.sql("DELETE FROM artifacts WHERE run_id = %(id)s AND n = 1", id=scene.run("done"))


def damage_a_file(scene: Scene) -> None:
    key = next(key for key in scene.small.store.files if str(scene.run("done")) in key)
    scene.patch.setitem(scene.small.store.files, key, b"other bytes")


def overwrite_a_file(scene: Scene) -> None:
    scene.patch.setattr(scene.small.store, "overwritten", ["a/b/1/0"])


def let_a_url_die(scene: Scene) -> None:
    scene.sql(
        "UPDATE artifacts SET stored_at = NULL, url_expires_at = now() - interval '1 hour' WHERE run_id = %(id)s",
        id=scene.run("done"),
    )


def give_up_too_early(scene: Scene) -> None:
    scene.sql("UPDATE runs SET status = 'result_lost' WHERE id = %(id)s", id=scene.run("done"))


def send_the_key_to_a_file_host(scene: Scene) -> None:
    entry = next(e for e in scene.small.provider.service.log.since(0, limit=999) if e.port == "files")
    scene.patch.setattr(entry, "carries_credentials", True)


def tell_a_secret(scene: Scene) -> None:
    scene.sql("UPDATE runs SET error_message = 'key sk-sandbox refused' WHERE id = %(id)s", id=scene.run("failed"))


def lose_a_run(scene: Scene) -> None:
    scene.patch.setitem(scene.small.told.runs, UUID(int=7), "lost")


def lose_a_batch(scene: Scene) -> None:
    scene.patch.setitem(scene.small.told.batches, next(iter(scene.small.told.batches)), ["w0", "w1", "w2", "w3", "w4"])


def store_twice(scene: Scene) -> None:
    scene.sql("UPDATE inputs SET body = (SELECT body FROM inputs WHERE run_id = %(a)s) WHERE run_id = %(b)s",
              a=scene.run("w0"), b=scene.run("w1"))  # fmt: skip


def end_a_batch_early(scene: Scene) -> None:
    scene.sql("UPDATE batches SET ended_at = now() WHERE ended_at IS NULL")


def lose_a_timer(scene: Scene) -> None:
    scene.sql("DELETE FROM timers WHERE subject_id = %(id)s", id=scene.run("human"))


def lose_a_turn(scene: Scene) -> None:
    scene.sql("UPDATE batches SET paused_at = NULL WHERE ended_at IS NULL")
    scene.sql("UPDATE runs SET provider_status = 'x' WHERE id = %(id)s", id=scene.run("paused"))


def close_a_question(scene: Scene) -> None:
    scene.sql("UPDATE inbox SET closed_at = now() WHERE run_id = %(id)s", id=scene.run("doubted"))


def leave_a_question_open(scene: Scene) -> None:
    scene.sql("UPDATE inbox SET run_id = %(new)s WHERE run_id = %(id)s", new=scene.run("done"), id=scene.run("doubted"))


def time_the_ended(scene: Scene) -> None:
    scene.sql("UPDATE timers SET subject_id = %(new)s WHERE subject_id = %(id)s",
              new=scene.run("done"), id=scene.run("human"))  # fmt: skip


def forget_an_intent(scene: Scene) -> None:
    scene.sql("UPDATE intents SET outcome = NULL WHERE run_id = %(id)s", id=scene.run("done"))


def launch_for_ever(scene: Scene) -> None:
    scene.sql("UPDATE runs SET status = 'launching', status_at = now() - interval '1 hour' WHERE id = %(id)s",
              id=scene.run("done"))  # fmt: skip


def never_end(scene: Scene) -> None:
    scene.sql("UPDATE runs SET status = 'processing' WHERE id = %(id)s", id=scene.run("done"))


def forget_to_settle(scene: Scene) -> None:
    scene.sql("UPDATE batches SET ended_at = NULL WHERE total = 4")


def hold_a_slot(scene: Scene) -> None:
    scene.sql("UPDATE executions SET state = 'open' WHERE run_id = %(id)s", id=scene.run("done"))


def hold_a_grant(scene: Scene) -> None:
    scene.sql(GRANT, at=datetime.now(UTC) - timedelta(hours=1))


def hold_a_lease(scene: Scene) -> None:
    scene.sql("UPDATE workers SET state = 'dead', ended_at = now(), buried_at = now()")
    scene.sql("UPDATE timers SET worker_id = (SELECT id FROM workers LIMIT 1)")


def be_late(scene: Scene) -> None:
    scene.sql(
        "UPDATE timers SET due_at = now() - interval '5 minutes' WHERE subject_id = %(id)s", id=scene.run("human")
    )


DAMAGES: list[tuple[str, Callable[[Scene], None]]] = [
    ("legal_moves", forge_a_move),
    ("projection_equals_history", skip_the_history),
    ("chain_holds", change_an_event),
    ("heads_are_held", lose_a_batch_event),
    ("one_open_attempt", open_a_second_attempt),
    ("one_open_attempt", hold_a_slot),
    ("intent_before_deed", arrive_before_the_intent),
    ("one_request_per_attempt", arrive_twice),
    ("no_silent_orphan", forget_the_doubt),
    ("no_silent_orphan", execute_twice),
    ("no_unflagged_duplicate", execute_twice),
    ("linked_to_its_own", cross_the_links),
    ("no_shared_execution", share_an_execution),
    ("policies_are_the_owners", relaunch_against_the_owners_will),
    ("right_bytes", change_an_input),
    ("no_needless_doubt", doubt_a_refusal),
    ("no_needless_doubt", doubt_without_a_byte),
    ("no_doubt_by_stopping", stop_and_leave_a_doubt),
    ("wave_positions_are_single", stand_at_one_place),
    ("rate", exceed_the_rate),
    ("slots", exceed_the_slots),
    ("retry_after_obeyed", ignore_the_wait),
    ("results_complete_and_equal", lose_a_file_row),
    ("stored_is_stored", damage_a_file),
    ("written_once", overwrite_a_file),
    ("no_url_dies_unread_silently", let_a_url_die),
    ("lost_only_when_hopeless", give_up_too_early),
    ("no_credentials_to_file_hosts", send_the_key_to_a_file_host),
    ("no_secret_is_told", tell_a_secret),
    ("never_lost", lose_a_run),
    ("never_lost", lose_a_batch),
    ("nothing_invented", store_twice),
    ("batches_add_up", end_a_batch_early),
    ("somebody_is_responsible", lose_a_timer),
    ("somebody_is_responsible", lose_a_turn),
    ("somebody_is_responsible", close_a_question),
    ("questions_are_closed", leave_a_question_open),
    ("no_timer_of_the_ended", time_the_ended),
    ("every_intent_is_watched", forget_an_intent),
    ("doubts_are_prompt", launch_for_ever),
    ("everything_ended_or_asks", never_end),
    ("ended_batches_say_so", forget_to_settle),
    ("slots_are_released", hold_a_slot),
    ("grants_are_released", hold_a_grant),
    ("leases_free", hold_a_lease),
    ("nothing_is_overdue", be_late),
]

#: Damage of which no row of a run tells: it is found at the end.
NOT_TOUCHED = {execute_twice, damage_a_file, change_an_input, lose_a_file_row}
