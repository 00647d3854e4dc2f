"""One thing, shown at once or when there is news of it: `?wait=30s` with the ETag of what the reader knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from starlette.responses import Response

from orchestrator.api import etags
from orchestrator.api.answers import View, tagged, text_of, unchanged
from orchestrator.api.auth import Call
from orchestrator.api.queries import Query
from orchestrator.engine.news import Kind, News


async def followed(
    call: Call,
    query: Query,
    kind: Kind,
    id: UUID,
    read: Callable[[], Awaitable[View]],
    state_of: Callable[[View], str],
) -> Response:
    """Show a run or a batch; with `wait`, once its state is another than the one that the request names.

    What has ended is answered at once. Without an `If-None-Match` the state at the beginning counts as known.
    """
    wait_s = query.wait_s()
    view = await read()
    state = state_of(view)
    headers = call.request.headers
    is_asked = etags.is_asked(headers)
    if wait_s and view["finished_at"] is None and (not is_asked or etags.state_is_named(state, headers)):
        news: News = call.request.app.state.news
        await news.wait(kind, id, state, wait_s=wait_s)
        view = await read()
        if is_asked and etags.state_is_named(state_of(view), headers):
            return unchanged(etags.tag(text_of(view), state=state_of(view)))
    return tagged(call, view, state=state_of(view))
