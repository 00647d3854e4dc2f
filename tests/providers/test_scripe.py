"""The Scripe adapter reads its page's own example, word for word, and asks as the page says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.domain.answers import Access, Progress, RemoteStatus
from orchestrator.providers import scripe_shapes
from orchestrator.providers.inline import inline_body
from orchestrator.providers.scripe import TYPES, ScripeProvider
from tests.api.pages_replayed import curls
from tests.providers.raw_server import Connection, RawServer

pytestmark = pytest.mark.anyio

#: The page's curl line, and the answer that it shows below it.
(CURL,) = curls("scripe.txt")


async def ask(answer: bytes, call: Any) -> tuple[Any, bytes]:
    """Let the adapter ask a server that answers this; return what it made of it, and its request."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        await connection.say(head.encode() + answer)

    provider = ScripeProvider(allow_private_networks=True)
    async with RawServer(behave) as server:
        try:
            got = await call(provider, Access(connection_id="c", base_url=f"{server.url}/v1", api_key="<token>"))
        finally:
            await provider.aclose()
    return got, server.requests[0]


def page_of(**changes: Any) -> bytes:
    """Return the page's example, with a change of its job."""
    answer = json.loads(json.dumps(CURL.answer))
    answer["data"][0] |= changes
    return json.dumps(answer).encode()


async def test_the_pages_example_is_a_page_of_jobs_and_is_asked_for_as_its_curl_line_does() -> None:
    page, request = await ask(
        json.dumps(CURL.answer).encode(), lambda provider, access: provider.list_workflows(access)
    )
    assert [w.remote_id for w in page.workflows] == [type_ for type_, route in TYPES.items() if route]
    head = request.decode().split("\r\n")
    assert head[0].split()[0] == CURL.method and head[0].split()[1].split("?")[0] == "/v1/jobs"
    said = dict(line.split(": ", 1) for line in head[1:] if line)
    assert said["Authorization"] == CURL.headers["Authorization"]
    assert said["Scripe-Api-Version"] == "2026-08-01"


async def test_the_pages_example_job_is_read_word_for_word() -> None:
    (job,) = CURL.answer["data"]
    seen, _ = await ask(
        json.dumps({"data": job}).encode(),
        lambda provider, access: provider.observe(access, "POST_GENERATION", job["id"]),
    )
    assert (seen.status, seen.word, seen.files, seen.error_message) == (RemoteStatus.WAITING, "QUEUED", None, None)
    assert seen.progress == Progress(share=0.5, message="<string>", left_ms=123)


@pytest.mark.parametrize(
    ("status", "means"),
    [("QUEUED", "waiting"), ("RUNNING", "running"), ("DONE", "finished"), ("FAILED", "failed"),
     ("CANCELLED", "cancelled"), ("PAUSED", "unknown")],
)  # fmt: skip
def test_the_example_in_each_status_is_read_by_the_pages_words(status: str, means: str) -> None:
    scripe_shapes.job_page(page_of(status=status))
    seen = scripe_shapes.seen(json.loads(page_of(status=status))["data"][0])
    assert (seen.status.value, seen.word) == (means, status)
    assert seen.error_message == ("<string>: <string>" if status == "FAILED" else None)
    if status == "DONE":
        assert seen.files is not None and inline_body(seen.files[0].url) == b"{}"


def test_the_example_with_every_field_null_that_may_be_is_read() -> None:
    nothing = dict.fromkeys(
        (
            *("projectId", "startedAt", "completedAt", "progress", "result", "errorCode", "errorMessage"),
            "estimatedCompletionMs",
        )
    )
    seen = scripe_shapes.seen(json.loads(page_of(**nothing))["data"][0])
    assert (seen.status, seen.progress, seen.files) == (RemoteStatus.WAITING, None, None)


def test_fields_that_the_example_does_not_have_are_ignored() -> None:
    scripe_shapes.job_page(page_of(region="eu", stages=[{"n": 1}]))
