"""Result files: known bytes, another origin, and URLs that truly die."""

import hashlib
import json
from urllib.parse import urlsplit

import pytest

from tests.sandbox.conftest import Client


@pytest.mark.parametrize(
    ("hints", "sizes"),
    [
        ("", [None]),
        ("files=3; size_bytes=1000", [1000] * 3),
        ("size_bytes=3000001", [3_000_001]),
        ("size_bytes=0", [0]),
        ("filename=a.bin; size_bytes=70000", [70_000]),
    ],
)
def test_the_bytes_served_are_those_of_the_truth(client: Client, hints: str, sizes: list[int | None]) -> None:
    results = client.finished(hints)["results"]
    [execution] = client.sandbox.truth()["executions"]
    assert len(results) == len(execution["files"]) == len(sizes)
    for row, known, size in zip(results, execution["files"], sizes, strict=True):
        served = client.outside.get(row["url"])
        assert served.status_code == 200 and row["filename"] == known["filename"]
        assert int(served.headers["content-length"]) == len(served.content) == known["size_bytes"]
        assert size in (None, len(served.content))
        assert hashlib.sha256(served.content).hexdigest() == known["sha256"]
        if row["filename"].endswith(".json") and served.content:
            assert json.loads(served.content)["execution_id"] == execution["id"]


def test_several_files_have_several_names_and_a_hinted_name_is_kept_as_it_is(client: Client) -> None:
    names = [row["filename"] for row in client.finished("files=3")["results"]]
    assert names == ["result.json", "result-2.json", "result-3.json"]
    odd = client.finished("files=2; filename=../../etc/passwd")["results"]
    assert [row["filename"] for row in odd] == ["../../etc/passwd"] * 2
    assert ".." not in odd[0]["url"]


def test_finished_can_mean_no_results_at_all(client: Client) -> None:
    assert client.finished("empty_results=true")["results"] == []
    document = client.finished("empty_results=null")
    assert (document["status"], document["results"]) == ("finished", None)


def test_the_sample_with_large_files_yields_three(client: Client) -> None:
    path = f"/workflows/{client.sandbox.workflows['Render report']}/executions"
    execution_id = client.http.post(path, json={"input": {"sandbox": "duration_s=1"}}).json()["execution_id"]
    client.sandbox.advance(1)
    results = client.http.get(f"{path}/{execution_id}").json()["results"]
    assert [row["filename"] for row in results] == ["report.json", "report-2.json", "report-3.json"]
    assert len(client.outside.get(results[2]["url"]).content) == 3_000_000


def test_the_files_live_at_another_origin_than_the_api(client: Client) -> None:
    assert urlsplit(client.finished()["results"][0]["url"]).netloc != urlsplit(client.sandbox.api_url).netloc


def test_a_url_dies_an_hour_after_the_look_that_minted_it(client: Client) -> None:
    url = client.finished()["results"][0]["url"]
    client.sandbox.advance(3599)
    assert client.outside.get(url).status_code == 200
    client.sandbox.advance(1)
    dead = client.outside.get(url)
    assert dead.status_code == 403
    assert "<Code>AccessDenied</Code>" in dead.text and "Request has expired" in dead.text
    [execution] = client.sandbox.truth()["executions"]
    fresh = client.look(execution["id"])["results"][0]["url"]
    assert fresh != url and client.outside.get(fresh).status_code == 200


def test_a_url_whose_hour_began_at_the_end_cannot_be_had_anew(client: Client) -> None:
    client.sandbox.options(url_hour="end")
    execution_id = client.launch("duration_s=1")
    client.sandbox.advance(3000)
    url = client.look(execution_id)["results"][0]["url"]
    client.sandbox.advance(600)
    assert client.outside.get(url).status_code == 200
    client.sandbox.advance(1)
    assert client.look(execution_id)["results"][0]["url"] == url
    assert client.outside.get(url).status_code == 403


def test_a_url_that_was_tampered_with_opens_nothing(client: Client) -> None:
    url = client.finished()["results"][0]["url"]
    assert client.outside.get(url.replace("expires=1", "expires=2")).status_code == 403
    assert client.outside.get(url.replace("token=", "token=a")).status_code == 403
    assert client.outside.get(url.partition("?")[0]).status_code == 403
    assert client.outside.get(url.replace("/0?", "/1?")).status_code == 404


def test_a_key_sent_to_the_files_is_found_in_the_log(client: Client) -> None:
    url = client.finished()["results"][0]["url"]
    client.outside.get(url)
    client.outside.get(url, headers={"x-api-key": "sk-sandbox"})
    client.outside.get(url, headers={"authorization": "Bearer x"})
    files = [entry for entry in client.sandbox.log() if entry["port"] == "files"]
    assert [entry["key_sent_to_files"] for entry in files] == [False, True, True]
