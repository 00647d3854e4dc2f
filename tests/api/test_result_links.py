"""URLs of stored files: good for one file and one hour without a token, and for nothing else."""

from __future__ import annotations

import base64
from datetime import timedelta

import httpx
import pytest
from starlette.requests import Request

from orchestrator.api.doors.results import absolute
from orchestrator.bootstrap import sealer
from orchestrator.client import Client
from orchestrator.engine import result_links
from orchestrator.settings import Settings
from orchestrator.storage.sealing import Sealer
from tests.api.conftest import Served, finish


@pytest.fixture(scope="module")
def run_id(served: Served, main: str, free: str) -> str:
    """A finished run with two files."""
    with Client(served.url, served.token) as client:
        run = client.runs.submit(main, free, {"sandbox": "files=2; size_bytes=2000; filename=page.html"})
        finish(served, client, run["id"])
        return run["id"]


def urls(served: Served, run_id: str) -> list[str]:
    """Return fresh URLs of the run's files."""
    headers = {"Authorization": f"Bearer {served.token}"}
    job = httpx.get(f"{served.url}/scripe/v1/jobs/{run_id}", headers=headers, trust_env=False).json()["data"]
    return [file["url"] for file in job["result"]["files"]]


def test_a_url_gives_the_file_to_be_saved_and_never_to_be_shown(served: Served, client: Client, run_id: str) -> None:
    for url, result in zip(urls(served, run_id), client.runs.get(run_id)["results"], strict=True):
        answer = httpx.get(url, trust_env=False)
        assert answer.status_code == 200
        assert len(answer.content) == result["size_bytes"]
        assert answer.headers["etag"] == f'"{result["sha256"]}"'
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment; ")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_a_url_is_over_after_its_hour(served: Served, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timedelta(hours=1) == result_links.LIFE
    monkeypatch.setattr(result_links, "LIFE", timedelta(0))
    answer = httpx.get(urls(served, run_id)[0], trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (403, "link.expired")


def test_a_url_that_was_changed_anywhere_opens_nothing(served: Served, run_id: str) -> None:
    first, second = urls(served, run_id)
    path, _, key = first.partition("?key=")
    raw = base64.urlsafe_b64decode(key)
    changed = [
        base64.urlsafe_b64encode(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]).decode() for at in range(len(raw))
    ]
    with httpx.Client(trust_env=False) as http:
        for spelled in [*changed, key[:-1], key + "A", "", "é" * 60, second.partition("?key=")[2]]:
            answer = http.get(path, params={"key": spelled})
            assert answer.status_code in (403, 422), answer.text
        for other in (first.replace(run_id, "7c9e6679-7425-40de-944b-e07fc1f90ae7"), path):
            assert http.get(other).status_code in (403, 422)


def test_a_url_of_another_installation_opens_nothing(served: Served, run_id: str) -> None:
    path, _, key = urls(served, run_id)[0].partition("?key=")
    said = base64.urlsafe_b64decode(key)[:-16]
    n = path.rsplit("/", 1)[1]
    forged = said + bytes.fromhex(Sealer(b"k" * 32).fingerprint("result link", run_id, n, said.hex()))[:16]
    answer = httpx.get(path, params={"key": base64.urlsafe_b64encode(forged).decode()}, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (403, "link.invalid")


def test_a_url_of_an_earlier_attempts_file_does_not_open_the_file_that_has_its_number_now(
    served: Served, run_id: str
) -> None:
    path, _, key = urls(served, run_id)[0].partition("?key=")
    said = base64.urlsafe_b64decode(key)[:-24] + b"\0" * 8
    mark = sealer(served.settings).fingerprint("result link", run_id, path.rsplit("/", 1)[1], said.hex())
    earlier = base64.urlsafe_b64encode(said + bytes.fromhex(mark)[:16]).decode()
    answer = httpx.get(path, params={"key": earlier}, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (404, "result_not_found")


def test_a_file_that_was_erased_is_not_there_for_whoever_holds_its_url(
    served: Served, client: Client, main: str, free: str
) -> None:
    run = client.runs.submit(main, free, {"sandbox": "files=1"})
    finish(served, client, run["id"])
    (url,) = urls(served, run["id"])
    client.runs.erase(run["id"], reason="a test")
    answer = httpx.get(url, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (404, "erased")
    assert urls(served, run["id"]) == []


def test_a_public_address_that_is_set_stands_in_the_urls() -> None:
    request = Request({"type": "http", "scheme": "http", "server": ("inside", 8700), "path": "/x", "headers": []})
    named = Settings(public_url="https://jobs.example.com/orchestrator/")
    assert absolute(request, named, "/results/1") == "https://jobs.example.com/orchestrator/results/1"
    assert absolute(request, Settings(), "/results/1") == "http://inside:8700/results/1"
