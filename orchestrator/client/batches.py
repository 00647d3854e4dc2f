"""Batches: submit a file, follow it, act on what is left of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, cast
from urllib.parse import quote

from orchestrator.client.errors import Invalid
from orchestrator.client.received import Archive, received, received_zip
from orchestrator.client.runs import pages
from orchestrator.client.shapes import Batch, Erasure, Run, SubmittedBatch
from orchestrator.client.watched import Watched
from orchestrator.client.wire import Body, Wire

#: What the server takes. Checked here too: a server that refuses in the middle of a body is hard to hear.
MAX_FILE_BYTES = 64 * 1024 * 1024
#: Ten thousand rows are checked, one by one, before the answer.
SUBMIT_TIMEOUT_S = 180.0
#: Ten thousand runs are erased in one transaction, some of their files after it.
ERASE_TIMEOUT_S = 180.0
#: The first byte of a table of ten thousand runs comes when all of them were read.
RESULTS_TIMEOUT_S = 300.0

_CONTENT_TYPES = {"csv": "text/csv", "jsonl": "application/x-ndjson", "json": "application/json"}


class Batches:
    """Many runs that came together."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def submit(
        self,
        data: bytes | Path | IO[bytes],
        format: Literal["csv", "jsonl", "json"],
        *,
        connection: str,
        workflow_id: str,
        concurrency: str | None = None,
        name: str | None = None,
        external_id: str | None = None,
        external_id_column: str | None = None,
        map: Mapping[str, str] | None = None,
        wave_size: int | None = None,
        max_failures: str | None = None,
        skip_invalid: bool = False,
        dry_run: bool = False,
    ) -> SubmittedBatch:
        """Store every row of a file as a run, all or nothing (or all valid ones with `skip_invalid`).

        Args:
            map: of a CSV: a column -> the input's field that it fills; an empty field leaves the column out.
            dry_run: store nothing; return the plan, and in `preview` what the file looks like.

        Raises:
            Invalid: rows are wrong; `problems` lists each place, of a dry run `preview` too.
        """
        query: dict[str, Any] = {
            "connection": connection,
            "workflow_id": workflow_id,
            "format": format,
            "concurrency": concurrency,
            "name": name,
            "external_id": external_id,
            "external_id_column": external_id_column,
            "map": tuple(f"{column}:{field}" for column, field in (map or {}).items()),
            "wave_size": wave_size,
            "max_failures": max_failures,
            "skip_invalid": skip_invalid or None,
            "dry_run": dry_run or None,
        }
        answer = self._wire.json(
            "POST",
            "/batches",
            query=query,
            body=_body(data),
            content_type=_CONTENT_TYPES[format],
            timeout_s=SUBMIT_TIMEOUT_S,
        )
        return cast(SubmittedBatch, answer)

    def list(
        self,
        *,
        status: Sequence[str] = (),
        workflow: str | None = None,
        connection: str | None = None,
        external_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Batch]:
        """Give batches, newest first; fetches page after page as they are taken.

        Args:
            since, until: ISO 8601, by the time of creation.
        """
        query: dict[str, Any] = {
            "status": [*status],
            "workflow": workflow,
            "connection": connection,
            "external_id": external_id,
            "dateFrom": since,
            "dateTo": until,
        }
        return cast(Iterator[Batch], pages(self._wire, "/batches", query, limit))

    def get(self, batch_id: str) -> Batch:
        """Return one batch with its counts."""
        return cast(Batch, self._wire.get(_path(batch_id)))

    def watched(self, batch_id: str) -> Watched[Batch]:
        """Return something that looks at one batch again and again, and waits for its news."""
        return Watched(self._wire, _path(batch_id))

    def wait(self, batch_id: str, *, timeout_s: float | None = None) -> Batch:
        """Return a batch when it has ended, or when the time is over: `finished_at` says which.

        It waits on while only a person can move it.
        """
        return self.watched(batch_id).until_end(timeout_s=timeout_s)

    def runs(self, batch_id: str, *, status: Sequence[str] = (), limit: int | None = None) -> Iterator[Run]:
        """Give a batch's runs in input order."""
        query: dict[str, Any] = {"status": [*status]}
        return cast(Iterator[Run], pages(self._wire, f"{_path(batch_id)}/runs", query, limit))

    def results_zip(self, batch_id: str, to: Path | IO[bytes]) -> Archive:
        """Store every result of a batch in one ZIP, with `results.csv` and `manifest.json` in it.

        Args:
            to: a file, which gets its name once all of it came (an older one of that name is replaced); or a stream.

        Raises:
            VerificationFailed: what came is no whole ZIP.
        """
        with self._wire.stream(f"{_path(batch_id)}/results.zip", timeout_s=RESULTS_TIMEOUT_S) as response:
            return received_zip(response.iter_bytes(), to)

    def table(
        self, batch_id: str, to: Path | IO[bytes], *, format: Literal["csv", "jsonl"] = "csv", raw: bool = False
    ) -> int:
        """Store one table of a batch's runs: a row each, with its input's fields and those of a small JSON result.

        Args:
            to: as of a ZIP.
            raw: of a CSV: leave cells that a spreadsheet would run as a formula as they are.

        Returns:
            its size in bytes.
        """
        query: dict[str, Any] = {"raw": True} if raw else {}
        path = f"{_path(batch_id)}/results.{format}"
        with self._wire.stream(path, query, timeout_s=RESULTS_TIMEOUT_S) as response:
            return received(response.iter_bytes(), to)

    def pause(self, batch_id: str, *, reason: str | None = None) -> Batch:
        """Stop launching. What was launched is still collected."""
        return self._act(batch_id, "pause", reason)

    def resume(self, batch_id: str, *, reason: str | None = None) -> Batch:
        """Launch on."""
        return self._act(batch_id, "resume", reason)

    def cancel(self, batch_id: str, *, reason: str | None = None) -> Batch:
        """Cancel what was not launched. What was launched is still collected."""
        return self._act(batch_id, "cancel", reason)

    def retry_failed(self, batch_id: str, *, reason: str | None = None) -> Batch:
        """Queue again what ended in `error` or `cancelled`."""
        return self._act(batch_id, "retry-failed", reason)

    def erase(self, batch_id: str, *, reason: str, dry_run: bool = False) -> Erasure:
        """Erase the content of all runs of a batch for good, and its own name and external id.

        Args:
            dry_run: only return what would be erased.

        Raises:
            Conflict: some of its runs have not ended.
        """
        given = json.dumps({"reason": reason, "dry_run": dry_run}, ensure_ascii=False).encode()
        path = f"{_path(batch_id)}:erase"
        return cast(Erasure, self._wire.json("POST", path, body=given, timeout_s=ERASE_TIMEOUT_S))

    def _act(self, batch_id: str, verb: str, reason: str | None) -> Batch:
        return cast(Batch, self._wire.post(f"{_path(batch_id)}:{verb}", {} if reason is None else {"reason": reason}))


def _path(batch_id: str) -> str:
    return f"/batches/{quote(batch_id, safe='')}"


def _body(data: bytes | Path | IO[bytes]) -> Body:
    """Return a body that can be sent twice; a file is opened anew for each try, a stream is read once."""
    if isinstance(data, Path):
        path = data
        _refuse_size(path.stat().st_size)
        return lambda: path.open("rb")
    content = data if isinstance(data, bytes) else data.read(MAX_FILE_BYTES + 1)
    _refuse_size(len(content))
    return content


def _refuse_size(size_bytes: int) -> None:
    if size_bytes > MAX_FILE_BYTES:
        raise Invalid(
            f"the file has more than {MAX_FILE_BYTES:,} bytes", status=413, code="too_large", hint="Split the file."
        )
