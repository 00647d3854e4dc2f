"""Routes of runs: submit, read, fetch results, act."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api import limits
from orchestrator.api.acts import act
from orchestrator.api.answers import Answer, everything, page
from orchestrator.api.auth import Call, Operating, Reading, Submitting
from orchestrator.api.bodies import Fields, member_bytes, read_object
from orchestrator.api.downloads import attachment
from orchestrator.api.following import followed
from orchestrator.api.idempotency import stored_once
from orchestrator.api.openapi import FOLLOWING, RUN_FILTERS, described, listed, parameter
from orchestrator.api.queries import Query
from orchestrator.engine import erase, news, operate, reading, submit
from orchestrator.engine.news import Kind
from orchestrator.engine.submit import RunSpec

MAX_EXTERNAL_ID_CHARS = 200

PAGE_FILTERS = (
    *("status", "workflow", "connection", "dateFrom", "dateTo", "external_id", "error_code", "origin"),
    *("limit", "cursor"),
)

router = APIRouter(prefix="/runs", tags=["runs"])
RUN = "/{run_id:uuid}"


@router.post("", status_code=201, **described("Run", body="NewRun", status=201, also={200: "Run"}))
async def submit_run(call: Submitting) -> Response:
    """Store one run. 200 when the same external id and input came before: that run."""
    Query(call.request.query_params, ())
    limits.require_type(call.request, limits.JSON)
    content = await limits.read_body(call.request, max_bytes=limits.RUN_BYTES)
    spec = _spec(content)

    async def store(id: UUID | None) -> Answer:
        stored = await submit.submit_run(call.deps, call.who, replace(spec, id=id))
        view = await reading.get_run(call.deps, call.who, stored.id)
        return Answer(view=view, status=201 if stored.created else 200)

    return await stored_once(call, content, store)


def _spec(content: bytes) -> RunSpec:
    fields = Fields(read_object(content, max_bytes=limits.RUN_BYTES))
    connection = fields.text("connection")
    workflow_id = fields.text("workflow_id")
    external_id = fields.text_or_none("external_id", max_chars=MAX_EXTERNAL_ID_CHARS)
    labels = fields.text_by_text("labels")
    fields.present("input", dict, "an object")
    fields.done()
    return RunSpec(
        connection=connection,
        workflow_id=workflow_id,
        input=member_bytes(content, "input"),
        external_id=external_id,
        labels=labels,
    )


@router.get("", **listed("Run", *RUN_FILTERS))
async def list_runs(call: Reading) -> Response:
    """List runs, newest first; those of one batch in input order."""
    query = Query(
        call.request.query_params,
        ("batch", *PAGE_FILTERS),
        repeatable=frozenset({"label"}),
    )
    return await page_of_runs(call, query, batch=query.id("batch"))


async def page_of_runs(call: Call, query: Query, *, batch: UUID | None) -> Response:
    """Return one page of runs under the query's filters."""
    views, following = await reading.list_runs(
        call.deps,
        call.who,
        statuses=query.statuses(),
        batch=batch,
        workflow=query.text("workflow"),
        connection=query.text("connection"),
        since=query.since(),
        until=query.until(),
        external_id=query.text("external_id"),
        labels=query.labels(),
        error_codes=query.words("error_code"),
        origin=query.origin(),
        after=query.after(call),
        limit=query.limit(),
    )
    return page(call, query, views, following)


@router.get(RUN, **described("Run", parameters=FOLLOWING))
async def get_run(run_id: UUID, call: Reading) -> Response:
    """Show one run; with `wait`, once its status is another than the one that `If-None-Match` names."""
    query = Query(call.request.query_params, ("wait",))
    return await followed(
        call, query, Kind.RUN, run_id, lambda: reading.get_run(call.deps, call.who, run_id), news.state_of_run
    )


@router.get(RUN + "/events", **listed("Event", parameter("after", "integer", "only events after this number")))
async def run_events(run_id: UUID, call: Reading) -> Response:
    """List a run's history, oldest first."""
    query = Query(call.request.query_params, ("after", "limit", "cursor"))
    after = query.after(call)
    if after is None:
        after = query.whole("after", least=0, most=999_999_999) or 0
    views, following = await reading.run_events(call.deps, call.who, run_id, after=after, limit=query.limit())
    return page(call, query, views, following)


@router.get(RUN + "/results", **listed("Result", paged=False))
async def run_results(run_id: UUID, call: Reading) -> Response:
    """List a run's stored result files."""
    Query(call.request.query_params, ())
    return everything(call, await reading.run_results(call.deps, call.who, run_id))


@router.get(RUN + "/results/{n:int}", **described("bytes"))
async def download_result(run_id: UUID, n: int, call: Reading) -> Response:
    """Stream one result file, byte for byte as it was stored."""
    Query(call.request.query_params, ())
    return attachment(await reading.open_result(call.deps, call.who, run_id, n), n)


def _reason(fields: Fields) -> dict[str, Any]:
    return {"reason": fields.prose_or_none("reason")}


@router.post(RUN + ":cancel", **described("Run", body="Reason"))
async def cancel_run(run_id: UUID, call: Operating) -> Response:
    """Cancel a run that was not launched, or ask a provider that can to stop it."""

    async def cancel(given: dict[str, Any]) -> Answer:
        return Answer(view=await operate.cancel_run(call.deps, call.who, run_id, **given))

    return await act(call, _reason, cancel)


@router.post(RUN + ":abandon", **described("Run", body="NeededReason"))
async def abandon_run(run_id: UUID, call: Operating) -> Response:
    """Stop watching a run. It may still act at the provider."""

    async def abandon(reason: str) -> Answer:
        return Answer(view=await operate.abandon_run(call.deps, call.who, run_id, reason=reason))

    return await act(call, lambda fields: fields.prose("reason"), abandon)


@router.post(RUN + ":retry", **described("Run", body="Retry"))
async def retry_run(run_id: UUID, call: Operating) -> Response:
    """Queue a run again that ended badly. `relaunch` says that a second execution is acceptable."""

    async def retry(given: dict[str, Any]) -> Answer:
        return Answer(view=await operate.retry_run(call.deps, call.who, run_id, **given))

    return await act(call, lambda fields: {"relaunch": fields.flag("relaunch"), **_reason(fields)}, retry)


@router.post(RUN + ":refetch", **described("Run", body="Reason"))
async def refetch_run(run_id: UUID, call: Operating) -> Response:
    """Try again to fetch lost results."""

    async def refetch(given: dict[str, Any]) -> Answer:
        return Answer(view=await operate.refetch_run(call.deps, call.who, run_id, **given))

    return await act(call, _reason, refetch)


@router.post(RUN + ":check", **described("Run", body="Nothing"))
async def check_run(run_id: UUID, call: Operating) -> Response:
    """Look at the run as soon as the rate allows."""

    async def check(_: None) -> Answer:
        return Answer(view=await operate.check_now(call.deps, call.who, run_id))

    return await act(call, lambda _: None, check)


@router.post(RUN + ":erase", **described("Erasure", body="Erase"))
async def erase_run(run_id: UUID, call: Operating) -> Response:
    """Erase the input, results and texts of a run that has ended, for good. Facts, hashes and history stay."""

    async def do(given: dict[str, Any]) -> Answer:
        return Answer(view=await erase.erase_run(call.deps, call.who, run_id, **given))

    return await act(call, erasing, do)


def erasing(fields: Fields) -> dict[str, Any]:
    """Take what an erasing is told: why, and whether it only looks."""
    return {"reason": fields.prose("reason"), "dry_run": fields.flag("dry_run")}
