"""What people do to one run from its page. Each act is a POST, and the verb decides whether it may be."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.engine import operate
from orchestrator.web import forms
from orchestrator.web.run import PATH
from orchestrator.web.visits import Operating

router = APIRouter(include_in_schema=False)


@router.post(PATH + "/retry")
async def retry(run_id: UUID, visit: Operating) -> Response:
    """Queue the run again."""
    form = await forms.read(visit.request)
    relaunch = form.ticked("relaunch")
    await operate.retry_run(visit.deps, visit.who, run_id, relaunch=relaunch, reason=form.reason())
    return _done(visit, run_id, "Queued again: the same input, as its next attempt.")


@router.post(PATH + "/cancel")
async def cancel(run_id: UUID, visit: Operating) -> Response:
    """Cancel the run, as far as that can be had."""
    form = await forms.read(visit.request)
    run = await operate.cancel_run(visit.deps, visit.who, run_id, reason=form.reason())
    text = "Cancelled." if run["status"] == "cancelled" else "The cancel is noted; it counts where it can."
    return _done(visit, run_id, text)


@router.post(PATH + "/abandon")
async def abandon(run_id: UUID, visit: Operating) -> Response:
    """Stop watching the run."""
    form = await forms.read(visit.request)
    await operate.abandon_run(visit.deps, visit.who, run_id, reason=form.needed_reason())
    return _done(visit, run_id, "Nobody watches it any more. It may still act at the provider.")


@router.post(PATH + "/refetch")
async def refetch(run_id: UUID, visit: Operating) -> Response:
    """Ask for lost results once more."""
    form = await forms.read(visit.request)
    await operate.refetch_run(visit.deps, visit.who, run_id, reason=form.reason())
    return _done(visit, run_id, "The results are asked for once more.")


@router.post(PATH + "/check")
async def check(run_id: UUID, visit: Operating) -> Response:
    """Look at the run soon."""
    await forms.read(visit.request)
    await operate.check_now(visit.deps, visit.who, run_id)
    return _done(visit, run_id, "It is looked at as soon as the rate allows.")


def _done(visit: Operating, run_id: UUID, text: str) -> Response:
    return forms.done(visit.request, f"/runs/{run_id}", text)
