"""Promise 1: accepted work is never lost. The API is killed while it accepts, and the client asks again."""

from __future__ import annotations

import signal
from typing import Any

import httpx
import pytest

from orchestrator.engine import tokens
from orchestrator.faultpoints import Point as P
from tests.guarantees.site import Site, died

pytestmark = pytest.mark.anyio


class Caller:
    """A client that sends each request once, and says what it heard."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    def post(self, path: str, body: dict[str, Any], *, key: str) -> httpx.Response | None:
        """Return the answer, None when the connection broke."""
        headers = {**self._headers, "Idempotency-Key": key}
        try:
            return httpx.post(f"{self._url}/api/v1{path}", json=body, headers=headers, trust_env=False, timeout=20)
        except httpx.TransportError:
            return None

    def ids(self, path: str) -> list[str]:
        """Return the ids of what is listed."""
        answer = httpx.get(f"{self._url}/api/v1{path}", headers=self._headers, trust_env=False, timeout=20)
        return [one["id"] for one in answer.json()["data"]]


async def token_for(site: Site) -> str:
    secret, _ = await tokens.create_token(site.deps, site.who.workspace_id, "caller", actor="test")
    return secret


async def serving(site: Site, token: str, fault: str = "") -> tuple[Any, Caller]:
    api, url = site.api(fault)
    await site.until_answers(url)
    return api, Caller(url, token)


def submission(site: Site, path: str) -> dict[str, Any]:
    place = {"connection": "main", "workflow_id": site.sandbox.workflows["Free form"]}
    return {**place, "input": {"item": "a"}} if path == "/runs" else {**place, "items": [{"item": "a"}, {"item": "b"}]}


@pytest.mark.parametrize("path", ["/runs", "/batches"])
@pytest.mark.parametrize("point", [P.SUBMIT_WRITTEN, P.SUBMIT_COMMITTED])
async def test_an_api_killed_while_it_accepts_accepts_once_when_the_client_asks_again(
    site: Site, point: P, path: str
) -> None:
    token, body = await token_for(site), submission(site, path)
    api, caller = await serving(site, token, f"{point}:1:kill")
    assert caller.post(path, body, key="k") is None
    assert died(api) == -signal.SIGKILL
    _, caller = await serving(site, token)
    stored = caller.ids(path)
    assert len(stored) == (1 if point is P.SUBMIT_COMMITTED else 0)
    again, once_more = (caller.post(path, body, key="k") for _ in range(2))
    assert again is not None
    assert once_more is not None
    assert (again.status_code, once_more.status_code) == (201, 201)
    assert once_more.headers["idempotent-replayed"] == "true"
    assert again.json()["id"] == once_more.json()["id"]
    assert caller.ids(path) == [again.json()["id"]]
    assert stored in ([], [again.json()["id"]])
    await site.all_is_well()


@pytest.mark.parametrize("point", [P.ACT_WRITTEN, P.ACT_COMMITTED])
async def test_an_api_killed_while_it_acts_has_acted_wholly_or_not_at_all(site: Site, point: P) -> None:
    token, run = await token_for(site), await site.run()
    api, caller = await serving(site, token, f"{point}:1:kill")
    assert caller.post(f"/runs/{run}:cancel", {}, key="k") is None
    assert died(api) == -signal.SIGKILL
    has_acted = point is P.ACT_COMMITTED
    assert await site.status(run) == ("cancelled" if has_acted else "queued")
    _, caller = await serving(site, token)
    again = caller.post(f"/runs/{run}:cancel", {}, key="k")
    assert again is not None
    assert again.status_code == 409, "whether it was done is not known under this key"
    assert caller.post(f"/runs/{run}:cancel", {}, key="another") is not None
    assert await site.status(run) == "cancelled"
    await site.all_is_well()
    assert await site.types(run) == ["accepted", "cancelled"]


async def test_what_was_acknowledged_is_done_though_api_and_workers_are_killed_all_the_time(site: Site) -> None:
    token = await token_for(site)
    workflow_id = site.sandbox.workflows["Free form"]
    acknowledged = []
    for n in range(4):
        _, caller = await serving(site, token)
        site.worker()
        for m in range(4):
            given = {"item": f"{n}.{m}", "sandbox": "duration_s=0.5; size_bytes=300"}
            body = {"connection": "main", "workflow_id": workflow_id, "input": given}
            answer = caller.post("/runs", body, key=f"{n}.{m}")
            assert answer is not None
            acknowledged.append(answer.json()["id"])
        site.kill_all()
    site.worker()
    books = await site.until_quiet()
    await site.all_is_well()
    assert sorted(str(run) for run in books.runs) == sorted(acknowledged)
    assert books.unfinished() == []
