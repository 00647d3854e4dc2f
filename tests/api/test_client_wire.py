"""The client against a server that misbehaves: what it sends again, what it never sends again, what it verifies."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client import (
    Client,
    Conflict,
    Invalid,
    NotConfigured,
    RateLimited,
    ServerError,
    ServerUnavailable,
    Unreachable,
    VerificationFailed,
    discover,
    wire,
)

RUN = json.dumps({"id": "r", "status": "queued"}).encode()


class Scripted:
    """A server that answers from a list: (status, headers, body), or None to hang up without a word.

    After an answer with a header `Stalls` it is silent, with the connection open, until the client goes away.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes] | None] = []
        self.pause_s = 0.0
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                script.seen.append((self.command, self.path, headers, self.rfile.read(length)))
                given = script.answers.pop(0)
                time.sleep(script.pause_s)
                self.close_connection = True
                if given is None:
                    return
                status, extra, body = given
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body)), "Connection": "close"} | extra).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if "Stalls" in extra:
                    self.rfile.read(1)

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def problem(self, status: int, code: str, **headers: str) -> None:
        body = json.dumps({"code": code, "detail": "so it is", "hint": "do this", "request_id": "q", "errors": []})
        self.answers.append((status, headers, body.encode()))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(wire, "FIRST_PAUSE_S", 0.01)
    scripted = Scripted()
    yield scripted
    scripted.close()


@pytest.fixture
def client(server: Scripted) -> Iterator[Client]:
    with Client(server.url, "t", timeout_s=1) as made:
        yield made


def test_a_post_without_an_answer_is_sent_again_under_its_key(server: Scripted, client: Client) -> None:
    server.answers = [None, None, (201, {}, RUN)]
    assert client.runs.submit("c", "w", {"n": 1})["id"] == "r"
    keys = [headers["idempotency-key"] for _, _, headers, _ in server.seen]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len({body for *_, body in server.seen}) == 1


def test_two_posts_have_two_keys(server: Scripted, client: Client) -> None:
    server.answers = [(201, {}, RUN), (201, {}, RUN)]
    client.runs.submit("c", "w", {})
    client.runs.submit("c", "w", {})
    assert len({headers["idempotency-key"] for _, _, headers, _ in server.seen}) == 2


def test_a_file_is_sent_again_whole(server: Scripted, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"a\n" + b"1\n" * 50_000)
    server.answers = [None, (201, {}, b"{}")]
    client.batches.submit(file, "csv", connection="c", workflow_id="w", skip_invalid=True)
    assert [body for *_, body in server.seen] == [file.read_bytes()] * 2
    assert "skip_invalid=true" in server.seen[0][1]
    assert "dry_run" not in server.seen[0][1]


def test_a_change_without_an_answer_is_not_sent_again(server: Scripted, client: Client) -> None:
    server.answers = [None]
    with pytest.raises(Unreachable) as failed:
        client.connections.set("c", max_concurrent=1)
    assert failed.value.status == 0
    assert len(server.seen) == 1


def test_unavailable_is_asked_three_times_and_then_told(server: Scripted, client: Client) -> None:
    for _ in range(3):
        server.problem(503, "database_unavailable")
    with pytest.raises(ServerUnavailable) as failed:
        client.runs.get("r")
    assert (failed.value.code, failed.value.hint, failed.value.request_id) == ("database_unavailable", "do this", "q")
    assert len(server.seen) == 3


def test_a_server_that_asks_for_much_patience_is_not_asked_again(server: Scripted, client: Client) -> None:
    server.problem(503, "schema_unavailable", **{"Retry-After": "30"})
    with pytest.raises(ServerUnavailable) as failed:
        client.runs.get("r")
    assert failed.value.retry_after_s == 30
    assert len(server.seen) == 1


def test_retry_after_is_waited_for(server: Scripted, client: Client) -> None:
    server.problem(503, "busy", **{"Retry-After": "1"})
    server.answers.append((200, {}, RUN))
    started = time.monotonic()
    client.runs.get("r")
    assert time.monotonic() - started >= 1


def test_ones_own_first_try_still_at_work_is_waited_for(server: Scripted, client: Client) -> None:
    for _ in range(5):
        server.problem(409, "idempotency.in_progress")
    server.answers.append((201, {"Idempotent-Replayed": "true"}, RUN))
    assert client.runs.submit("c", "w", {})["id"] == "r"


@pytest.mark.parametrize(
    ("status", "kind"), [(409, Conflict), (413, Invalid), (429, RateLimited), (500, ServerError), (502, ServerError)]
)
def test_a_refusal_is_told_at_once(server: Scripted, client: Client, status: int, kind: type[Exception]) -> None:
    server.problem(status, "some.code", **{"Retry-After": "7"})
    with pytest.raises(kind) as refused:
        client.runs.submit("c", "w", {})
    assert (refused.value.code, refused.value.retry_after_s) == ("some.code", 7)  # type: ignore[attr-defined]
    assert len(server.seen) == 1


def test_an_answer_of_somebody_else_is_said_to_be_foreign(server: Scripted, client: Client) -> None:
    server.answers = [(404, {}, b"<html>nginx</html>"), (200, {}, b"<html>welcome</html>")]
    for _ in range(2):
        with pytest.raises(Exception, match="not as our API answers"):
            client.runs.get("r")


def test_nobody_there_is_unreachable() -> None:
    with Client("http://127.0.0.1:9", "t") as client, pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        client.system.health()


def _file(content: bytes, digest_of: bytes) -> tuple[int, dict[str, str], bytes]:
    digest = b64encode(hashlib.sha256(digest_of).digest()).decode()
    return 200, {"Repr-Digest": f"sha-256=:{digest}:"}, content


def test_a_download_that_is_not_what_was_stored_leaves_nothing(
    server: Scripted, client: Client, tmp_path: Path
) -> None:
    server.answers = [_file(b"damaged", b"good")]
    with pytest.raises(VerificationFailed):
        client.runs.download("r", 1, tmp_path / "f")
    server.answers = [_file(b"good", b"good")]
    with pytest.raises(VerificationFailed):
        client.runs.download("r", 1, tmp_path / "f", sha256=hashlib.sha256(b"other").hexdigest())
    server.answers = [(200, {"Content-Length": "100"}, b"half")]
    with pytest.raises(Unreachable):
        client.runs.download("r", 1, tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_a_good_download_replaces_an_older_file(server: Scripted, client: Client, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    server.answers = [_file(b"good", b"good")]
    assert client.runs.download("r", 1, tmp_path / "f")["size_bytes"] == 4
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("f", b"good")]


def test_a_list_is_fetched_no_further_than_it_is_taken(server: Scripted, client: Client) -> None:
    def page(names: str, cursor: str | None) -> tuple[int, dict[str, str], bytes]:
        body = {"data": [{"id": n} for n in names], "pagination": {"next_cursor": cursor, "has_more": bool(cursor)}}
        return 200, {}, json.dumps(body).encode()

    server.answers = [page("ab", "x"), page("cd", "y")]
    assert [
        run["id"] for run in client.runs.list(labels={"a": "1,2", "b": "3"}, status=["error", "queued"], limit=3)
    ] == [*"abc"]
    assert [path.partition("?")[2] for _, path, _, _ in server.seen] == [
        "status=error%2Cqueued&label=a%3D1%2C2&label=b%3D3&limit=3",
        "status=error%2Cqueued&label=a%3D1%2C2&label=b%3D3&cursor=x&limit=1",
    ]


def test_a_token_that_is_none_is_not_put_into_a_header_or_a_message() -> None:
    with pytest.raises(NotConfigured) as refused:
        Client("http://127.0.0.1:9", "secret\n")
    assert "secret" not in str(refused.value)
    with pytest.raises(NotConfigured):
        Client("localhost:8700", "t")


def test_the_environment_names_the_server_before_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ORCH_URL", "ORCH_TOKEN", "ORCH_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotConfigured, match=r"client\.json") as nowhere:
        discover()
    assert "orchestrator up" in (nowhere.value.hint or "")
    folder = tmp_path / ".orchestrator"
    folder.mkdir()
    (folder / "client.json").write_text('{"url": "http://127.0.0.1:1111", "token": "from-file"}')
    assert _known(discover()) == ("http://127.0.0.1:1111", "Bearer from-file")
    monkeypatch.setenv("ORCH_URL", "http://127.0.0.1:2222")
    with pytest.raises(NotConfigured, match="ORCH_TOKEN"):
        discover()
    monkeypatch.setenv("ORCH_TOKEN", "from-env")
    assert _known(discover()) == ("http://127.0.0.1:2222", "Bearer from-env")
    monkeypatch.delenv("ORCH_URL")
    assert _known(discover()) == ("http://127.0.0.1:1111", "Bearer from-env")
    (folder / "client.json").write_text("{")
    with pytest.raises(NotConfigured, match="cannot be used"):
        discover()


def test_the_client_imports_nothing_of_the_server_and_no_httpx() -> None:
    script = "import sys, orchestrator.client; print(*sorted(m for m in sys.modules if '.' not in m))"
    script += ";print(*sorted(m for m in sys.modules if m.startswith('orchestrator.')))"
    lines = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert not {"httpx", "fastapi", "sqlalchemy", "celery", "pydantic", "structlog", "ssl"} & set(lines[0].split())
    assert all(name.startswith("orchestrator.client") for name in lines[1].split())


def _known(client: Client) -> tuple[str, str]:
    with client:
        return client.url, client._wire._http.headers["authorization"]
