"""Reports: of a batch, of a period, of one run; written into a file and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict
from urllib.parse import quote

from orchestrator.client.errors import VerificationFailed
from orchestrator.client.received import appearing, hashed
from orchestrator.client.wire import Query, Wire

#: A report of a million runs takes minutes, and the first byte comes when it is made.
TIMEOUT_S = 660.0


class Made(TypedDict):
    """A report that was written. `adds_up`: every control total holds; of a run: every check does."""

    path: str
    size_bytes: int
    sha256: str
    adds_up: bool


class Reports:
    """What happened, counted and added up."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def batch(
        self,
        batch_id: str,
        to: Path,
        *,
        format: str = "html",
        list: str | None = None,
        tz: str | None = None,
        sum_input: str | None = None,
        sum_result: str | None = None,
    ) -> Made:
        """Report on a batch.

        Args:
            to: the file; an older one of that name is replaced.
            list: what a CSV holds.
            sum_input, sum_result: comma lists of fields, summed and compared in their order.
        """
        query: Query = {"format": format, "list": list, "tz": tz, "sum_input": sum_input, "sum_result": sum_result}
        return self._write(f"/batches/{quote(batch_id, safe='')}/report", query, to)

    def period(
        self,
        since: str,
        until: str,
        to: Path,
        *,
        workflow: str | None = None,
        format: str = "html",
        list: str | None = None,
        tz: str | None = None,
    ) -> Made:
        """Report on what was accepted from `since` on and before `until`: ISO 8601 with a zone, or dates in `tz`."""
        query: Query = {
            "from": since, "to": until, "workflow": workflow, "format": format, "list": list, "tz": tz,
        }  # fmt: skip
        return self._write("/reports/period", query, to)

    def run(
        self, run_id: str, to: Path, *, format: str = "html", list: str | None = None, tz: str | None = None
    ) -> Made:
        """Report everything about one run."""
        query: Query = {"format": format, "list": list, "tz": tz}
        return self._write(f"/runs/{quote(run_id, safe='')}/report", query, to)

    def _write(self, path: str, query: Query, to: Path) -> Made:
        with appearing(to) as file:
            with self._wire.stream(path, query, timeout_s=TIMEOUT_S) as response:
                size, found = hashed(response.iter_bytes(), file)
                promised = response.headers.get("etag", "").strip('"')
                adds_up = response.headers.get("x-adds-up") == "yes"
            if found != promised:
                raise VerificationFailed("the report came damaged: its SHA-256 is not what the server said")
        return {"path": str(to), "size_bytes": size, "sha256": promised, "adds_up": adds_up}
