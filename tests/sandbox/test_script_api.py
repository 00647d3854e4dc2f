"""Each call against the examples of the vendor's page: the same fields, the same words, the same errors."""

import re
from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import Client

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
WELCOME = "550e8400-e29b-41d4-a716-446655440000"
NOWHERE = "00000000-0000-4000-8000-000000000000"


def test_the_list_holds_the_fields_of_the_page_and_no_others(client: Client) -> None:
    document = client.http.get("/workflows").json()
    assert list(document) == ["data", "cursor"] and document["cursor"] is None
    assert document["data"][0] == {
        "id": WELCOME,
        "name": "Send welcome email",
        "created_at": "2024-01-15T10:30:00Z",
        "updated_at": "2024-01-15T10:30:00Z",
    }


@pytest.mark.parametrize("style", ["timestamp", "opaque"])
def test_following_the_cursors_yields_every_workflow_once(client: Client, style: str) -> None:
    client.sandbox.options(cursor_style=style)
    for n in range(5):
        client.sandbox.add_workflow(name=f"extra {n}", created_at="2024-05-01T00:00:00Z")
    seen: list[str] = []
    params: dict[str, str] = {"limit": "3"}
    for _ in range(10):
        page = client.http.get("/workflows", params=params).json()
        assert len(page["data"]) <= 3
        seen += [row["id"] for row in page["data"]]
        if page["cursor"] is None:
            break
        params["cursor"] = page["cursor"]
    assert len(seen) == len(set(seen)) == 10


def test_a_page_holds_at_most_a_hundred(client: Client) -> None:
    client.sandbox.options(requests_per_minute=0)
    for n in range(100):
        client.sandbox.add_workflow(name=f"many {n}")
    assert len(client.http.get("/workflows?limit=1000").json()["data"]) == 100
    assert client.http.get("/workflows").json()["cursor"] is not None
    client.sandbox.options(page_over_limit="refuse")
    assert client.http.get("/workflows?limit=101").status_code == 400


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=ten", "cursor=yesterday"])
def test_a_senseless_page_request_is_a_400(client: Client, query: str) -> None:
    _is_error(client.http.get(f"/workflows?{query}"), 400)


def test_a_workflow_shows_its_description_and_schema(client: Client) -> None:
    assert client.http.get(f"/workflows/{WELCOME}").json() == {
        "id": WELCOME,
        "name": "Send welcome email",
        "description": "Sends a personalized welcome email to new users",
        "created_at": "2024-01-15T10:30:00Z",
        "updated_at": "2024-01-15T10:30:00Z",
        "input_schema": {
            "type": "object",
            "properties": {"email": {"type": "string"}, "name": {"type": "string"}},
            "required": ["email"],
        },
    }
    assert client.http.get(client.free).json()["input_schema"] is None


def test_a_launch_answers_as_the_page_shows(client: Client) -> None:
    body = {"input": {"email": "john@example.com", "name": "John"}}
    document = client.http.post(f"/workflows/{WELCOME}/executions", json=body).json()
    assert list(document) == ["execution_id", "workflow_id", "status", "created_at"]
    assert UUID.fullmatch(document["execution_id"]) and TIME.fullmatch(document["created_at"])
    assert (document["workflow_id"], document["status"]) == (WELCOME, "initial")


def test_an_execution_has_null_results_until_it_finished(client: Client) -> None:
    execution_id = client.launch("duration_s=10")
    assert client.look(execution_id)["status"] == "processing"
    assert client.look(execution_id)["results"] is None
    client.sandbox.advance(10)
    document = client.look(execution_id)
    assert list(document) == ["id", "workflow_id", "status", "created_at", "results"]
    assert document["status"] == "finished"
    assert [list(row) for row in document["results"]] == [["filename", "url"]]
    assert document["results"][0]["filename"] == "result.json"
    client.sandbox.options(results_before_end="absent")
    assert "results" not in client.look(client.launch("duration_s=10"))


def test_a_failed_execution_is_error_with_null_results(client: Client) -> None:
    assert client.finished("outcome=error")["status"] == "error"
    assert client.finished("outcome=error")["results"] is None


def test_a_batch_answers_every_item_with_its_index(client: Client) -> None:
    items = [{"email": "alice@example.com", "name": "Alice"}, {"email": "bob@example.com", "name": "Bob"}]
    body = {"items": items, "concurrency": "medium"}
    document = client.http.post(f"/workflows/{WELCOME}/executions/batch", json=body).json()
    assert list(document) == ["workflow_id", "total", "executions"]
    assert (document["workflow_id"], document["total"]) == (WELCOME, 2)
    assert [list(row) for row in document["executions"]] == [["execution_id", "index"]] * 2
    assert [row["index"] for row in document["executions"]] == [0, 1]


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "sk-wrong"}, {"Authorization": "Bearer sk-sandbox"}])
def test_only_a_known_key_in_x_api_key_is_let_in(client: Client, headers: dict[str, str]) -> None:
    _is_error(client.outside.get(f"{client.sandbox.api_url}/workflows", headers=headers), 401)


@pytest.mark.parametrize("path", [f"/workflows/{NOWHERE}", f"/workflows/{WELCOME}/executions/{NOWHERE}", "/elsewhere"])
def test_what_does_not_exist_is_a_404(client: Client, path: str) -> None:
    _is_error(client.http.get(path), 404)
    _is_error(client.http.post(f"/workflows/{NOWHERE}/executions", json={"input": {}}), 404)


def test_an_unknown_workflow_says_what_the_page_says(client: Client) -> None:
    assert client.http.get(f"/workflows/{NOWHERE}").json() == {"error": "Workflow not found"}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"{}", b'{"input": 7}', b'{"input": {"customer_id": 7}}', b'{"input": {"amount": 1}}'),
        *(b'{"input": {"customer_id": "a", "unknown": 1}}', b'{"input": {"customer_id": NaN}}', b"\xff\xfe\xfd"),
        *(b'{"input": {"customer_id": "a", "sandbox": "duration=2"}}', b"[" * 100_000),
    ],
)
def test_a_launch_that_breaks_the_page_or_the_schema_is_a_400_and_starts_nothing(client: Client, body: bytes) -> None:
    _is_error(client.http.post(f"{client.scoring}/executions", content=body), 400)
    assert client.sandbox.truth()["summary"]["executions"] == 0


@pytest.mark.parametrize(
    "body",
    [
        *({"items": []}, {"items": "x"}, {"items": [{"customer_id": "a"}], "concurrency": "huge"}),
        *({"items": [{"customer_id": "a"}, {"customer_id": 1}], "concurrency": "low"}, {"items": [{}] * 10_001}),
    ],
)
def test_a_batch_with_anything_wrong_is_a_400_and_starts_nothing(client: Client, body: dict[str, Any]) -> None:
    _is_error(client.http.post(f"{client.scoring}/executions/batch", json=body), 400)
    assert client.sandbox.truth()["summary"]["executions"] == 0


def test_a_batch_can_be_told_to_skip_its_invalid_items_or_to_hide_which_they_are(client: Client) -> None:
    body = {"items": [{"customer_id": "a"}, {"customer_id": 1}, {"customer_id": "c"}], "concurrency": "low"}
    assert "items[1]" in client.http.post(f"{client.scoring}/executions/batch", json=body).json()["error"]
    client.sandbox.options(batch_error_names_item=False)
    assert "items[1]" not in client.http.post(f"{client.scoring}/executions/batch", json=body).json()["error"]
    client.sandbox.options(invalid_batch_item="skip")
    document = client.http.post(f"{client.scoring}/executions/batch", json=body).json()
    assert document["total"] == 2 and [row["index"] for row in document["executions"]] == [0, 2]


def test_a_body_over_4_mb_is_refused_and_one_of_exactly_4_mb_is_not(client: Client) -> None:
    frame = b'{"input": {"note": "%b"}}'
    fits = frame % (b"x" * (4_194_304 - len(frame) + 2))
    assert len(fits) == 4_194_304
    assert client.http.post(f"{client.free}/executions", content=fits).status_code == 200
    too_large = fits + b" "
    _is_error(client.http.post(f"{client.free}/executions", content=too_large), 400)
    client.sandbox.options(body_too_large=413)
    _is_error(client.http.post(f"{client.free}/executions", content=too_large), 413)


def test_a_chunked_body_is_read_like_any_other(client: Client) -> None:
    def body() -> Any:
        yield b'{"input": '
        yield b'{"a": 1}}'

    answer = client.http.post(f"{client.free}/executions", content=body())
    assert answer.status_code == 200
    assert client.sandbox.truth()["executions"][0]["input"] == {"a": 1}


def test_ten_thousand_items_are_accepted_in_one_request(client: Client) -> None:
    assert len(set(client.launch_batch(10_000, "high"))) == 10_000


def test_keys_of_one_account_share_its_executions_and_others_do_not_see_them(client: Client) -> None:
    client.sandbox.options(keys={"sk-second": "main", "sk-other": "elsewhere"})
    execution_id = client.launch()
    statuses = [
        client.http.get(f"{client.free}/executions/{execution_id}", headers={"x-api-key": key}).status_code
        for key in ("sk-second", "sk-other")
    ]
    client.sandbox.options(keys={"sk-second": None, "sk-other": None})
    assert statuses == [200, 404]


def test_a_drifting_api_adds_fields_that_no_page_mentions(client: Client) -> None:
    client.sandbox.options(extra_fields=True)
    assert "meta" in client.http.get("/workflows").json()


def _is_error(answer: httpx.Response, status: int) -> None:
    """The page's error shape: an object with one message."""
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert list(document) == ["error"] and isinstance(document["error"], str)
