"""One batch: how it stands in a line, its pace and its end, why some failed, its rows, its files, its history."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api import cursors
from orchestrator.api.batch_results import sent
from orchestrator.api.queries import Query
from orchestrator.domain import batch_story
from orchestrator.domain.statuses import BatchStatus, RunStatus
from orchestrator.engine import batch_look, reading, results_table, results_zip
from orchestrator.web import commands
from orchestrator.web.rendering import page
from orchestrator.web.visits import Reading

PATH = "/batches/{batch_id:uuid}"
B, S = BatchStatus, RunStatus

_OPEN = frozenset({B.ACCEPTED, B.RUNNING, B.WAITING})
#: act -> the statuses in which the page offers it. The verb itself decides.
OFFERED: dict[str, frozenset[BatchStatus]] = {
    "pause": _OPEN,
    "resume": frozenset({B.PAUSING, B.PAUSED}),
    "cancel": _OPEN | {B.PAUSING, B.PAUSED},
    "retry": frozenset(B) - {B.ACCEPTED, B.FINISHED, B.CANCELLING},
}
#: Taken by the act that retries.
RETRIED = (S.ERROR, S.CANCELLED)

#: Offered above the rows: a title, its statuses.
QUICK: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("All rows", ()),
    ("Only failed", (S.ERROR, S.RESULT_LOST)),
    ("Not ended", (S.QUEUED, S.LAUNCHING, S.IN_DOUBT, S.PROCESSING, S.HUMAN_IN_THE_LOOP, S.DOWNLOADING)),
    ("Waits for people", (S.IN_DOUBT, S.HUMAN_IN_THE_LOOP)),
    ("Finished", (S.FINISHED,)),
)

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def show_batch(batch_id: UUID, visit: Reading) -> Response:
    """Show one batch with a page of its rows."""
    query = Query(visit.request.query_params, ("status", "limit", "cursor"))
    statuses, path = query.statuses(), f"/batches/{batch_id}"
    batch = await reading.get_batch(visit.deps, visit.who, batch_id)
    items, following = await reading.list_runs(
        visit.deps, visit.who, batch=batch_id, statuses=statuses, after=query.after(visit), limit=query.limit()
    )
    kept = [("status", ",".join(statuses))] if statuses else []
    cursor = None if following is None else cursors.issue(visit.deps.sealer, query.bound_to(visit), following)
    retried = sum(batch["counts"].get(status, 0) for status in RETRIED)
    offered = [act for act, among in OFFERED.items() if batch["status"] in among and (act != "retry" or retried)]
    return await page(
        visit,
        "batch.html",
        title=batch["name"] or f"Batch {batch['external_id'] or str(batch_id)[-8:]}",
        room="batches",
        batch=batch,
        line=batch_story.plain_line(batch),
        acts=[] if batch["erased_at"] else offered,
        retried=retried,
        items=items,
        history=await batch_look.batch_history(visit.deps, visit.who, batch_id),
        by_status={str(status): f"{path}?status={status}#rows" for status in S},
        quick=[(title, _rows(path, of), statuses == of) for title, of in QUICK],
        first_page=f"{path}?{urlencode(kept)}#rows" if kept else f"{path}#rows",
        next_page=None if cursor is None else f"{path}?{urlencode([*kept, ('cursor', cursor)])}#rows",
        is_first="cursor" not in visit.request.query_params,
        commands=commands.get_batch(str(visit.request.base_url), str(batch_id)),
    )


@router.get(PATH + "/results.zip")
async def download_zip(batch_id: UUID, visit: Reading) -> Response:
    """Save every stored result in one ZIP."""
    Query(visit.request.query_params, ())
    pieces = results_zip.stream(visit.deps, visit.who, batch_id)
    return await sent(pieces, f"batch-{batch_id}.zip", "application/zip")


@router.get(PATH + "/results.csv")
async def download_csv(batch_id: UUID, visit: Reading) -> Response:
    """Save one table of all runs, safe to open in a spreadsheet."""
    Query(visit.request.query_params, ())
    pieces = results_table.csv(visit.deps, visit.who, batch_id, raw=False)
    return await sent(pieces, f"batch-{batch_id}.csv", "text/csv; charset=utf-8; header=present")


@router.get(PATH + "/results.jsonl")
async def download_jsonl(batch_id: UUID, visit: Reading) -> Response:
    """Save a line of JSON for each run."""
    Query(visit.request.query_params, ())
    pieces = results_table.json_lines(visit.deps, visit.who, batch_id)
    return await sent(pieces, f"batch-{batch_id}.jsonl", "application/x-ndjson")


def _rows(path: str, statuses: tuple[str, ...]) -> str:
    return f"{path}?status={','.join(statuses)}#rows" if statuses else f"{path}#rows"
