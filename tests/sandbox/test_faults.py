"""Each named fault as a client meets it: what comes over the wire, and whether the launch was accepted."""

import contextlib
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from sandbox.control import ControlError
from sandbox.faults import FAULTS
from tests.sandbox.conftest import KEY, Client

BODY = {"input": {"a": 1}}


def _raw(client: Client, method: str, target: str, body: bytes = b"", *, port: str = "api") -> bytes:
    """Send one request on a socket of our own and return every byte until the end of the connection.

    Raises:
        ConnectionResetError: the end was an RST.
    """
    url = urlsplit(client.sandbox.api_url if port == "api" else client.sandbox.files_url)
    path = f"{url.path}{target}" if port == "api" else target
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    received = bytearray()
    with socket.create_connection((url.hostname, url.port), timeout=3) as connection:
        connection.sendall(head.encode() + body)
        while piece := connection.recv(65_536):
            received += piece
    return bytes(received)


def _raw_launch(client: Client) -> bytes:
    return _raw(client, "POST", f"{client.free}/executions", json.dumps(BODY).encode())


def _launch(client: Client) -> httpx.Response:
    return client.http.post(f"{client.free}/executions", json=BODY)


def _accepted(client: Client) -> int:
    return int(client.sandbox.truth()["summary"]["executions"])


def _set(client: Client, fault: str, kind: str = "launch", **more: Any) -> None:
    client.sandbox.faults([{"fault": fault, "kind": kind, "times": 1, **more}])


@pytest.mark.parametrize(
    ("fault", "status", "accepted", "is_json"),
    [
        ("429", 429, 0, True),
        ("500", 500, 0, True),
        ("500_after", 500, 1, True),
        ("502_html", 502, 0, False),
        ("503", 503, 0, True),
        ("400", 400, 0, True),
        ("404", 404, 0, True),
        ("404_html", 404, 0, False),
        ("401", 401, 0, True),
        ("403_html", 403, 0, False),
        ("not_json_html_200", 200, 0, False),
        ("redirect", 302, 0, False),
    ],
)
def test_a_canned_answer_comes_instead_of_the_genuine_one(
    client: Client, fault: str, status: int, accepted: int, *, is_json: bool
) -> None:
    _set(client, fault)
    answer = _launch(client)
    assert answer.status_code == status and _accepted(client) == accepted
    if is_json:
        assert list(answer.json()) == ["error"]
    assert client.sandbox.log()[-1]["fault"] == fault
    assert _launch(client).status_code == 200, "the rule was for one request only"


@pytest.mark.parametrize(("style", "value"), [("seconds", "7"), ("date", None), ("none", None)])
def test_a_429_comes_with_seconds_or_a_date_or_nothing(client: Client, style: str, value: str | None) -> None:
    _set(client, "429", retry_after_s=7, retry_after_as=style)
    answer = _launch(client)
    assert ("retry-after" in answer.headers) == (style != "none")
    assert value in (None, answer.headers.get("retry-after"))
    if style == "date":
        assert answer.headers["retry-after"].endswith("GMT")


@pytest.mark.parametrize(("fault", "accepted"), [("reset_before", 0), ("reset_after", 1)])
def test_a_reset_ends_in_rst_before_or_after_acceptance(client: Client, fault: str, accepted: int) -> None:
    _set(client, fault)
    with pytest.raises(ConnectionResetError):
        _raw_launch(client)
    assert _accepted(client) == accepted
    assert client.sandbox.log()[-1]["status"] is None


@pytest.mark.parametrize(("fault", "accepted"), [("disconnect_before", 0), ("disconnect_after", 1)])
def test_a_disconnect_ends_in_fin_without_a_byte(client: Client, fault: str, accepted: int) -> None:
    _set(client, fault)
    assert _raw_launch(client) == b""
    assert _accepted(client) == accepted


def test_httpx_sees_a_reset_and_a_disconnect_as_two_errors(client: Client) -> None:
    _set(client, "reset_after")
    with pytest.raises(httpx.ReadError):
        _launch(client)
    _set(client, "disconnect_after")
    with pytest.raises(httpx.RemoteProtocolError):
        _launch(client)


@pytest.mark.parametrize(("fault", "accepted"), [("hang", 0), ("hang_after", 1)])
def test_a_hang_outlasts_the_clients_patience(client: Client, fault: str, accepted: int) -> None:
    _set(client, fault, seconds=30)
    with pytest.raises(httpx.ReadTimeout):
        client.http.post(f"{client.free}/executions", json=BODY, timeout=0.1)
    assert _accepted(client) == accepted


def test_a_hang_after_acceptance_answers_in_the_end_and_one_before_never_does(client: Client) -> None:
    _set(client, "hang", seconds=0.05, when="after")
    assert _launch(client).json()["status"] == "initial"
    _set(client, "hang", seconds=0.05)
    assert _raw_launch(client) == b""


def test_a_cut_body_is_shorter_than_its_length(client: Client) -> None:
    _set(client, "cut_body")
    head, _, body = _raw_launch(client).partition(b"\r\n\r\n")
    declared = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < declared and _accepted(client) == 1
    _set(client, "cut_body", ending="rst", bytes=5)
    with pytest.raises((ConnectionResetError, httpx.ReadError, httpx.RemoteProtocolError)):
        _launch(client)


def test_a_redirect_leads_to_another_origin_where_a_sent_key_shows(client: Client) -> None:
    _set(client, "redirect", kind="look", status=307)
    answer = client.http.get(f"{client.free}/executions/x")
    assert answer.status_code == 307
    assert urlsplit(answer.headers["location"]).netloc == urlsplit(client.sandbox.files_url).netloc
    client.http.get(answer.headers["location"])
    assert client.sandbox.log()[-1]["key_sent_to_files"] is True


def test_broken_json_has_an_honest_length(client: Client) -> None:
    execution_id = client.launch()
    _set(client, "bad_json", kind="look")
    answer = client.http.get(f"{client.free}/executions/{execution_id}")
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_a_wrong_shape_is_json_that_says_nothing(client: Client) -> None:
    execution_id = client.launch()
    _set(client, "wrong_shape", kind="look")
    assert client.look(execution_id)["id"] == 7
    _set(client, "wrong_shape", kind="look", body=[1])
    assert client.http.get(f"{client.free}/executions/{execution_id}").json() == [1]


def test_an_unknown_status_stands_in_an_otherwise_genuine_look(client: Client) -> None:
    execution_id = client.launch()
    _set(client, "unknown_status", kind="look")
    assert client.look(execution_id) | {"status": "-"} == client.look(execution_id) | {"status": "-"}
    _set(client, "unknown_status", kind="look", status="paused_by_billing")
    assert client.look(execution_id)["status"] == "paused_by_billing"


def test_duplicate_keys_have_two_values(client: Client) -> None:
    execution_id = client.launch()
    _set(client, "duplicate_keys", kind="look")
    text = client.http.get(f"{client.free}/executions/{execution_id}").text
    pairs = json.loads(text, object_pairs_hook=list)
    assert [name for name, _ in pairs].count("status") == 2
    assert len({value for name, value in pairs if name == "status"}) == 2


@pytest.mark.parametrize("length", ["chunked", "declared"])
def test_a_huge_body_is_as_huge_as_asked_for(client: Client, length: str) -> None:
    execution_id = client.launch()
    _set(client, "huge_body", kind="look", size_bytes=5_000_000, length=length)
    answer = client.http.get(f"{client.free}/executions/{execution_id}")
    assert len(answer.content) == 5_000_000 and answer.json()
    assert ("content-length" in answer.headers) == (length == "declared")


def test_a_lost_execution_stays_lost(client: Client) -> None:
    execution_id = client.launch()
    _set(client, "lost_execution", kind="look")
    path = f"{client.free}/executions/{execution_id}"
    assert [client.http.get(path).status_code for _ in range(2)] == [404, 404]
    assert client.sandbox.truth()["executions"][0]["is_lost"] is True


def test_a_partial_batch_lists_only_some_of_what_was_accepted(client: Client) -> None:
    _set(client, "partial_batch", kind="batch", keep=3)
    assert len(client.launch_batch(10, "low")) == 3
    assert _accepted(client) == 10


def test_a_closed_listener_refuses_and_then_opens_again_on_the_same_port(client: Client) -> None:
    _set(client, "close_listener", seconds=1.0)
    with pytest.raises(httpx.ReadError):
        _launch(client)
    with pytest.raises(httpx.ConnectError):
        for _ in range(20):
            # A connection that the system took in the instant before the port shut is reset, unread.
            with contextlib.suppress(httpx.ReadError):
                _launch(client)
    assert _accepted(client) == 0, "the control plane answers on the files port meanwhile"
    deadline = time.monotonic() + 5
    while True:
        try:
            assert _launch(client).status_code == 200
            break
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_slow_drip_takes_its_time(client: Client) -> None:
    url = client.finished("size_bytes=200")["results"][0]["url"]
    _set(client, "slow_drip", kind="file", bytes_per_s=1000)
    began = time.monotonic()
    assert len(client.outside.get(url).content) == 200
    assert time.monotonic() - began > 0.15


@pytest.mark.parametrize("fault", ["expired_url", "500", "502_html", "403_html"])
def test_a_file_can_be_refused(client: Client, fault: str) -> None:
    url = client.finished()["results"][0]["url"]
    _set(client, fault, kind="file")
    assert client.outside.get(url).status_code >= 400
    assert client.outside.get(url).status_code == 200


def test_a_file_can_be_empty_cut_or_longer_than_it_is(client: Client) -> None:
    results = client.finished("size_bytes=1000")["results"]
    url = urlsplit(results[0]["url"])
    lengths = {}
    for fault, more in (
        ("empty_file", {}),
        ("cut_body", {}),
        ("wrong_length", {}),
        ("wrong_length", {"delta_bytes": -9}),
    ):
        _set(client, fault, kind="file", **more)
        if fault == "empty_file":
            lengths[fault] = (0, len(client.outside.get(results[0]["url"]).content))
            continue
        head, _, body = _raw(client, "GET", f"{url.path}?{url.query}", port="files").partition(b"\r\n\r\n")
        declared = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        lengths[f"{fault}{more}"] = (declared, len(body))
    assert list(lengths.values()) == [(0, 0), (1000, 500), (1010, 1000), (991, 1000)]


def test_a_file_cut_off_by_rst_is_a_reset(client: Client) -> None:
    url = urlsplit(client.finished()["results"][0]["url"])
    _set(client, "reset_before", kind="file")
    with pytest.raises(ConnectionResetError):
        _raw(client, "GET", f"{url.path}?{url.query}", port="files")


def test_rules_count_the_requests_they_match(client: Client) -> None:
    client.sandbox.faults([{"fault": "503", "kind": "launch", "nth": 3}])
    assert [_launch(client).status_code for _ in range(4)] == [200, 200, 503, 200]
    client.sandbox.clear_faults()
    client.sandbox.faults([{"fault": "503", "kind": ["launch", "look"], "every": 2, "times": 1}])
    assert [_launch(client).status_code for _ in range(4)] == [200, 503, 200, 200]


def test_a_probability_follows_the_seed_and_comes_near_its_share(client: Client) -> None:
    client.sandbox.options(requests_per_minute=0)
    client.sandbox.faults([{"fault": "503", "kind": "list", "probability": 0.3}])
    statuses = [client.http.get("/workflows").status_code for _ in range(200)]
    assert 40 <= statuses.count(503) <= 80


def test_a_rule_strikes_only_the_key_the_execution_or_the_tag_it_names(client: Client) -> None:
    client.sandbox.options(keys={"sk-second": "main"})
    execution_id, other = client.launch(), client.launch()
    rules = [
        {"fault": "503", "kind": "list", "key": "sk-second"},
        {"fault": "503", "kind": "look", "execution_id": execution_id},
        {"fault": "500_after", "tag": "blue", "kind": "launch"},
    ]
    client.sandbox.faults(rules)
    assert client.http.get("/workflows").status_code == 200
    assert client.http.get("/workflows", headers={"x-api-key": "sk-second"}).status_code == 503
    assert client.http.get(f"{client.free}/executions/{execution_id}").status_code == 503
    assert client.look(other)
    assert client.launch("tag=red")
    tagged = {"input": {"sandbox": {"tag": "blue"}}}
    assert client.http.post(f"{client.free}/executions", json=tagged).status_code == 500
    client.sandbox.options(keys={"sk-second": None})


def test_a_fault_in_the_input_strikes_its_own_execution_once(client: Client) -> None:
    first = {"input": {"n": 1, "sandbox": "fault=500_after"}}
    second = {"input": {"n": 2, "sandbox": "fault=500_after; fault_times=2"}}
    path = f"{client.free}/executions"
    assert [client.http.post(path, json=first).status_code for _ in range(2)] == [500, 200]
    assert [client.http.post(path, json=second).status_code for _ in range(3)] == [500, 500, 200]
    lost = client.launch("fault=lost_execution")
    assert client.http.get(f"{path}/{lost}").status_code == 404
    url = client.finished("fault=empty_file")["results"][0]["url"]
    assert [len(client.outside.get(url).content) > 0 for _ in range(2)] == [False, True]


def test_a_hinted_item_faults_the_whole_batch_request(client: Client) -> None:
    body = {"items": [{"n": 1}, {"n": 2, "sandbox": "fault=reset_after"}], "concurrency": "low"}
    with pytest.raises(httpx.ReadError):
        client.http.post(f"{client.free}/executions/batch", json=body)
    assert _accepted(client) == 2


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"fault": "42"},
        {"fault": "500", "kind": "lunch"},
        {"fault": "500", "nth": 0},
        {"fault": "500", "often": 1},
        {"fault": "429", "retry_after_as": "weeks"},
        {"fault": "hang", "seconds": "long"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_the_reason(client: Client, rule: dict[str, Any]) -> None:
    with pytest.raises(ControlError, match="400"):
        client.sandbox.faults([rule])
    assert client.sandbox.call("GET", "/faults")["rules"] == []


def test_every_fault_is_explained(client: Client) -> None:
    assert set(client.sandbox.call("GET", "/faults")["meanings"]) == set(FAULTS)
