"""A schedule is made or changed by a form, after a preview of when it would fire. A preview stores nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.auth import Call
from orchestrator.api.problems import status_of
from orchestrator.api.queries import Query
from orchestrator.domain import redaction, templates
from orchestrator.domain.fires import CatchUp, Overlap
from orchestrator.engine import connections, schedule_reading, schedules, workflow_lists
from orchestrator.engine import schedule_words as words
from orchestrator.engine.schedule_words import BatchOptions, Plan
from orchestrator.errors import BadInput, Conflict, NotFound, OrchestratorError, Problem
from orchestrator.web import forms
from orchestrator.web.rendering import page
from orchestrator.web.schedule import NEXT, ONE
from orchestrator.web.schedules import PATH
from orchestrator.web.visits import Submitting
from orchestrator.web.wording import span

#: No schedule is called so: a name begins with a letter or a digit.
NEW, PREVIEW = PATH + "/-new", PATH + "/-preview"
MAX_INPUT_CHARS = 400_000

_RHYTHM = ("name", "connection", "workflow_id", "cron", "every", "tz", "file")
_POLICIES = ("overlap", "catch_up", "max_catch_up", "deadline_s")
_OPTIONS = ("concurrency", "external_id_column", "wave_size", "max_failures")
TEXTS = (*_RHYTHM, *_POLICIES, *_OPTIONS, "reason")
FLAGS = ("skip_invalid", "allow_same_content")
#: What a change may be about. Its connection and workflow stay; its input is not shown, so it is not carried.
CARRIED = (*("cron", "every", "tz", "file"), *_POLICIES, *_OPTIONS, *FLAGS)
_REFUSED = (BadInput, Conflict, NotFound)

#: What a new schedule does unless it is said otherwise.
DEFAULTS: Mapping[str, str] = {
    **dict.fromkeys((*TEXTS, *FLAGS, "input"), ""),
    "tz": "UTC",
    "overlap": Overlap.SKIP,
    "catch_up": CatchUp.LATEST,
    "max_catch_up": str(words.MAX_CATCH_UP),
    "deadline_s": str(words.DEADLINE_S),
    "concurrency": BatchOptions().concurrency,
}


@dataclass(frozen=True, slots=True)
class Base:
    """What a change begins with: the schedule as the form showed it first. The form carries it."""

    revision: str
    values: Mapping[str, str]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Base:
        """Return a schedule as it is."""
        shown = _values_of(found)
        return cls(words.revision(found), {name: shown[name] for name in CARRIED})

    @classmethod
    def sent(cls, form: forms.Form, found: Mapping[str, Any]) -> Base:
        """Return what a form carries; of one that carries nothing, the schedule as it is."""
        revision = form.text("seen", max_chars=40)
        if revision is None:
            return cls.of(found)
        return cls(
            revision, {name: form.text(f"was_{name}", max_chars=forms.MAX_REASON_CHARS) or "" for name in CARRIED}
        )


router = APIRouter(include_in_schema=False)


@router.get(NEW)
async def new_schedule(visit: Submitting) -> Response:
    """Show the form of a new schedule; a workflow's page names itself and its connection."""
    query = Query(visit.request.query_params, ("connection", "workflow"))
    named = {"connection": query.text("connection") or "", "workflow_id": query.text("workflow") or ""}
    return await _form(visit, None, {**DEFAULTS, **named})


@router.post(PREVIEW)
async def preview_new(visit: Submitting) -> Response:
    """Show when a new schedule would fire."""
    values = _values(await forms.read(visit.request))
    return await _previewed(visit, None, values)


@router.post(PATH)
async def create(visit: Submitting) -> Response:
    """Make a schedule."""
    values = _values(await forms.read(visit.request))
    try:
        plan = Plan(**{name: value for name, value in _plan(values).items() if value is not None})
        found = await schedules.create_schedule(
            visit.deps,
            visit.who,
            _needed(values, "name"),
            workflow_id=_needed(values, "workflow_id"),
            connection=_needed(values, "connection"),
            cron=values["cron"] or None,
            every=values["every"] or None,
            zone=values["tz"] or "UTC",
            plan=plan,
        )
    except _REFUSED as error:
        return await _form(visit, None, values, error=error)
    return forms.done(visit.request, f"{PATH}/{found['name']}", "The schedule is made; its ticks come by themselves.")


@router.get(ONE + "/edit")
async def edit_schedule(name: str, visit: Submitting) -> Response:
    """Show the form of a schedule as it is."""
    found = await schedule_reading.show_schedule(visit.deps, visit.who, name)
    return await _form(visit, found, _values_of(found), base=Base.of(found))


@router.post(ONE + "/preview")
async def preview_change(name: str, visit: Submitting) -> Response:
    """Show when a schedule would fire after a change."""
    found = await schedule_reading.show_schedule(visit.deps, visit.who, name)
    form = await forms.read(visit.request)
    return await _previewed(visit, found, _values(form), base=Base.sent(form, found))


@router.post(ONE + "/edit")
async def change(name: str, visit: Submitting) -> Response:
    """Change what is other than before; the rest stays."""
    form = await forms.read(visit.request)
    values = _values(form)
    found = await schedule_reading.show_schedule(visit.deps, visit.who, name)
    base = Base.sent(form, found)
    try:
        before = {**_values_of(found), **base.values}
        rhythm = {n: values[n] for n in ("cron", "every", "tz") if values[n] and values[n] != before[n]}
        old, new = _plan(before), _plan(values)
        plan = {key: None if value == old[key] else value for key, value in new.items()}
        if not rhythm and not any(value is not None for value in plan.values()):
            return forms.done(visit.request, f"{PATH}/{name}", "Nothing was changed.")
        await schedules.update_schedule(
            visit.deps,
            visit.who,
            name,
            cron=rhythm.get("cron"),
            every=rhythm.get("every"),
            zone=rhythm.get("tz"),
            plan=plan,
            reason=values["reason"] or None,
            seen={base.revision},
        )
    except _REFUSED as error:
        if error.code == "changed_meanwhile":
            return await _changed_meanwhile(visit, name, values, base, error)
        return await _form(visit, found, values, base=base, error=error)
    return forms.done(visit.request, f"{PATH}/{name}", "Changed. Ticks whose time has come keep what they were.")


async def _changed_meanwhile(
    visit: Call, name: str, values: Mapping[str, str], base: Base, error: OrchestratorError
) -> Response:
    """Show the form again on what somebody else has made of the schedule: what this one left alone is as it is now."""
    found = await schedule_reading.show_schedule(visit.deps, visit.who, name)
    now = Base.of(found)
    others = {key: (was, now.values[key]) for key, was in base.values.items() if was != now.values[key]}
    mended = {**values, **{key: new for key, (was, new) in others.items() if values[key] == was}}
    changes = [(key, was, new, mended[key]) for key, (was, new) in others.items()]
    return await _form(visit, found, mended, base=now, error=error, meanwhile=changes)


async def _previewed(
    visit: Call, found: dict[str, Any] | None, values: dict[str, str], *, base: Base | None = None
) -> Response:
    """Show the form again with the ticks to come, or with what is in the way of them."""
    try:
        if found is None:
            words.check_name(_needed(values, "name"))
        Plan(**{key: value for key, value in (_plan(values) | _kept(found, values)).items() if value is not None})
        coming = await schedule_reading.preview_rhythm(
            visit.deps,
            cron=values["cron"] or None,
            every=values["every"] or None,
            zone=values["tz"] or "UTC",
            count=NEXT,
            template=values["file"] or None,
        )
    except _REFUSED as error:
        return await _form(visit, found, values, base=base, error=error)
    return await _form(visit, found, values, base=base, coming=coming)


async def _form(
    visit: Call,
    found: dict[str, Any] | None,
    values: Mapping[str, str],
    *,
    base: Base | None = None,
    coming: dict[str, Any] | None = None,
    error: OrchestratorError | None = None,
    meanwhile: Sequence[tuple[str, str, str, str]] | None = None,
) -> Response:
    kept = None if found is None or found["input"] is None else json.dumps(found["input"], ensure_ascii=False)
    named = [one["name"] for one in await connections.list_connections(visit.deps, visit.who)]
    known = [values["connection"]] if values["connection"] in named else named
    return await page(
        visit,
        "schedule_form.html",
        title="New schedule" if found is None else f"Edit {found['name']}",
        room="schedules",
        status=200 if error is None else status_of(error),
        found=found,
        home=PATH if found is None else f"{PATH}/{found['name']}",
        values=values,
        base=base,
        meanwhile=meanwhile,
        coming=coming,
        error=error,
        wrong=forms.wrong_fields(error),
        problems=error.problems[:20] if isinstance(error, BadInput) else (),
        kept_input=None if kept is None else redaction.pretty(kept)[0],
        connections=named,
        workflows=await workflow_lists.known_workflows(visit.deps, visit.who, known) if found is None else [],
        template_words=list(templates.WORDS),
    )


def _values(form: forms.Form) -> dict[str, str]:
    """Return what was written into the form, as it is shown again."""
    found = {name: form.text(name, max_chars=forms.MAX_REASON_CHARS) or "" for name in TEXTS}
    found |= {name: "yes" if form.ticked(name) else "" for name in FLAGS}
    return found | {"input": form.text("input", max_chars=MAX_INPUT_CHARS) or ""}


def _values_of(found: Mapping[str, Any]) -> dict[str, str]:
    """Return a schedule as the form shows it. Its input stays where it is: a form would show what is secret in it."""
    plain = {name: str(found[name] or "") for name in TEXTS if name in found}
    options = {name: str(value) for name, value in found["options"].items() if value is not True}
    flags = {
        "skip_invalid": "yes" if found["options"].get("skip_invalid") else "",
        "allow_same_content": "yes" if found["allow_same_content"] else "",
    }
    every = "" if found["every_s"] is None else span(found["every_s"])
    return {**DEFAULTS, **plain, **options, **flags, "deadline_s": str(found["deadline_s"]), "every": every}


def _kept(found: Mapping[str, Any] | None, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the input of a schedule that keeps its own."""
    keeps = found is not None and found["input"] is not None and not values["input"] and not values["file"]
    return {"input": b"{}"} if keeps else {}


def _plan(values: Mapping[str, str]) -> dict[str, Any]:
    """Return what was said of what a schedule does; None where nothing was.

    Raises:
        BadInput: what should be a number is none, or an option makes no sense.
    """
    return {
        "input": values["input"].encode() if values["input"] else None,
        "template": values["file"] or None,
        "options": BatchOptions(
            concurrency=values["concurrency"] or BatchOptions().concurrency,
            external_id_column=values["external_id_column"] or None,
            wave_size=_whole(values, "wave_size"),
            max_failures=values["max_failures"] or None,
            skip_invalid=bool(values["skip_invalid"]),
        ),
        "allows_same_content": bool(values["allow_same_content"]),
        "overlap": values["overlap"] or None,
        "catch_up": values["catch_up"] or None,
        "max_catch_up": _whole(values, "max_catch_up"),
        "deadline_s": _whole(values, "deadline_s"),
    }


def _whole(values: Mapping[str, str], name: str) -> int | None:
    text = values[name]
    if text and not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise _wrong(name, "is a whole number")
    return int(text) if text else None


def _needed(values: Mapping[str, str], name: str) -> str:
    if not values[name]:
        raise _wrong(name, "is needed")
    return values[name]


def _wrong(name: str, message: str) -> BadInput:
    return BadInput(f"{name} {message}", problems=(Problem(message=message, code="field.value", field=name),))
