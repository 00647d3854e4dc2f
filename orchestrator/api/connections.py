"""Routes of connections. The key goes in, and never comes out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.acts import act, given
from orchestrator.api.answers import Answer, everything, nothing, shown, tagged
from orchestrator.api.auth import Administering, Operating, Reading
from orchestrator.api.bodies import Fields
from orchestrator.api.openapi import REASON, described, listed
from orchestrator.api.queries import Query
from orchestrator.engine import connection_look, connections, watches

MAX_URL_CHARS = 2_000
MAX_KEY_CHARS = 4_096
MAX_RATE = 100_000
MAX_SLOTS = 10_000

router = APIRouter(prefix="/connections", tags=["connections"])
ONE = "/{name}"

#: What a provider can do, in a page's words: `capabilities` says it too.
TOLD_TWICE = "abilities"


def _changes(fields: Fields) -> dict[str, Any]:
    return {
        "requests_per_minute": fields.whole_or_none("requests_per_minute", least=1, most=MAX_RATE),
        "max_concurrent": fields.whole_or_none("max_concurrent", least=1, most=MAX_SLOTS),
        "console_url": fields.text_or_none("console_url", max_chars=MAX_URL_CHARS),
        "api_version": fields.text_or_none("api_version"),
    }


def _new(fields: Fields) -> dict[str, Any]:
    return {
        "name": fields.text("name"),
        "provider": fields.text("provider"),
        "base_url": fields.text("base_url", max_chars=MAX_URL_CHARS),
        "api_key": fields.text("api_key", max_chars=MAX_KEY_CHARS),
        "limit_group": fields.text_or_none("limit_group"),
        **_changes(fields),
    }


@router.post("", status_code=201, **described("Connection", body="NewConnection", status=201))
async def add_connection(call: Administering) -> Response:
    """Store a connection. Nothing is asked of the provider yet: test it."""

    async def add(fields: dict[str, Any]) -> Answer:
        return Answer(view=await connections.add_connection(call.deps, call.who, **fields), status=201)

    return await act(call, _new, add)


@router.get("", **listed("Connection", paged=False))
async def list_connections(call: Reading) -> Response:
    """List every connection."""
    Query(call.request.query_params, ())
    return everything(call, await connections.list_connections(call.deps, call.who))


@router.post(ONE + ":test", **described("ConnectionTest", body="Nothing"))
async def test_connection(name: str, call: Operating) -> Response:
    """Ask the provider for its workflows and say what we would do. Launches nothing; wakes a stopped lane."""

    async def test(_: None) -> Answer:
        return Answer(view=await connections.test_connection(call.deps, call.who, name))

    return await act(call, lambda _: None, test)


@router.post(ONE + ":rotate", **described("Connection", body="NewKey"))
async def rotate_key(name: str, call: Administering) -> Response:
    """Give it another key."""

    async def rotate(asked: tuple[str, str | None]) -> Answer:
        api_key, reason = asked
        return Answer(view=await connections.rotate_key(call.deps, call.who, name, api_key, reason=reason))

    def take(fields: Fields) -> tuple[str, str | None]:
        return fields.text("api_key", max_chars=MAX_KEY_CHARS), fields.prose_or_none("reason")

    return await act(call, take, rotate)


@router.post(ONE + ":pause", **described("Connection", body="Reason"))
async def pause_connection(name: str, call: Operating) -> Response:
    """Stop launching through it. What was launched is still collected."""

    async def pause(reason: str | None) -> Answer:
        return Answer(view=await connections.pause_connection(call.deps, call.who, name, reason))

    return await act(call, lambda fields: fields.prose_or_none("reason"), pause)


@router.post(ONE + ":resume", **described("Connection", body="Reason"))
async def resume_connection(name: str, call: Operating) -> Response:
    """Launch on."""

    async def resume(reason: str | None) -> Answer:
        return Answer(view=await connections.resume_connection(call.deps, call.who, name, reason))

    return await act(call, lambda fields: fields.prose_or_none("reason"), resume)


@router.post(ONE + ":watch", **described("Connection", body="Watching"))
async def watch_connection(name: str, call: Operating) -> Response:
    """Track what other programs start there, or stop looking for it. Launches nothing."""

    async def watch(asked: dict[str, Any]) -> Answer:
        if asked.pop("stop"):
            return Answer(view=await watches.stop_watching(call.deps, call.who, name, reason=asked["reason"]))
        return Answer(view=await watches.watch_connection(call.deps, call.who, name, **asked))

    def take(fields: Fields) -> dict[str, Any]:
        return {
            "stop": fields.flag("stop"),
            "workflow_ids": fields.texts("types"),
            "since": fields.moment_or_none("since"),
            "reason": fields.prose_or_none("reason"),
        }

    return await act(call, take, watch)


@router.get(ONE, **described("Connection"))
async def show_connection(name: str, call: Reading) -> Response:
    """Show one connection."""
    Query(call.request.query_params, ())
    return shown(await connections.show_connection(call.deps, call.who, name))


@router.get(ONE + "/standing", **described("ConnectionStanding"))
async def show_standing(name: str, call: Reading) -> Response:
    """Show how a connection stands: its health in words, its budget of the last hour, what waits, what it can do."""
    Query(call.request.query_params, ())
    found = await connection_look.look_at_connection(call.deps, call.who, name)
    return tagged(call, {key: said for key, said in found.items() if key != TOLD_TWICE})


@router.patch(ONE, **described("Connection", body="ConnectionChanges"))
async def set_connection(name: str, call: Administering) -> Response:
    """Change what is given."""
    Query(call.request.query_params, ())

    def take(fields: Fields) -> dict[str, Any]:
        return {
            "base_url": fields.text_or_none("base_url", max_chars=MAX_URL_CHARS),
            "reason": fields.prose_or_none("reason"),
            **_changes(fields),
        }

    _, changes = await given(call, take)
    return shown(await connections.set_connection(call.deps, call.who, name, **changes))


@router.delete(ONE, status_code=204, **described(None, status=204, parameters=(REASON,)))
async def remove_connection(name: str, call: Administering) -> Response:
    """Remove a connection that no live run needs."""
    reason = Query(call.request.query_params, ("reason",)).reason()
    await connections.remove_connection(call.deps, call.who, name, reason=reason)
    return nothing()
