"""What people do to connections and their workflows. A key goes in by a form's body, and never comes out."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.connections import MAX_KEY_CHARS, MAX_RATE, MAX_SLOTS, MAX_URL_CHARS
from orchestrator.api.problems import status_of
from orchestrator.domain.error_codes.catalogue import found as catalogued
from orchestrator.engine import connections, workflow_lists, workflows
from orchestrator.errors import BadInput, Conflict, OrchestratorError
from orchestrator.web import forms
from orchestrator.web.connections import ONE, PATH, WORKFLOW, path_of, path_of_workflow
from orchestrator.web.rendering import page
from orchestrator.web.visits import Administering, Operating

#: Fields of a form that was refused which are shown again.
GIVEN_BACK = ("name", "provider", "base_url", "requests_per_minute", "max_concurrent", "limit_group", "console_url")

router = APIRouter(include_in_schema=False)


@router.post(PATH)
async def add(visit: Administering) -> Response:
    """Add a connection. Nothing is asked of the provider yet."""
    form = await forms.read(visit.request)
    try:
        made = await connections.add_connection(
            visit.deps,
            visit.who,
            name=form.needed("name"),
            provider=form.needed("provider"),
            base_url=form.needed("base_url", max_chars=MAX_URL_CHARS),
            api_key=form.needed("api_key", max_chars=MAX_KEY_CHARS),
            limit_group=form.text("limit_group"),
            requests_per_minute=form.whole("requests_per_minute", least=1, most=MAX_RATE),
            max_concurrent=form.whole("max_concurrent", least=1, most=MAX_SLOTS),
            console_url=form.text("console_url", max_chars=MAX_URL_CHARS),
        )
    except (BadInput, Conflict) as error:
        return await _again(visit, form, error)
    return forms.done(visit.request, path_of(made["name"]), "Added. Nothing was asked of the provider yet: test it.")


async def _again(visit: Administering, form: forms.Form, error: OrchestratorError) -> Response:
    """Show the form once more with what was filled in, but for the key: it is in no page."""
    return await page(
        visit,
        "connection_new.html",
        title="Add a connection",
        room="connections",
        status=status_of(error),
        given={name: next(iter(form.every(name)), "")[:MAX_URL_CHARS] for name in GIVEN_BACK},
        providers=visit.deps.providers,
        error=error,
        cure=next((entry.cure for _, entry in catalogued(error.code)), None),
    )


@router.post(ONE + "/test")
async def test(name: str, visit: Operating) -> Response:
    """Ask the provider for its workflows with the key. Launches nothing."""
    await forms.read(visit.request)
    came = await connections.test_connection(visit.deps, visit.who, name)
    if came["ok"]:
        count = len(came["workflows"])
        text = (
            f"It works: the provider answered with {count} workflow{'' if count == 1 else 's'}. Nothing was launched."
        )
        return forms.done(visit.request, path_of(name), text)
    error = came["error"]
    text = f"It does not work: {error['message']} ({error['code']})." + (f" {error['hint']}" if error["hint"] else "")
    return forms.done(visit.request, path_of(name), text, tone="bad")


@router.post(ONE + "/set")
async def change(name: str, visit: Administering) -> Response:
    """Change what was filled in."""
    form = await forms.read(visit.request)
    await connections.set_connection(
        visit.deps,
        visit.who,
        name,
        base_url=form.text("base_url", max_chars=MAX_URL_CHARS),
        requests_per_minute=form.whole("requests_per_minute", least=1, most=MAX_RATE),
        max_concurrent=form.whole("max_concurrent", least=1, most=MAX_SLOTS),
        console_url=form.text("console_url", max_chars=MAX_URL_CHARS),
        api_version=form.text("api_version", max_chars=40),
        reason=form.reason(),
    )
    return forms.done(visit.request, path_of(name), "Changed. What was left empty is as it was.")


@router.post(ONE + "/rotate")
async def rotate(name: str, visit: Administering) -> Response:
    """Put another key in."""
    form = await forms.read(visit.request)
    key = form.needed("api_key", max_chars=MAX_KEY_CHARS)
    await connections.rotate_key(visit.deps, visit.who, name, key, reason=form.reason())
    return forms.done(visit.request, path_of(name), "The new key is in, and launches may go again. Test it.")


@router.post(ONE + "/pause")
async def pause(name: str, visit: Operating) -> Response:
    """Launch nothing more."""
    form = await forms.read(visit.request)
    await connections.pause_connection(visit.deps, visit.who, name, form.needed_reason())
    return forms.done(visit.request, path_of(name), "Paused: nothing is launched. What was launched is collected.")


@router.post(ONE + "/resume")
async def resume(name: str, visit: Operating) -> Response:
    """Launch on."""
    form = await forms.read(visit.request)
    await connections.resume_connection(visit.deps, visit.who, name, form.reason())
    return forms.done(visit.request, path_of(name), "Resumed: launches go on.")


@router.post(ONE + "/remove")
async def remove(name: str, visit: Administering) -> Response:
    """Take it out of sight, if nothing of it is under way."""
    form = await forms.read(visit.request)
    if form.text("typed") != name:
        raise BadInput(f"type the name {name} to remove it", code="field.value")
    await connections.remove_connection(visit.deps, visit.who, name, reason=form.needed_reason())
    return forms.done(visit.request, PATH, f"{name} is removed. Its runs and their history stay.")


@router.post(ONE + "/workflows")
async def ask(name: str, visit: Operating) -> Response:
    """Ask the provider which workflows there are."""
    await forms.read(visit.request)
    found = await workflow_lists.list_workflows(visit.deps, visit.who, name)
    if any(one["stale"] for one in found):
        text = "The provider does not answer: these are the workflows that are known here."
        return forms.done(visit.request, path_of(name), text, tone="bad")
    return forms.done(visit.request, path_of(name), f"The provider was asked: {len(found)} are known now.")


@router.post(WORKFLOW + "/set")
async def set_workflow(name: str, workflow_id: str, visit: Administering) -> Response:
    """Change a workflow's policies."""
    form = await forms.read(visit.request)
    figures = ((part, form.text(part, max_chars=20)) for part in ("initial", "factor", "cap", "jitter", "polite"))
    poll = ",".join(f"{part}={value}" for part, value in figures if value is not None)
    await workflows.set_workflow(
        visit.deps,
        visit.who,
        name,
        workflow_id,
        on_doubt=form.text("on_doubt"),
        poll=poll or None,
        reason=form.reason(),
    )
    return forms.done(visit.request, path_of_workflow(name, workflow_id), "Changed, for what is looked at from now on.")
