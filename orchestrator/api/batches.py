"""Routes of batches: submit a file or a JSON body, follow, act."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api import limits, uploads
from orchestrator.api.acts import act
from orchestrator.api.answers import Answer, View, page
from orchestrator.api.auth import Call, Operating, Reading, Submitting
from orchestrator.api.following import followed
from orchestrator.api.idempotency import stored_once
from orchestrator.api.openapi import (
    BATCH_FILTERS,
    BATCH_RUN_FILTERS,
    FOLLOWING,
    SUBMISSION_OPTIONS,
    described,
    listed,
)
from orchestrator.api.queries import Query
from orchestrator.api.runs import PAGE_FILTERS, erasing, page_of_runs
from orchestrator.engine import erase, news, operate, reading
from orchestrator.engine.news import Kind
from orchestrator.engine.spool import Spool

router = APIRouter(prefix="/batches", tags=["batches"])
BATCH = "/{batch_id:uuid}"


@router.post(
    "",
    status_code=201,
    **described(
        "SubmittedBatch",
        body="NewBatch",
        status=201,
        also={200: "SubmittedBatch"},
        raw=("text/csv", "application/x-ndjson", "application/jsonl"),
        parameters=SUBMISSION_OPTIONS,
    ),
)
async def submit_batch(call: Submitting) -> Response:
    """Store every row as a run, all or nothing. 200 for a dry run, and when the same external id and file came before.

    The rows come as `items` of a JSON object beside the options, or as a CSV, JSONL or JSON array body with the
    options as query parameters.
    """
    turn = call.request.app.state.large_bodies if limits.is_large(call.request) else nullcontext()
    async with turn:
        with Spool() as content:
            return await _submit(call, await uploads.read(call, content))


async def _submit(call: Call, upload: uploads.Upload) -> Response:
    async def store(id: UUID | None) -> Answer:
        return await uploads.submit(call, upload, id=id)

    return await stored_once(call, upload.content, store)


@router.get("", **listed("Batch", *BATCH_FILTERS))
async def list_batches(call: Reading) -> Response:
    """List batches, newest first."""
    names = ("status", "workflow", "connection", "external_id", "dateFrom", "dateTo", "limit", "cursor")
    query = Query(call.request.query_params, names)
    views, following = await reading.list_batches(
        call.deps,
        call.who,
        statuses=query.batch_statuses(),
        workflow=query.text("workflow"),
        connection=query.text("connection"),
        external_id=query.text("external_id"),
        since=query.since(),
        until=query.until(),
        after=query.after(call),
        limit=query.limit(),
    )
    return page(call, query, views, following)


@router.get(BATCH, **described("Batch", parameters=FOLLOWING))
async def get_batch(batch_id: UUID, call: Reading) -> Response:
    """Show one batch with its counts; with `wait`, once one of them is another than `If-None-Match` names."""
    query = Query(call.request.query_params, ("wait",))
    return await followed(
        call, query, Kind.BATCH, batch_id, lambda: reading.get_batch(call.deps, call.who, batch_id), news.state_of_batch
    )


@router.get(BATCH + "/runs", **listed("Run", *BATCH_RUN_FILTERS))
async def list_batch_runs(batch_id: UUID, call: Reading) -> Response:
    """List a batch's runs in input order."""
    query = Query(call.request.query_params, PAGE_FILTERS, repeatable=frozenset({"label"}))
    await reading.get_batch(call.deps, call.who, batch_id)
    return await page_of_runs(call, query, batch=batch_id)


Verb = Callable[..., Awaitable[View]]


async def _do(call: Call, batch_id: UUID, verb: Verb) -> Response:
    async def do(reason: str | None) -> Answer:
        return Answer(view=await verb(call.deps, call.who, batch_id, reason=reason))

    return await act(call, lambda fields: fields.prose_or_none("reason"), do)


_ACT: dict[str, Any] = described("Batch", body="Reason")


@router.post(BATCH + ":pause", **_ACT)
async def pause_batch(batch_id: UUID, call: Operating) -> Response:
    """Stop launching. What was launched is still collected."""
    return await _do(call, batch_id, operate.pause_batch)


@router.post(BATCH + ":resume", **_ACT)
async def resume_batch(batch_id: UUID, call: Operating) -> Response:
    """Launch on."""
    return await _do(call, batch_id, operate.resume_batch)


@router.post(BATCH + ":cancel", **_ACT)
async def cancel_batch(batch_id: UUID, call: Operating) -> Response:
    """Cancel what was not launched. What was launched is still collected."""
    return await _do(call, batch_id, operate.cancel_batch)


@router.post(BATCH + ":retry-failed", **_ACT)
async def retry_failed(batch_id: UUID, call: Operating) -> Response:
    """Queue again what ended in `error` or `cancelled`."""
    return await _do(call, batch_id, operate.retry_failed)


@router.post(BATCH + ":erase", **described("Erasure", body="Erase"))
async def erase_batch(batch_id: UUID, call: Operating) -> Response:
    """Erase the content of all runs of a batch, once all of them have ended, and its own name and external id."""

    async def do(given: dict[str, Any]) -> Answer:
        return Answer(view=await erase.erase_batch(call.deps, call.who, batch_id, **given))

    return await act(call, erasing, do)
