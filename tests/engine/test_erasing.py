"""Erasing: nothing of the content is left anywhere, all of the facts are; refused where work is open; done once."""

from __future__ import annotations

import json
import os
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from orchestrator.engine import erase, operate, reading, schedules
from orchestrator.errors import Conflict, NotFound
from tests.engine.conftest import Hands, Office
from tests.engine.test_doubts import launch_at
from tests.engine.test_launching import becomes, launches, single, status
from tests.engine.test_nothing_is_stranded import change, count_is, ended, query
from tests.engine.test_schedules import Clerk, clerk
from tests.engine.traces import broken, store_root, traces
from tests.providers.raw_server import json_answer, says
from tests.providers.wire_lines import at

__all__ = ["clerk"]

pytestmark = pytest.mark.anyio

MARKER = "ada-lovelace-1815"
WHY = "request 17 of the data protection officer"
HINTS = f"duration_s=0.05; files=2; filename={MARKER}.json"


async def finished(office: Office, hands: Hands, name: str = "1") -> UUID:
    """Submit a run that holds the marker wherever one can, and work it to its end."""
    body = json.dumps({"name": MARKER, "sandbox": HINTS}).encode()
    run_id = await single(office, body, labels={"who": MARKER, MARKER: "x"}, external_id=f"{MARKER}-{name}")
    await hands.work(until=becomes(office, run_id, "finished"))
    return run_id


async def plant(office: Office, run_id: UUID) -> None:
    """Put the marker into a stored result, as if the provider had sent it; and into what killed workers left."""
    root = store_root(office.deps)
    (row,) = await query(office, "SELECT store_key FROM artifacts WHERE run_id = :run AND n = 0", run=run_id)
    path = root / row.store_key
    path.write_bytes(f'{{"name": "{MARKER}"}}'.encode())
    (path.parent / "0.77").write_bytes(MARKER.encode())
    part = root / ".parts" / "dead.part"
    part.write_bytes(MARKER.encode())
    os.utime(part, (time.time() - 7200, time.time() - 7200))


async def erased(office: Office, run_id: UUID, **options: Any) -> dict[str, Any]:
    return await erase.erase_run(office.deps, office.who, run_id, reason=WHY, **options)


async def told(office: Office, stream: UUID) -> list[Any]:
    """Return the events of an erasing in a stream."""
    found = await query(
        office, "SELECT actor, data FROM events WHERE stream = :s AND type = 'redacted' ORDER BY seq", s=stream
    )
    return [(row.actor, json.loads(row.data)) for row in found]


async def test_nothing_of_an_erased_run_is_left_in_any_table_or_file(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    await plant(office, run_id)
    places = {found.split(":")[0] for found in await traces(office.deps, MARKER)}
    assert places >= {"inputs", "labels", "runs", "artifacts"}, "the marker is found where it is"
    assert len([place for place in places if place.startswith("/")]) == 3
    done = await erased(office, run_id)
    assert await traces(office.deps, MARKER) == []
    assert (done["files"], done["labels"], done["files_left"], done["erased_before"]) == (2, 2, 0, False)
    assert await broken(office.deps, run_id) is None


async def test_a_refusal_in_the_providers_words_is_erased_with_its_run(office: Office, hands: Hands) -> None:
    run_id = await single(office, json.dumps({"name": MARKER}).encode())
    async with at(says(json_answer(422, {"error": f"no such person: {MARKER}"})))() as site:
        await launch_at(office, hands, site)
    places = {found.split(":")[0] for found in await traces(office.deps, MARKER)}
    assert places >= {"runs", "intents", "inputs"}
    await erased(office, run_id)
    assert await traces(office.deps, MARKER) == []
    run = await reading.get_run(office.deps, office.who, run_id)
    assert run["error"] == {"code": "launch_refused", "message": "erased"}
    (intent,) = await query(office, "SELECT detail FROM intents")
    assert intent.detail == "refused: erased"


async def test_a_refusal_of_a_wave_is_erased_with_any_run_that_was_in_it(office: Office, hands: Hands) -> None:
    batch = await office.submit([{"n": n, "sandbox": "duration_s=0.05"} for n in range(3)])
    async with at(says(json_answer(422, {"error": f"items[1]: no such person: {MARKER}"})))() as site:
        await launch_at(office, hands, site)
    await change(office, "UPDATE connections SET base_url = :url", url=office.sandbox.api_url)
    await hands.work(until=ended(office, batch.id))
    assert [found.split(":")[0] for found in await traces(office.deps, MARKER)] == ["intents"]
    (run,) = await query(office, "SELECT id FROM runs WHERE index = 1")
    await erased(office, run.id)
    assert await traces(office.deps, MARKER) == []


async def test_the_facts_stay_and_the_history_says_who_and_why_without_content(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    before = await reading.get_run(office.deps, office.who, run_id)
    await erased(office, run_id)
    run = await reading.get_run(office.deps, office.who, run_id)
    changed = {name for name in run if run[name] != before[name]}
    assert changed == {"erased_at", "event_seq", "external_id", "labels", "results"}
    assert [r["sha256"] for r in run["results"]] == [r["sha256"] for r in before["results"]]
    assert [(r["filename"], r["erased"]) for r in run["results"]] == [("erased", True)] * 2
    ((actor, data),) = await told(office, run_id)
    assert (actor, data["reason"]) == ("token:test", WHY)
    assert data["files"] == [r["sha256"] for r in before["results"]]
    assert (data["input_sha256"], data["input_bytes"]) == (before["input_sha256"], before["input_bytes"])
    assert (data["labels"], data["filenames"], data["external_id"]) == (2, 2, True)


async def test_a_batch_is_erased_with_all_its_runs_and_its_own_name(office: Office, hands: Hands) -> None:
    rows = [{"name": MARKER, "n": n, "sandbox": HINTS} for n in range(3)]
    batch = await office.submit(rows, name=MARKER, external_id=MARKER)
    assert batch.id is not None
    await hands.work(until=ended(office, batch.id))
    await change(office, "UPDATE batches SET paused_because = :text", text=MARKER)
    (first, *_) = await query(office, "SELECT id FROM runs WHERE index = 0")
    await erased(office, first.id)
    done = await erase.erase_batch(office.deps, office.who, batch.id, reason=WHY)
    assert (done["runs"], done["runs_erased_before"], done["files"]) == (2, 1, 4)
    assert await traces(office.deps, MARKER) == []
    for row in await query(office, "SELECT id FROM runs"):
        assert await broken(office.deps, row.id) is None
        assert len(await told(office, row.id)) == 1
    assert await broken(office.deps, batch.id) is None
    ((_, data),) = await told(office, batch.id)
    assert (data["runs"], data["runs_erased_before"], data["reason"]) == (2, 1, WHY)
    view = await office.batch(batch.id)
    assert (view["name"], view["status"], view["counts"]["finished"]) == (None, "finished", 3)
    assert view["erased_at"] == done["erased_at"]


@pytest.mark.parametrize("of", ["run", "batch"])
async def test_erasing_again_is_done_says_so_and_writes_no_second_event(office: Office, hands: Hands, of: str) -> None:
    if of == "run":
        id_ = await finished(office, hands)
    else:
        batch = await office.submit([{"n": 1, "sandbox": HINTS}])
        await hands.work(until=ended(office, batch.id))
        assert batch.id is not None
        id_ = batch.id
    act: Any = erase.erase_run if of == "run" else erase.erase_batch
    first = await act(office.deps, office.who, id_, reason=WHY)
    again = await act(office.deps, office.who, id_, reason="another")
    assert (first["erased_before"], again["erased_before"], again["runs"]) == (False, True, 0)
    assert again["erased_at"] == first["erased_at"]
    assert len(await told(office, id_)) == 1


async def test_what_has_not_ended_is_refused_with_what_to_do_first(office: Office, hands: Hands) -> None:
    queued = await single(office)
    running = await single(office, b'{"sandbox": "duration_s=3600"}')
    for run_id, said in (
        (queued, f"orchestrator run cancel {queued}"),
        (running, f"orchestrator run cancel {running}"),
    ):
        with pytest.raises(Conflict) as refused:
            await erased(office, run_id)
        assert (refused.value.code, said in (refused.value.hint or "")) == ("run_open", True)
    await operate.cancel_run(office.deps, office.who, queued)
    await hands.work(until=becomes(office, running, "processing"))
    with pytest.raises(Conflict) as refused:
        await erased(office, running)
    assert f"orchestrator run abandon {running}" in (refused.value.hint or "")
    assert await query(office, "SELECT FROM runs WHERE erased_at IS NOT NULL") == []
    assert len(await query(office, "SELECT FROM inputs")) == 2
    assert (await erased(office, queued))["runs"] == 1


async def test_a_batch_that_is_open_says_how_many_runs_are(office: Office, hands: Hands) -> None:
    rows = [{"n": n, "sandbox": "duration_s=0.05" if n else "duration_s=3600"} for n in range(3)]
    batch = await office.submit(rows)
    assert batch.id is not None
    await hands.work(until=count_is(office, batch.id, "finished", 2))
    with pytest.raises(Conflict) as refused:
        await erase.erase_batch(office.deps, office.who, batch.id, reason=WHY)
    assert refused.value.code == "batch_open"
    assert refused.value.message.startswith("1 of 3 in this batch has not ended")
    assert len(await query(office, "SELECT FROM inputs")) == 3


async def test_a_look_before_says_what_would_go_and_takes_nothing(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    seen = await erased(office, run_id, dry_run=True)
    assert (seen["dry_run"], seen["erased_at"], seen["runs"], seen["files"]) == (True, None, 1, 2)
    assert await told(office, run_id) == []
    assert len(await traces(office.deps, MARKER)) >= 4
    done = await erased(office, run_id)
    counts = ("runs", "input_bytes", "labels", "external_ids", "filenames", "files", "file_bytes")
    assert [done[name] for name in counts] == [seen[name] for name in counts]


async def test_an_erased_run_is_never_launched_or_fetched_again(office: Office, hands: Hands) -> None:
    batch = await office.submit([{"n": n, "sandbox": "duration_s=0.05; outcome=error"} for n in range(2)])
    assert batch.id is not None
    await hands.work(until=ended(office, batch.id))
    first, second = [row.id for row in await query(office, "SELECT id FROM runs ORDER BY index")]
    await erased(office, first)
    acts: list[Any] = [operate.retry_run, operate.refetch_run]
    for act in acts:
        with pytest.raises(Conflict) as refused:
            await act(office.deps, office.who, first)
        assert refused.value.code == "erased"
    with pytest.raises(Conflict) as refused:
        await operate.retry_run(office.deps, office.who, first, relaunch=True)
    assert refused.value.code == "erased"
    await operate.retry_failed(office.deps, office.who, batch.id)
    assert (await status(office, first), await status(office, second)) == ("error", "queued")
    await hands.work(until=ended(office, batch.id))
    await erase.erase_batch(office.deps, office.who, batch.id, reason=WHY)
    with pytest.raises(Conflict) as refused:
        await operate.retry_failed(office.deps, office.who, batch.id)
    assert refused.value.code == "erased"
    with pytest.raises(IntegrityError):
        await change(office, "UPDATE runs SET status = 'queued' WHERE id = :run", run=first)


async def test_a_result_that_was_erased_says_so(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    await erased(office, run_id)
    with pytest.raises(Conflict) as refused:
        await reading.open_result(office.deps, office.who, run_id, 0)
    assert refused.value.code == "erased"
    with pytest.raises(NotFound):
        await reading.open_result(office.deps, office.who, run_id, 9)


async def test_an_external_id_that_was_erased_still_names_its_run(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    await erased(office, run_id)
    sent = launches(office)
    body = json.dumps({"name": MARKER, "sandbox": HINTS}).encode()
    assert await single(office, body, external_id=f"{MARKER}-1") == run_id
    with pytest.raises(Conflict):
        await single(office, b"{}", external_id=f"{MARKER}-1")
    found, _ = await reading.list_runs(office.deps, office.who, external_id=f"{MARKER}-1")
    assert [run["id"] for run in found] == [str(run_id)]
    assert launches(office) == sent
    assert await traces(office.deps, MARKER) == []


async def test_what_is_not_there_cannot_be_erased(office: Office) -> None:
    with pytest.raises(NotFound):
        await erased(office, uuid4())
    with pytest.raises(NotFound):
        await erase.erase_batch(office.deps, office.who, uuid4(), reason=WHY)


async def test_a_tick_forgets_its_files_name_and_says_that_the_file_stays(clerk: Clerk, hands: Hands) -> None:
    clerk.leave(json.dumps({"name": MARKER, "sandbox": "duration_s=0.05"}), f"{MARKER}.jsonl")
    await clerk.schedule(template=f"{MARKER}.jsonl")
    await clerk.pass_s(3600)
    await clerk.work()
    (tick,) = await clerk.ticks()
    batch_id = UUID(tick["batch_id"])
    await hands.work(until=ended(clerk.office, batch_id))
    done = await erase.erase_batch(clerk.deps, clerk.office.who, batch_id, reason=WHY)
    assert "folder of inputs" in done["warnings"][0]
    left = [found.split(":")[0] for found in await traces(clerk.deps, MARKER)]
    assert left == ["schedules"], "how the schedule names its files is its own"


@pytest.mark.parametrize("removed_first", [True, False])
async def test_the_input_of_a_removed_schedule_goes_with_the_run_that_it_made(
    clerk: Clerk, hands: Hands, removed_first: bool
) -> None:
    await clerk.schedule(input=json.dumps({"name": MARKER, "sandbox": "duration_s=0.05"}).encode())
    await clerk.pass_s(3600)
    await clerk.work()
    (tick,) = await clerk.ticks()
    run_id = UUID(tick["run_id"])
    await hands.work(until=becomes(clerk.office, run_id, "finished"))
    if removed_first:
        await schedules.remove_schedule(clerk.deps, clerk.office.who, "hourly")
    done = await erased(clerk.office, run_id)
    assert bool(done["warnings"]) is not removed_first, "one that lives goes on to submit it"
    if not removed_first:
        assert [found.split(":")[0] for found in await traces(clerk.deps, MARKER)] == ["schedules"]
        await schedules.remove_schedule(clerk.deps, clerk.office.who, "hourly")
    assert await traces(clerk.deps, MARKER) == []
