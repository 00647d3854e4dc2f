"""One run: how it stands in a line, its stages, what went in and came out, its history, and what may be done."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.downloads import attachment
from orchestrator.api.queries import Query
from orchestrator.domain import run_story
from orchestrator.domain.statuses import ENDINGS, RunStatus
from orchestrator.engine import reading, run_look, schedule_look
from orchestrator.errors import OrchestratorError
from orchestrator.web import commands
from orchestrator.web.rendering import page
from orchestrator.web.visits import Reading

PATH = "/runs/{run_id:uuid}"
S = RunStatus

#: act -> the statuses in which the page offers it. The verb itself decides.
OFFERED: dict[str, frozenset[RunStatus]] = {
    "check": frozenset({S.PROCESSING, S.HUMAN_IN_THE_LOOP}),
    "retry": frozenset({S.ERROR, S.CANCELLED}),
    "relaunch": frozenset({S.RESULT_LOST, S.ABANDONED}),
    "refetch": frozenset({S.RESULT_LOST}),
    "cancel": frozenset({S.QUEUED, S.LAUNCHING, S.PROCESSING, S.HUMAN_IN_THE_LOOP}),
    "abandon": frozenset({S.IN_DOUBT, S.PROCESSING, S.HUMAN_IN_THE_LOOP, S.DOWNLOADING}),
}

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def show_run(run_id: UUID, visit: Reading) -> Response:
    """Show one run."""
    query = Query(visit.request.query_params, ("preview",))
    run = await reading.get_run(visit.deps, visit.who, run_id)
    history = await run_look.run_history(visit.deps, visit.who, run_id)
    status = S(run["status"])
    shown = query.whole("preview", least=0, most=999_999)
    return await page(
        visit,
        "run.html",
        title=f"Run {run['external_id'] or str(run_id)[-8:]}",
        room="runs",
        run=run,
        schedule=await schedule_look.schedule_of(visit.deps, visit.who, run_id, _id(run["batch_id"])),
        line=run_story.plain_line(run),
        cure=run_story.cure(run),
        stretches=run_story.stretches(run, history["events"]),
        stages=run_story.STAGES,
        attempts=await run_look.run_attempts(visit.deps, visit.who, run_id),
        history=history,
        input=await run_look.run_input(visit.deps, visit.who, run_id),
        preview=None if shown is None else await _preview(visit, run_id, shown),
        previewed=shown,
        acts=[act for act, statuses in OFFERED.items() if status in statuses],
        is_over=status in ENDINGS,
        commands=commands.get_run(str(visit.request.base_url), str(run_id)),
    )


@router.get(PATH + "/results/{n:int}")
async def download_result(run_id: UUID, n: int, visit: Reading) -> Response:
    """Save one result file, byte for byte as it was stored."""
    Query(visit.request.query_params, ())
    return attachment(await reading.open_result(visit.deps, visit.who, run_id, n), n)


def _id(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


async def _preview(visit: Reading, run_id: UUID, n: int) -> dict[str, Any]:
    """Return what is shown of a result; what is in the way of it is shown in its place."""
    try:
        return await run_look.preview_result(visit.deps, visit.who, run_id, n)
    except OrchestratorError as error:
        return {"error": error.message, "text": "", "is_text": False}
