"""Routes of schedules: when what is submitted again and again, and what became of each tick."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api import etags
from orchestrator.api.acts import act, given
from orchestrator.api.answers import JSON, Answer, View, everything, nothing, page, shown, tagged, text_of
from orchestrator.api.auth import Call, Operating, Reading, Submitting
from orchestrator.api.bodies import Fields, member_bytes
from orchestrator.api.idempotency import once
from orchestrator.api.openapi import IF_MATCH, REASON, described, listed, parameter
from orchestrator.api.problems import RequestRefused
from orchestrator.api.queries import Query
from orchestrator.api.schema_words import comma_list
from orchestrator.domain.fires import CatchUp, FireState, Overlap
from orchestrator.engine import schedule_reading, schedules
from orchestrator.engine import schedule_words as words
from orchestrator.engine.schedule_words import BatchOptions, Plan
from orchestrator.errors import Conflict

MAX_CRON_CHARS = 200

router = APIRouter(prefix="/schedules", tags=["schedules"])
ONE = "/{name}"


def _rhythm(fields: Fields) -> dict[str, Any]:
    return {
        "cron": fields.text_or_none("cron", max_chars=MAX_CRON_CHARS),
        "every": fields.text_or_none("every", max_chars=20),
        "zone": fields.text_or_none("tz", max_chars=64),
    }


def _plan(fields: Fields) -> dict[str, Any]:
    """Take what a schedule does; None where nothing was said."""
    return {
        # Its bytes are taken from the body itself, where it is there at all.
        "input": None if fields.object_or_none("input") is None else b"",
        "template": fields.text_or_none("file", max_chars=400),
        "options": _options(fields),
        "allows_same_content": fields.flag_or_none("allow_same_content"),
        "overlap": fields.one_of_or_none("overlap", tuple(Overlap)),
        "catch_up": fields.one_of_or_none("catch_up", tuple(CatchUp)),
        "max_catch_up": fields.whole_or_none("max_catch_up", least=1, most=words.MOST_CATCH_UP),
        "deadline_s": fields.whole_or_none("deadline_s", least=0, most=words.LONGEST_DEADLINE_S),
    }


def _options(fields: Fields) -> BatchOptions | None:
    said: dict[str, Any] = {
        "concurrency": fields.text_or_none("concurrency", max_chars=20),
        "external_id_column": fields.text_or_none("external_id_column"),
        "wave_size": fields.whole_or_none("wave_size", least=1, most=10_000),
        "max_failures": fields.text_or_none("max_failures", max_chars=10),
        "skip_invalid": fields.flag_or_none("skip_invalid"),
    }
    said = {name: value for name, value in said.items() if value is not None}
    return BatchOptions(**said) if said else None


def _new(fields: Fields) -> dict[str, Any]:
    rhythm = _rhythm(fields)
    taken = {
        "name": fields.text("name"),
        "workflow_id": fields.text("workflow_id"),
        "connection": fields.text("connection"),
        **rhythm,
        "zone": rhythm["zone"] or "UTC",
    }
    return taken | {"said": {name: value for name, value in _plan(fields).items() if value is not None}}


def _with_input(content: bytes, said: dict[str, Any]) -> dict[str, Any]:
    """Return what was said, with the input as the bytes that came."""
    return said if said.get("input") is None else said | {"input": member_bytes(content, "input")}


@router.post("", status_code=201, **described("Schedule", body="NewSchedule", status=201))
async def create_schedule(call: Submitting) -> Response:
    """Make a schedule. Its first tick is the next one from now on."""
    Query(call.request.query_params, ())
    content, taken = await given(call, _new)

    async def create() -> Answer:
        plan = Plan(**_with_input(content, taken.pop("said")))
        return Answer(view=await schedules.create_schedule(call.deps, call.who, **taken, plan=plan), status=201)

    return await once(call, content, create)


@router.get("", **listed("Schedule", paged=False))
async def list_schedules(call: Reading) -> Response:
    """List every schedule, each with what its latest tick came to."""
    Query(call.request.query_params, ())
    return everything(call, await schedule_reading.list_schedules(call.deps, call.who))


N = parameter(
    "n", {"type": "integer", "minimum": 1, "maximum": schedule_reading.MOST_PREVIEWED, "default": 10}, "how many ticks"
)

_RHYTHM = (
    parameter("cron", "string", "five fields, or @daily and the like"),
    parameter("every", "string", "90m, 6h, 1d: instead of cron"),
    parameter("tz", "string", "an IANA name, UTC by default"),
    N,
)


@router.get(":preview", **described("Preview", parameters=_RHYTHM))
async def preview_rhythm(call: Reading) -> Response:
    """Show the ticks that a rhythm would have. Nothing is stored."""
    query = Query(call.request.query_params, ("cron", "every", "tz", "n"))
    found = await schedule_reading.preview_rhythm(
        call.deps,
        cron=query.text("cron"),
        every=query.text("every"),
        zone=query.text("tz") or "UTC",
        count=query.whole("n", least=1, most=schedule_reading.MOST_PREVIEWED) or 10,
    )
    return shown(found)


@router.get(ONE, **described("Schedule"))
async def show_schedule(name: str, call: Reading) -> Response:
    """Show one schedule."""
    Query(call.request.query_params, ())
    found = await schedule_reading.show_schedule(call.deps, call.who, name)
    return tagged(call, found, state=words.revision(found))


@router.get(ONE + "/preview", **described("Preview", parameters=(N,)))
async def preview_schedule(name: str, call: Reading) -> Response:
    """Show a schedule's next ticks, in its zone and in UTC, with what clock changes do to them."""
    query = Query(call.request.query_params, ("n",))
    count = query.whole("n", least=1, most=schedule_reading.MOST_PREVIEWED) or 10
    return shown(await schedule_reading.preview_schedule(call.deps, call.who, name, count=count))


@router.get(ONE + "/fires", **listed("Fire", parameter("state", comma_list(FireState), "a comma list of states")))
async def list_fires(name: str, call: Reading) -> Response:
    """List a schedule's ticks, latest first, each with what became of it and why."""
    query = Query(call.request.query_params, ("state", "limit", "cursor"))
    states = query.among("state", FireState) or None
    views, following = await schedule_reading.list_fires(
        call.deps, call.who, name, before=query.after(call), states=states, limit=query.limit()
    )
    return page(call, query, views, following)


@router.patch(ONE, **described("Schedule", body="ScheduleChanges", parameters=(IF_MATCH,)))
async def update_schedule(name: str, call: Submitting) -> Response:
    """Change what is given; the rest stays. With `If-Match`, the tag of what was read, only if it is still set so."""
    Query(call.request.query_params, ())
    content, changes = await given(
        call, lambda fields: {**_rhythm(fields), "plan": _plan(fields), "reason": fields.prose_or_none("reason")}
    )
    changes["plan"] = _with_input(content, changes["plan"])
    seen = etags.states_matched(call.request.headers)
    try:
        view = await schedules.update_schedule(call.deps, call.who, name, **changes, seen=seen)
    except Conflict as error:
        if error.code != "changed_meanwhile":
            raise
        raise RequestRefused(412, error.message, code="changed_meanwhile", hint=error.hint) from None
    text = text_of(view)
    return Response(text.encode(), media_type=JSON, headers={"ETag": etags.tag(text, state=words.revision(view))})


@router.delete(ONE, status_code=204, **described(None, status=204, parameters=(REASON,)))
async def remove_schedule(name: str, call: Operating) -> Response:
    """Remove a schedule. What it submitted goes on, and its history stays."""
    reason = Query(call.request.query_params, ("reason",)).reason()
    await schedules.remove_schedule(call.deps, call.who, name, reason=reason)
    return nothing()


Verb = Callable[[str | None], Awaitable[View]]


async def _do(call: Call, verb: Verb) -> Response:
    async def do(reason: str | None) -> Answer:
        return Answer(view=await verb(reason))

    return await act(call, lambda fields: fields.prose_or_none("reason"), do)


@router.post(ONE + ":pause", **described("Schedule", body="Note"))
async def pause_schedule(name: str, call: Operating) -> Response:
    """Skip ticks from now on. A note says why, to whoever looks at the schedule."""

    async def pause(note: str) -> Answer:
        return Answer(view=await schedules.pause_schedule(call.deps, call.who, name, note))

    return await act(call, lambda fields: fields.prose("note"), pause)


@router.post(ONE + ":resume", **described("Schedule", body="Reason"))
async def resume_schedule(name: str, call: Operating) -> Response:
    """Fire again from now on. The ticks of the pause stay skipped."""
    return await _do(call, lambda reason: schedules.resume_schedule(call.deps, call.who, name, reason=reason))


@router.post(ONE + ":run-now", **described("Schedule", body="RunNow"))
async def run_now(name: str, call: Operating) -> Response:
    """Fire once by hand: with now as its nominal time, or a tick that was missed, skipped or merged after all."""

    def take(fields: Fields) -> dict[str, Any]:
        return {
            "reason": fields.prose_or_none("reason"),
            "nominal_at": fields.text_or_none("nominal_at", max_chars=40),
        }

    async def fire(asked: dict[str, Any]) -> Answer:
        return Answer(view=await schedules.run_now(call.deps, call.who, name, **asked))

    return await act(call, take, fire)
