"""The truth, the log, the clock, the options and the console."""

import hashlib
import json
from typing import Any

import pytest

from sandbox.control import ControlError
from tests.sandbox.conftest import Client


def test_the_truth_tells_every_execution_and_which_inputs_ran_twice(client: Client) -> None:
    client.launch("duration_s=5", n=1)
    client.launch("duration_s=5", n=2)
    client.launch("duration_s=5", n=1)
    client.sandbox.advance(5)
    truth = client.sandbox.truth()
    assert [one["input"]["n"] for one in truth["executions"]] == [1, 2, 1]
    first = truth["executions"][0]
    canonical = json.dumps(first["input"], sort_keys=True, separators=(",", ":")).encode()
    assert first["input_sha256"] == hashlib.sha256(canonical).hexdigest()
    assert (first["key"], first["status"], first["index"]) == ("sk-sandbox", "finished", None)
    assert first["created_at"] == first["started_at"] < first["ended_at"]
    summary = truth["summary"]
    assert (summary["launches"], summary["executions"], summary["by_status"]) == (3, 3, {"finished": 3})
    [twice] = summary["inputs_executed_twice"]
    assert twice["times"] == 2 and twice["input_sha256"] == first["input_sha256"]
    assert twice["execution_ids"] == [truth["executions"][0]["id"], truth["executions"][2]["id"]]


def test_the_order_of_an_inputs_fields_does_not_make_it_another_input(client: Client) -> None:
    for text in ('{"input": {"a": 1, "b": 2}}', '{"input":{"b":2,"a":1}}'):
        client.http.post(f"{client.free}/executions", content=text)
    assert len(client.sandbox.truth()["summary"]["inputs_executed_twice"]) == 1


def test_the_truth_can_be_asked_for_one_workflow(client: Client) -> None:
    client.launch()
    client.http.post(f"{client.scoring}/executions", json={"input": {"customer_id": "a"}})
    workflow_id = client.scoring.rpartition("/")[2]
    truth = client.sandbox.truth(workflow=workflow_id)
    assert [one["workflow_id"] for one in truth["executions"]] == [workflow_id]
    assert truth["summary"]["executions"] == 1


def test_the_log_holds_every_request_with_what_it_did(client: Client) -> None:
    body = json.dumps({"input": {"a": 1}}).encode()
    created = client.http.post(f"{client.free}/executions", content=body).json()["execution_id"]
    client.http.get("/workflows?limit=1", headers={"x-api-key": "sk-wrong"})
    first, second = client.sandbox.log()
    assert (first["method"], first["path"], first["kind"]) == ("POST", f"/api/v1{client.free}/executions", "launch")
    assert (first["key"], first["status"], first["fault"]) == ("sk-sandbox", 200, None)
    assert first["body_sha256"] == hashlib.sha256(body).hexdigest() and first["bytes"] == len(body)
    assert first["execution_ids"] == [created]
    assert (second["key"], second["status"], second["path"]) == (None, 401, "/api/v1/workflows?limit=1")
    assert second["seq"] == first["seq"] + 1 and second["connection_id"] == first["connection_id"]
    assert client.sandbox.log(since=first["seq"]) == [second]
    assert client.sandbox.log(since=second["seq"]) == []


def test_the_clock_jumps_and_runs_as_it_is_told(client: Client) -> None:
    before = client.sandbox.now_s()
    client.sandbox.advance(3600)
    assert client.sandbox.now_s() == pytest.approx(before + 3600)
    client.sandbox.set_scale(1_000_000)
    client.sandbox.set_scale(0)
    assert client.sandbox.now_s() > before + 3600


@pytest.mark.parametrize("document", [{}, {"advance_s": -1}, {"advance_s": "1"}, {"scale": -1}, {"back": 1}, [1]])
def test_the_clock_refuses_nonsense(client: Client, document: Any) -> None:
    with pytest.raises(ControlError, match="400"):
        client.sandbox.call("POST", "/clock", document)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_oder": "index"},
        {"batch_order": "sideways"},
        {"refused_count": 1},
        {"error_share": 1.5},
        {"requests_per_minute": -1},
        {"requests_per_minute": 1.5},
        {"human_holds_slot": "yes"},
        {"keys": []},
    ],
)
def test_an_option_that_makes_no_sense_is_refused_and_changes_nothing(client: Client, change: dict[str, Any]) -> None:
    before = client.sandbox.options()
    with pytest.raises(ControlError, match="400"):
        client.sandbox.options(**{"duration_s": 99, **change})
    assert client.sandbox.options() == before


def test_a_misspelt_option_is_met_with_the_nearest_one(client: Client) -> None:
    with pytest.raises(ControlError, match="did you mean 'batch_order'"):
        client.sandbox.options(batch_oder="index")


def test_shares_of_errors_and_people_come_out_as_asked(client: Client) -> None:
    client.sandbox.options(error_share=0.3, human_share=0.2, human_holds_slot=False)
    client.launch_batch(200, "high", hints="duration_s=1")
    client.sandbox.advance(300)
    counts = client.sandbox.truth()["summary"]["by_status"]
    assert 40 <= counts["error"] <= 80 and 25 <= counts["human_in_the_loop"] <= 55
    assert sum(counts.values()) == 200


def test_a_waiting_execution_is_approved_or_rejected_behind_the_api(client: Client) -> None:
    yes, no = (client.launch("outcome=human_in_the_loop; duration_s=2") for _ in range(2))
    client.sandbox.advance(1)
    waiting = client.sandbox.executions(status="human_in_the_loop")
    assert [one["id"] for one in waiting] == [yes, no]
    assert client.look(yes)["status"] == "human_in_the_loop"
    client.sandbox.approve(yes)
    client.sandbox.reject(no)
    client.sandbox.advance(1)
    assert [client.look(one)["status"] for one in (yes, no)] == ["finished", "error"]
    with pytest.raises(ControlError, match="409"):
        client.sandbox.approve(yes)


def test_the_console_shows_an_execution_escaped_and_takes_the_decision(client: Client) -> None:
    execution_id = client.launch("outcome=human_in_the_loop; duration_s=2", note="<script>alert(1)</script>")
    client.sandbox.advance(1)
    workflow_id = client.free.rpartition("/")[2]
    url = client.sandbox.console_url.format(workflow_id=workflow_id, execution_id=execution_id)
    page = client.outside.get(url).text
    assert "&lt;script&gt;" in page and "<script" not in page and "Approve" in page
    decided = client.outside.post(url, data={"decision": "approve"}, follow_redirects=True)
    assert decided.status_code == 200 and "processing" in decided.text and "<form" not in decided.text
    assert client.outside.post(url, data={"decision": "approve"}).status_code == 409
    assert client.outside.get(f"{url}x").status_code == 404


def test_a_reset_forgets_what_happened_and_keeps_the_options(client: Client) -> None:
    client.sandbox.options(duration_s=3)
    execution_id = client.launch()
    client.sandbox.faults([{"fault": "503"}])
    client.sandbox.reset()
    assert client.http.get(f"{client.free}/executions/{execution_id}").status_code == 404
    assert client.sandbox.truth()["summary"]["executions"] == 0
    assert len(client.sandbox.log()) == 1
    assert client.sandbox.options()["duration_s"] == 3


def test_a_workflow_can_be_added_with_a_schema_of_its_own(client: Client) -> None:
    schema = {"type": "object", "required": ["x"]}
    workflow_id = client.sandbox.add_workflow(name="Mine", input_schema=schema, duration_s=1, duration_sigma=0)
    assert client.http.get(f"/workflows/{workflow_id}").json()["input_schema"] == schema
    path = f"/workflows/{workflow_id}/executions"
    assert client.http.post(path, json={"input": {}}).status_code == 400
    assert client.http.post(path, json={"input": {"x": 1}}).status_code == 200
    for wrong in ({"name": ""}, {"name": "x", "input_schema": {"type": 7}}, {"name": "x", "colour": "red"}):
        with pytest.raises(ControlError, match="400"):
            client.sandbox.add_workflow(**wrong)


def test_the_doors_are_listed_where_one_would_look(client: Client) -> None:
    assert "GET /truth" in client.sandbox.call("GET", "")
    with pytest.raises(ControlError, match="404"):
        client.sandbox.call("GET", "/nowhere")
