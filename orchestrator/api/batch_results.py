"""Routes of a batch's results: all files as one ZIP, and one table of all runs. Each is sent while it is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from orchestrator.api.auth import Reading
from orchestrator.api.openapi import described, parameter
from orchestrator.api.queries import Query
from orchestrator.engine import results_table, results_zip

router = APIRouter(prefix="/batches/{batch_id:uuid}", tags=["batches"])

_RAW = parameter("raw", "boolean", "leave cells that a spreadsheet would run as a formula as they are")


@router.get("/results.zip", **described("zip"))
async def download_batch(batch_id: UUID, call: Reading) -> Response:
    """Stream every stored result of a batch as a ZIP, with `results.csv` and `manifest.json`."""
    Query(call.request.query_params, ())
    pieces = results_zip.stream(call.deps, call.who, batch_id)
    return await _sent(pieces, f"batch-{batch_id}.zip", "application/zip")


@router.get("/results.csv", **described("csv", parameters=(_RAW,)))
async def tabulate_batch(batch_id: UUID, call: Reading) -> Response:
    """Give one table of all runs in input order: how each stands, its input's fields, a small JSON result's."""
    query = Query(call.request.query_params, ("raw",))
    pieces = results_table.csv(call.deps, call.who, batch_id, raw=query.flag("raw"))
    return await _sent(pieces, f"batch-{batch_id}.csv", "text/csv; charset=utf-8; header=present")


@router.get("/results.jsonl", **described("jsonl"))
async def list_batch_results(batch_id: UUID, call: Reading) -> Response:
    """Give a line of JSON for each run in input order, with its input and a small JSON result as they came."""
    Query(call.request.query_params, ())
    pieces = results_table.json_lines(call.deps, call.who, batch_id)
    return await _sent(pieces, f"batch-{batch_id}.jsonl", "application/x-ndjson")


async def _sent(pieces: AsyncGenerator[bytes, None], filename: str, media_type: str) -> Response:
    """Stream what is made, once its first piece is there: until then a fault has its own status."""
    first = await anext(pieces, b"")
    return StreamingResponse(
        _all(first, pieces),
        media_type=media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{filename}"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


async def _all(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    try:
        yield first
        async for piece in rest:
            yield piece
    finally:
        await rest.aclose()
