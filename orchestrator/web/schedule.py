"""One schedule: its policies in words, what comes next in its zone and in UTC, every tick and its fate, the acts."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api import cursors
from orchestrator.api.queries import Query
from orchestrator.domain import redaction
from orchestrator.domain.fires import FireState
from orchestrator.engine import schedule_look, schedule_reading, schedules
from orchestrator.web import commands, forms
from orchestrator.web.rendering import page
from orchestrator.web.schedules import PATH
from orchestrator.web.visits import Operating, Reading
from orchestrator.web.wording import moment, zoned

ONE = PATH + "/{name}"
NEXT = 10
#: In these a tick submitted nothing, and can be carried out after all.
TAKEN_UP = (FireState.MISSED, FireState.SKIPPED, FireState.MERGED)

router = APIRouter(include_in_schema=False)


@router.get(ONE)
async def show_schedule(name: str, visit: Reading) -> Response:
    """Show one schedule."""
    query = Query(visit.request.query_params, ("state", "limit", "cursor", "take"))
    states, take = query.among("state", FireState), query.moment("take")
    found = await schedule_reading.show_schedule(visit.deps, visit.who, name)
    ticks, following = await schedule_reading.list_fires(
        visit.deps, visit.who, name, before=query.after(visit), states=states or None, limit=query.limit()
    )
    cursor = None if following is None else cursors.issue(visit.deps.sealer, query.bound_to(visit), following)
    path = f"{PATH}/{name}"
    kept = [("state", ",".join(states))] if states else []
    return await page(
        visit,
        "schedule.html",
        title=f"Schedule {name}",
        room="schedules",
        found=found,
        home=path,
        input=_shown_input(found["input"]),
        coming=await _coming(visit, found, name),
        ticks=ticks,
        taken_up=TAKEN_UP,
        take=None if take is None else take.isoformat().replace("+00:00", "Z"),
        quick=[("All", path, not states), *((str(s), f"{path}?state={s}", states == (s,)) for s in FireState)],
        first_page=f"{path}?{urlencode(kept)}" if kept else path,
        next_page=None if cursor is None else f"{path}?{urlencode([*kept, ('cursor', cursor)])}",
        is_first="cursor" not in visit.request.query_params,
        history=await schedule_look.schedule_history(visit.deps, visit.who, name),
        commands=commands.schedules(str(visit.request.base_url), name),
    )


@router.post(ONE + "/pause")
async def pause(name: str, visit: Operating) -> Response:
    """Skip its ticks from now on."""
    form = await forms.read(visit.request)
    await schedules.pause_schedule(visit.deps, visit.who, name, form.needed_reason())
    return _done(visit, name, "Paused: its ticks are skipped from now on, and each says so.")


@router.post(ONE + "/resume")
async def resume(name: str, visit: Operating) -> Response:
    """Fire again from now on."""
    form = await forms.read(visit.request)
    found = await schedules.resume_schedule(visit.deps, visit.who, name, reason=form.reason())
    then = f" Next: {zoned(found['next_at'], found['tz'])}." if found["next_at"] else ""
    return _done(visit, name, f"It fires again.{then} The ticks of the pause stay skipped.")


@router.post(ONE + "/run-now")
async def run_now(name: str, visit: Operating) -> Response:
    """Fire once by hand, or carry out a tick that submitted nothing."""
    form = await forms.read(visit.request)
    nominal_at = form.text("nominal_at", max_chars=40)
    await schedules.run_now(visit.deps, visit.who, name, reason=form.reason(), nominal_at=nominal_at)
    text = (
        "It fires now." if nominal_at is None else f"The tick of {moment(nominal_at):%Y-%m-%d %H:%M} UTC is taken up."
    )
    return _done(visit, name, f"{text} What comes of it stands among the ticks.")


@router.post(ONE + "/delete")
async def delete(name: str, visit: Operating) -> Response:
    """Remove it; what it submitted goes on."""
    form = await forms.read(visit.request)
    await schedules.remove_schedule(visit.deps, visit.who, name, reason=form.needed_reason())
    return forms.done(visit.request, PATH, f"{name} is deleted. What it submitted goes on, and its history stays.")


async def _coming(visit: Reading, found: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return the next ticks; None where there are none."""
    if found["status"] == "over":
        return None
    return await schedule_reading.preview_schedule(visit.deps, visit.who, name, count=NEXT)


def _shown_input(given: Any) -> tuple[str, int] | None:
    """Return a schedule's input as text with what is secret by its name left out, and how much that is."""
    return None if given is None else redaction.pretty(json.dumps(given, ensure_ascii=False))


def _done(visit: Operating, name: str, text: str) -> Response:
    return forms.done(visit.request, f"{PATH}/{name}", text)
