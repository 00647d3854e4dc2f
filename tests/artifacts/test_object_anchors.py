"""Checkpoints in a bucket: one object each, never overwritten, the newest found at once, over HTTP as S3 speaks it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID
from xml.sax.saxutils import escape

import pytest

from orchestrator.artifacts.anchors import FolderAnchors, StdoutAnchors, anchors_at
from orchestrator.artifacts.object_anchors import ObjectAnchors
from orchestrator.domain.audit_export import anchor_line
from orchestrator.errors import Misconfigured, Unavailable
from tests.audit.worlds import make_world

pytestmark = pytest.mark.anyio

WORKSPACE = UUID(int=7)
LINES = [anchor_line(each).encode() for each in make_world(1).checkpoints]


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as anchors need: put where there is nothing, get, list in pages."""

    objects: dict[str, bytes]
    asked: list[tuple[str, str]]
    page: int
    is_away = False

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        key = self._key()
        if self.headers.get("if-none-match") == "*" and key in self.objects:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self.objects[key] = body
            self._answer(200)

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._list(query)
        else:
            found = self.objects.get(self._key())
            self._answer(404 if found is None else 200, found or b"<Error><Code>NoSuchKey</Code></Error>")

    def _list(self, query: dict[str, list[str]]) -> None:
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        keys = sorted(key for key in self.objects if key.startswith(query["prefix"][0]) and key > after)
        most = min(self.page, int(query.get("max-keys", ["1000"])[0]))
        more = len(keys) > most
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-20T03:00:00.000Z</LastModified>"
            f"<ETag>x</ETag><Size>{len(self.objects[key])}</Size></Contents>"
            for key in keys[:most]
        )
        token = f"<NextContinuationToken>{escape(keys[most - 1])}</NextContinuationToken>" if more else ""
        cut = str(more).lower()
        self._answer(
            200, f"<ListBucketResult><IsTruncated>{cut}</IsTruncated>{token}{items}</ListBucketResult>".encode()
        )

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/vault/")

    def _answer(self, status: int, body: bytes = b"") -> None:
        if self.is_away:
            status, body = 403, b"<Error><Code>AccessDenied</Code></Error>"
        self.asked.append((self.command, self.path))
        assert "AWS4-HMAC-SHA256 Credential=AKIDTEST/" in self.headers["authorization"]
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", "x")
        self.send_header("last-modified", "Fri, 20 Nov 2026 03:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    """A bucket `vault` on a port of its own, and the variables that lead to it."""
    handler = type("Handler", (Bucket,), {"objects": {}, "asked": [], "page": 2})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDTEST",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    yield handler
    server.shutdown()
    server.server_close()


def anchors() -> ObjectAnchors:
    found = anchors_at("s3://vault/history/here", default=Path("unused"))
    assert isinstance(found, ObjectAnchors)
    return found


async def test_each_checkpoint_is_an_object_and_the_newest_is_found_at_once(bucket: type[Bucket]) -> None:
    assert await anchors().last(WORKSPACE) is None
    await anchors().append(WORKSPACE, LINES[:3], anew=False)
    await anchors().append(WORKSPACE, LINES[3:5], anew=False)
    assert len(bucket.objects) == 5
    assert all(key.startswith(f"history/here/{WORKSPACE}/9999/") for key in bucket.objects)
    bucket.asked.clear()
    assert await anchors().last(WORKSPACE) == LINES[4]
    assert [method for method, _ in bucket.asked] == ["GET", "GET"], "one page of the list, and the object"
    kept = anchors().lines(WORKSPACE)
    await anchors().append(WORKSPACE, LINES[5:6], anew=False)
    assert list(kept) == LINES[:5], "as it was when it was asked"
    assert await anchors().last(UUID(int=8)) is None
    assert anchors().place == "s3://vault/history/here"


async def test_what_is_there_is_never_overwritten(bucket: type[Bucket]) -> None:
    await anchors().append(WORKSPACE, LINES[:2], anew=False)
    await anchors().append(WORKSPACE, LINES[:2], anew=False)  # the answer to the first try was lost
    name = next(iter(bucket.objects))
    bucket.objects[name] = b"another\n"
    with pytest.raises(Unavailable, match="holds another checkpoint"):
        await anchors().append(WORKSPACE, LINES[:2], anew=False)
    assert bucket.objects[name] == b"another\n"


async def test_a_history_that_diverged_goes_beside_the_old_one(bucket: type[Bucket]) -> None:
    await anchors().append(WORKSPACE, LINES[:4], anew=False)
    await anchors().append(WORKSPACE, LINES[:1], anew=True)
    await anchors().append(WORKSPACE, LINES[1:2], anew=False)
    assert await anchors().last(WORKSPACE) == LINES[1]
    assert list(anchors().lines(WORKSPACE)) == [*LINES[:4], *LINES[:2]]


async def test_a_bucket_that_refuses_is_away(bucket: type[Bucket]) -> None:
    bucket.is_away = True
    with pytest.raises(Unavailable) as refused:
        await anchors().append(WORKSPACE, LINES[:1], anew=False)
    assert refused.value.code == "anchors_away"
    with pytest.raises(Unavailable):
        await anchors().last(WORKSPACE)


@pytest.mark.parametrize("setting", ["gs://bucket/x", "http://host/x", "s3://", "s3:///x", "S4://b", "s3://a b/c"])
def test_a_place_that_is_not_known_is_refused_by_name(setting: str) -> None:
    with pytest.raises(Misconfigured, match="ORCH_ANCHORS names no place"):
        anchors_at(setting, default=Path("unused"))


def test_folders_and_stdout_are_as_they_were(tmp_path: Path) -> None:
    assert isinstance(anchors_at(None, default=tmp_path), FolderAnchors)
    assert isinstance(anchors_at(str(tmp_path), default=Path("unused")), FolderAnchors)
    assert isinstance(anchors_at("stdout", default=tmp_path), StdoutAnchors)
