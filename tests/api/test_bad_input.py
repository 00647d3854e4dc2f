"""The catalogue of bad input at the HTTP edge, each case by its number: 1 to 44, framing, JSON, fields and queries.

45 to 70, access and repeats, are in `test_bad_access.py`. Whatever is refused, nothing of it is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from orchestrator.api import limits
from orchestrator.client import Client
from tests.api.conftest import Served

RUNS, BATCHES, CONNECTIONS = "/api/v1/runs", "/api/v1/batches", "/api/v1/connections"
JSON = {"Content-Type": "application/json"}

#: How many identical posts are sent at once: `IDENTICAL_POSTS=1000 pytest tests/api/test_bad_input.py -k 44` for many.
POSTS = int(os.environ.get("IDENTICAL_POSTS", "100"))

NIL = "00000000-0000-0000-0000-000000000000"


def run_body(main: str, free: str, input: str = "{}", more: str = "") -> bytes:
    return f'{{"connection":"{main}","workflow_id":"{free}","input":{input}{more}}}'.encode()


def codes(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def count(http: httpx.Client, unique: str) -> int:
    return len(http.get(RUNS, params={"label": f"of={unique}"}).json()["data"])


# -- 1 to 14: JSON ------------------------------------------------------------------------------------------------

WHOLE = [
    pytest.param(b"", 400, "json.empty", id="1 nothing"),
    pytest.param(b'{"a":', 400, "json.syntax", id="2 cut"),
    *(pytest.param(b, 422, "body.not_object", id=f"3 {b.decode()}") for b in (b"null", b"[]", b'"x"', b"7")),
    pytest.param(b'{"workflow_id":"a","workflow_id":"b"}', 400, "json.duplicate_key", id="4 a name twice"),
    pytest.param(b"\xff\xfe", 400, "json.encoding", id="13 no UTF-8"),
    pytest.param('{"a":1}'.encode("utf-16"), 400, "json.encoding", id="14 UTF-16"),
    pytest.param(b"\xef\xbb\xbf{}", 400, "json.encoding", id="14 a byte order mark"),
]
INPUTS = [
    *(pytest.param(f'{{"n":{n}}}', 400, "json.number", id=f"5 {n}") for n in ("NaN", "Infinity", "-Infinity")),
    pytest.param('{"n":1e999}', 400, "json.number", id="6 beyond a double"),
    pytest.param('{"n":%s}' % ("9" * 5000), 400, "json.number", id="7 five thousand digits"),
    pytest.param("[" * 10_000, 400, "json.depth", id="10 deep"),
    pytest.param('{"s":"\\ud800"}', 400, "json.unicode", id="11 half a pair"),
    pytest.param('{"s":"\\u0000"}', 422, "text.nul", id="12 NUL"),
]


@pytest.mark.parametrize(("body", "status", "code"), WHOLE)
def test_a_body_that_is_no_plain_json_object_is_refused(
    http: httpx.Client, body: bytes, status: int, code: str
) -> None:
    answer = http.post(RUNS, content=body, headers=JSON)
    assert codes(answer) == (status, code), answer.text
    assert code != "json.syntax" or "byte" in answer.json()["detail"]


@pytest.mark.parametrize(("input", "status", "code"), INPUTS)
def test_an_input_that_readers_disagree_on_is_refused(
    http: httpx.Client, main: str, free: str, input: str, status: int, code: str, unique: str
) -> None:
    answer = http.post(RUNS, content=run_body(main, free, input, f',"labels":{{"of":"{unique}"}}'), headers=JSON)
    assert codes(answer) == (status, code), answer.text
    assert count(http, unique) == 0


@pytest.mark.parametrize("input", ['{"n":9007199254740993}', '{"a":0.10,"b":-0.0,"c":1E2}'], ids=["8", "9"])
def test_a_number_is_kept_as_it_was_spelled(
    http: httpx.Client, client: Client, main: str, free: str, input: str
) -> None:
    made = http.post(RUNS, content=run_body(main, free, input), headers=JSON).json()
    kept = hashlib.sha256(input.encode()).hexdigest()
    assert kept in json.dumps(list(client.runs.events(made["id"])))


# -- 15 to 26: framing --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _wire(served: Served, *lines: str, method: str = "POST", path: str = RUNS, body: bytes = b"") -> Iterator[bytes]:
    host, port = served.url.removeprefix("http://").split(":")
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {served.token}", *lines]
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        yield wire.recv(65536)


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


TYPED = "Content-Type: application/json"
FRAMINGS = [
    pytest.param((TYPED, f"Content-Length: {limits.RUN_BYTES + 1}"), b"", {413}, id="15 a byte too much"),
    pytest.param((TYPED, "Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\n", {400}, id="17 two lengths"),
    pytest.param((TYPED, "Content-Encoding: gzip", "Content-Length: 2"), b"{}", {415}, id="18 compressed"),
    pytest.param(("Content-Type: text/plain", "Content-Length: 2"), b"{}", {415}, id="19 text"),
    pytest.param(("Content-Length: 2",), b"{}", {415}, id="19 no type"),
    pytest.param(("Content-Type: multipart/form-data; boundary=x", "Content-Length: 2"), b"{}", {415}, id="20 form"),
    pytest.param((TYPED, "X-Large: " + "x" * 20_000), b"", {400, 431}, id="21 a large header"),
    pytest.param((TYPED, *(f"X-{n}: {'x' * 150}" for n in range(120))), b"", {400, 431}, id="21 many headers"),
]


@pytest.mark.parametrize(("lines", "body", "statuses"), FRAMINGS)
def test_an_odd_framing_is_refused(served: Served, lines: tuple[str, ...], body: bytes, statuses: set[int]) -> None:
    if "Transfer-Encoding: chunked" in lines:
        # Both lengths: h11 takes the chunks, as RFC 9112 6.3 says, so nothing is smuggled; the body is then empty.
        statuses = {400, 411}
    with _wire(served, *lines, body=body) as answer:
        assert _status(answer) in statuses, answer[:300]


def test_16_a_body_that_stalls_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STALL_S", 0.1)
    with _wire(served, TYPED, "Content-Length: 10", body=b'{"a"') as answer:
        assert _status(answer) == 408
        assert b"connection: close" in answer.lower()


def test_18_a_small_body_that_would_be_large_is_not_unpacked(http: httpx.Client) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    answer = http.post(RUNS, content=bomb, headers={**JSON, "Content-Encoding": "gzip"})
    assert codes(answer) == (415, "body.encoding")


def test_22_a_long_url_is_refused(http: httpx.Client) -> None:
    assert codes(http.get(RUNS, params={"external_id": "x" * 9000})) == (414, "url.too_long")


@pytest.mark.parametrize("value", ["a%0d%0aSet-Cookie: x=1", "x" * 5000, "../../etc"])
def test_23_a_request_id_of_the_callers_choice_is_ignored(http: httpx.Client, value: str) -> None:
    answer = http.get(RUNS, headers={"X-Request-Id": value, "Request-Id": value})
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["request-id"])
    assert "set-cookie" not in answer.headers


def test_24_a_foreign_host_is_refused_and_a_forwarded_one_ignored(http: httpx.Client) -> None:
    assert codes(http.get(RUNS, headers={"Host": "evil.example"})) == (400, "host.unknown")
    answer = http.get(RUNS, headers={"X-Forwarded-Host": "evil.example"})
    assert answer.status_code == 200
    assert "evil" not in answer.text


def test_26_methods_are_what_they_are(http: httpx.Client) -> None:
    for method in ("TRACE", "BREW", "PUT"):
        answer = http.request(method, RUNS)
        assert codes(answer) == (405, "method_not_allowed")
        assert set(answer.headers["allow"].replace(" ", "").split(",")) & {"GET", "POST"}
    assert http.get(RUNS, headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 200


# -- 27 to 34: fields ---------------------------------------------------------------------------------------------

CONNECTION = {"provider": "script", "base_url": "https://example.com", "api_key": "k"}
FIELDS = [
    pytest.param({"workflw": "x"}, "field.unknown", id="27 a misspelt name"),
    pytest.param({"state": "succeeded"}, "field.unknown", id="28 a state of one's own"),
    pytest.param({"workspace_id": NIL}, "field.unknown", id="28 a workspace of one's own"),
    *(pytest.param({"max_concurrent": v}, "field.type", id=f"29 {v!r}") for v in ("5", True, 5.0)),
    *(pytest.param({"max_concurrent": v}, "field.range", id=f"30 {v}") for v in (2147483648, -1, 10**18)),
    pytest.param({"console_url": "x" * 10**6}, "field.value", id="31 a long text"),
    pytest.param({"limit_group": "a\u202eb"}, "field.value", id="32 text that turns round"),
    pytest.param({"limit_group": "a\u200bb"}, "field.value", id="32 an invisible character"),
]


@pytest.mark.parametrize(("change", "code"), FIELDS)
def test_a_wrong_field_is_named(http: httpx.Client, change: dict[str, Any], code: str) -> None:
    answer = http.post(CONNECTIONS, json={"name": "never", **CONNECTION, **change})
    assert codes(answer) == (422, code), answer.text
    assert [place["field"] for place in answer.json()["errors"]] == [*change]
    assert http.get(f"{CONNECTIONS}/never").status_code == 404


@pytest.mark.parametrize("name", ["ﬁrst", "Straße", "a b", "émile", "."])
def test_33_a_unique_name_cannot_look_like_another(http: httpx.Client, name: str) -> None:
    # Where names must be unique, they are plain ASCII: what folds to the same cannot be two.
    assert http.post(CONNECTIONS, json={"name": name, **CONNECTION}).status_code == 422


@pytest.mark.parametrize("text", ["'; DROP TABLE runs;--", "%", "_", "\\", "$1", "{{7*7}}", "${jndi:ldap://x}", "👩"])
def test_34_text_is_only_text(http: httpx.Client, client: Client, main: str, free: str, text: str) -> None:
    mark = f"{text}{uuid4()}"
    run = client.runs.submit(main, free, {}, external_id=mark)
    assert run["external_id"] == mark
    assert [one["id"] for one in http.get(RUNS, params={"external_id": mark}).json()["data"]] == [run["id"]]
    assert http.get(RUNS, params={"external_id": text}).json()["data"] == []


# -- 35 to 44: queries, paths, batches ----------------------------------------------------------------------------

QUERIES = [
    *(pytest.param(f"limit={n}", 422, id=f"35 {n}") for n in ("0", "-1", "1e3", "99999999", "٣")),
    pytest.param("limit=5&limit=6", 422, id="36 twice"),
    *(pytest.param(q, 422, id=f"37 {q}") for q in ("sort=password", "filter[state]=x'")),
    *(
        pytest.param(f"dateFrom={day}", 422, id=f"40 {day}")
        for day in (
            "2026-02-30",
            "2026-01-01T24:30:00Z",
            "2026-01-01T00:00:00",
            "0000-01-01",
            "294277-01-01",
            "infinity",
        )
    ),
]
PATHS = [
    *(
        pytest.param(f"/api/v1/{path}", id=f"38 {path}")
        for path in ("runs/../admin", "runs/%2e%2e/tokens", "/runs", "runs;jsessionid=1", "runs/")
    ),
    *(
        pytest.param(f"{RUNS}/{id}", id=f"39 {id}")
        for id in ("7", NIL, f"{NIL}%0A", "0198f000-0000-7000-8000-00000000000g")
    ),
]


@pytest.mark.parametrize(("query", "status"), QUERIES)
def test_an_odd_query_is_refused(http: httpx.Client, query: str, status: int) -> None:
    answer = http.get(f"{RUNS}?{query}")
    assert answer.status_code == status, answer.text
    assert "limit=5" not in query or answer.json()["code"] == "query.repeated"


@pytest.mark.parametrize("path", PATHS)
def test_an_odd_path_leads_nowhere(http: httpx.Client, path: str) -> None:
    answer = http.send(http.build_request("GET", http.base_url.copy_with(raw_path=path.encode())))
    assert answer.status_code == 404, answer.text


def test_39_an_id_in_upper_case_is_the_same(client: Client, http: httpx.Client, main: str, free: str) -> None:
    run = client.runs.submit(main, free, {})
    assert http.get(f"{RUNS}/{run['id'].upper()}").json()["id"] == run["id"]


def test_41_a_batch_with_one_bad_item_stores_nothing(http: httpx.Client, main: str, strict: str, unique: str) -> None:
    about = {"connection": main, "workflow_id": strict, "name": unique}
    items: list[dict[str, Any]] = [{"email": "a@example.com"}] * 6 + [{"email": 7}]
    answer = http.post(BATCHES, json={**about, "items": items})
    assert answer.status_code == 422
    assert [(place["row"], place["field"]) for place in answer.json()["errors"]] == [(7, "email")]
    assert http.post(BATCHES, json={**about, "items": []}).status_code == 422
    assert http.post(BATCHES, json={**about, "items": [{}] * 10_001}).status_code in (413, 422)
    assert unique not in http.get(BATCHES, params={"limit": 50}).text


def test_42_two_items_with_one_id_are_both_named(http: httpx.Client, main: str, free: str) -> None:
    body = b'{"id":"a"}\n{"id":"b"}\n{"id":"a"}\n'
    query = {"connection": main, "workflow_id": free, "external_id_column": "id"}
    answer = http.post(BATCHES, params=query, content=body, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 422
    assert re.search(r"\b1\b", answer.text) and re.search(r"\b3\b", answer.text)


def test_43_what_looks_secret_is_taken_and_not_shown_in_the_log(
    http: httpx.Client, main: str, free: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert http.post(RUNS, content=run_body(main, free, '{"password":"hunter22222"}'), headers=JSON).status_code == 201
    assert "hunter22222" not in "".join(capfd.readouterr())


def test_44_many_identical_posts_make_one_run(
    served: Served, http: httpx.Client, main: str, free: str, unique: str
) -> None:
    body = run_body(main, free, more=f',"labels":{{"of":"{unique}"}}')
    headers = {**JSON, "Idempotency-Key": unique, "Authorization": f"Bearer {served.token}"}

    async def post_all() -> list[httpx.Response]:
        many: dict[str, Any] = {"limits": httpx.Limits(max_connections=POSTS), "timeout": 120, "trust_env": False}
        async with httpx.AsyncClient(base_url=served.url, headers=headers, **many) as client:
            return await asyncio.gather(*(client.post(RUNS, content=body) for _ in range(POSTS)))

    answers = asyncio.run(post_all())
    assert len(answers) == POSTS
    ids = {each.json()["id"] for each in answers if each.status_code == 201}
    assert len(ids) == 1
    # Of very many at once some are turned away, by the limit of requests or a busy database: with nothing stored.
    assert {each.status_code for each in answers} <= {201, 409, 503}
    kept = {each.json()["code"] for each in answers if each.status_code == 409}
    assert kept <= {"idempotency.in_progress"}
    assert count(http, unique) == 1
