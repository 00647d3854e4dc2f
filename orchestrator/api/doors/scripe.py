"""The Scripe door: list, get and cancel of the Scripe jobs API, over all runs of the token's workspace."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from orchestrator.api import cursors, limits
from orchestrator.api.answers import Answer, shown
from orchestrator.api.auth import Call, Operating, Reading
from orchestrator.api.doors import job_queries
from orchestrator.api.doors import scripe_shapes as shapes
from orchestrator.api.doors.mounts import Door
from orchestrator.api.doors.results import absolute
from orchestrator.api.idempotency import HEADER as IDEMPOTENCY_KEY
from orchestrator.api.idempotency import once
from orchestrator.domain.doors import JobStatus, kinds_of, statuses_of
from orchestrator.domain.statuses import RunStatus
from orchestrator.engine import operate, reading, result_links
from orchestrator.errors import BadInput, Conflict, NotFound

VERSION = "scripe-api-version"
VERSIONS = frozenset({"2026-08-01"})
MAX_BODY_BYTES = 256 * 1024
#: A key of another shape is ignored without a word, says the page.
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def _known_version(request: Request) -> None:
    for version in request.headers.getlist(VERSION):
        if version not in VERSIONS:
            raise BadInput(
                f"this version is not served; served are {', '.join(sorted(VERSIONS))}", code=shapes.VERSION_UNSUPPORTED
            )


router = APIRouter(prefix="/v1", dependencies=[Depends(_known_version)], redirect_slashes=False)
JOBS = "/jobs"
ONE = JOBS + "/{job_id}"
#: What starts a job at the provider. Known here, so that a client is told why it is not done.
GENERATIONS = "/posts/generations"


@router.get(JOBS)
async def list_jobs(call: Reading) -> Response:
    """List jobs, newest first."""
    given = call.request.query_params
    query = job_queries.read(given)
    bound_to = ("scripe jobs", str(call.who.workspace_id), *job_queries.filters(given))
    after = None if query.cursor is None else cursors.redeem(call.deps.sealer, bound_to, query.cursor)
    runs, following = await reading.list_runs(
        call.deps,
        call.who,
        statuses=statuses_of(query.statuses),
        kinds=kinds_of(query.types),
        since=query.since,
        until=query.until,
        after=after,
        limit=query.limit,
    )
    cursor = None if following is None else cursors.issue(call.deps.sealer, bound_to, following)
    return shown(
        {"data": await _jobs(call, runs), "pagination": {"next_cursor": cursor, "has_more": cursor is not None}}
    )


@router.get(ONE)
async def get_job(job_id: str, call: Reading) -> Response:
    """Show one job."""
    return shown({"data": (await _jobs(call, [await _run(call, job_id)]))[0]})


@router.post(ONE + "/cancel")
async def cancel_job(job_id: str, call: Operating) -> Response:
    """Cancel a job that has not been started.

    One that is being started at this moment is marked, and cancelled if its launch does not go through; that cannot be
    promised, so it is a 409 like one that is too late.
    """
    content = await limits.read_body(call.request, max_bytes=MAX_BODY_BYTES)
    run = await _run(call, job_id)

    async def cancel() -> Answer:
        if run["status"] == RunStatus.CANCELLED:
            raise _too_late("it is CANCELLED already")
        try:
            done = await operate.cancel_run(call.deps, call.who, UUID(run["id"]), reason="cancelled at the Scripe door")
        except Conflict as late:
            raise _too_late(late.message) from None
        if done["status"] != RunStatus.CANCELLED:
            raise _too_late(f"it is {done['status']}, and is cancelled only if its launch turns out not to go through")
        return Answer(view={"data": (await _jobs(call, [done]))[0]})

    if _has_key(call.request):
        return await once(call, content, cancel)
    return shown((await cancel()).view)


@router.post(GENERATIONS)
async def start_job(call: Reading) -> Response:
    """Refuse to start a job: which connection it should go to, this API's request does not say."""
    raise NotFound(
        "this door starts no jobs: it lists, shows and cancels those of its workspace. Submit to the orchestrator's own"
        " API, POST /api/v1/runs",
        code="generation_not_served",
    )


def _too_late(why: str) -> Conflict:
    return Conflict(f"only a {JobStatus.QUEUED} job can be cancelled: {why}", code=shapes.NOT_CANCELLABLE)


def _has_key(request: Request) -> bool:
    given = request.headers.getlist(IDEMPOTENCY_KEY)
    return len(given) == 1 and _KEY.fullmatch(given[0]) is not None


async def _run(call: Call, job_id: str) -> dict[str, Any]:
    unknown = NotFound("there is no such job in this workspace", code="job_not_found")
    try:
        return await reading.get_run(call.deps, call.who, UUID(job_id))
    except (ValueError, NotFound):
        raise unknown from None


async def _jobs(call: Call, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return runs as jobs, those that are done with fresh URLs of their files."""
    links = await result_links.links(call.deps, call.who, [run for run in runs if run["status"] == RunStatus.FINISHED])
    found = []
    now = datetime.fromtimestamp(call.deps.sources.unix_ms() / 1000, tz=UTC)
    for run in runs:
        files = links.get(run["id"], [])
        urls = {link.path: absolute(call.request, call.deps.settings, link.path) for link in files}
        found.append(shapes.job(run, files, urls, now=now))
    return found


DOOR = Door(path="/scripe", router=router, refused=shapes.refused, unrouted=shapes.unrouted, bug=shapes.bug)
