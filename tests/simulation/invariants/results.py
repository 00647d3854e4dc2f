"""Results: whole and equal to the provider's truth, stored before they die, or said to be lost."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from orchestrator.domain.statuses import RunStatus as S
from sandbox.executions import Execution, Status
from tests.simulation.invariants.view import Row, View

_KEY = re.compile(r"[0-9a-f-]{36}/[0-9a-f-]{36}/[0-9]{1,9}/[0-9]{1,9}\.[0-9]{1,19}")

#: So many failed requests for a file, or looks at its execution, before it may be given up.
FEWEST_FAILURES = 5

#: Our texts that outsiders' words could find a way into.
TEXTS = """
    SELECT 'event' AS place, type || data AS said FROM events UNION ALL
    SELECT 'intent', detail FROM intents WHERE detail IS NOT NULL UNION ALL
    SELECT 'artifact', failure FROM artifacts WHERE failure IS NOT NULL UNION ALL
    SELECT 'run', error_message FROM runs WHERE error_message IS NOT NULL UNION ALL
    SELECT 'inbox', title || COALESCE(link, '') FROM inbox"""


def results_complete_and_equal(view: View) -> Iterator[str]:
    """A finished run has every file that the provider made, of equal size and hash; its bytes are in the store."""
    for run in view.runs:
        if run.status != S.FINISHED:
            continue
        there = _execution(view, run)
        if there is None:
            yield f"run {run.id}: finished, and its execution {run.execution_id} never was"
            continue
        if there.status is not Status.FINISHED:
            yield f"run {run.id}: finished, and its execution {there.id} is {there.status}"
        files = [one for one in view.artifacts.get(run.id, ()) if one.attempt == run.attempt]
        had = Counter((one.filename, one.size_bytes, one.sha256 and bytes(one.sha256).hex()) for one in files)
        truth = Counter((one["filename"], one["size_bytes"], one["sha256"]) for one in view.service.files.truth(there))
        if had != truth:
            yield f"run {run.id}: has {sorted(had - truth)} too much, lacks {sorted(truth - had)}"


def stored_is_stored(view: View) -> Iterator[str]:
    """Every file that a row calls stored is in the store, byte for byte, under an inert key; its URL is forgotten."""
    for file in (file for files in view.artifacts.values() for file in files if file.stored_at is not None):
        where = f"run {file.run_id}, file {file.n}"
        body = view.evidence.store.files.get(file.store_key)
        if body is None:
            yield f"{where}: the store has nothing under {file.store_key}"
        elif len(body) != file.size_bytes or hashlib.sha256(body).digest() != bytes(file.sha256):
            yield f"{where}: the store has other bytes"
        if not _KEY.fullmatch(file.store_key):
            yield f"{where}: {file.store_key} is no key of ours"
        if file.url is not None:
            yield f"{where}: its URL, a credential, is still kept"


def written_once(view: View) -> Iterator[str]:
    """What lies under a key of the store never changes."""
    for key in view.evidence.store.overwritten:
        yield f"{key} was replaced by other bytes"


def no_url_dies_unread_silently(view: View) -> Iterator[str]:
    """Where a file was not stored and its URL has died, the run does not say that it is well, nor forget about it."""
    for run in view.runs:
        unread = [
            file.n
            for file in view.artifacts.get(run.id, ())
            if file.attempt == run.attempt and file.stored_at is None and file.url_expires_at <= view.now
        ]
        if unread and run.status not in (S.RESULT_LOST, S.DOWNLOADING, S.ABANDONED):
            yield f"run {run.id}: it is {run.status}, and the URLs of {unread} died unread"


def lost_only_when_hopeless(view: View) -> Iterator[str]:
    """A run is `result_lost` only where the provider really withheld its result, again and again."""
    lost = [run for run in view.runs if run.status == S.RESULT_LOST]
    if not lost:
        return
    failures = _failures(view)
    for run in lost:
        there = _execution(view, run)
        if there is not None and not there.is_lost and failures[there.id] < FEWEST_FAILURES:
            yield f"run {run.id}: result_lost after {failures[there.id]} failed requests"


def no_credentials_to_file_hosts(view: View) -> Iterator[str]:
    """No request to a file's host carries a key, a cookie or an authorization."""
    log = view.service.log
    for entry in log.since(0, limit=log.last_seq):
        if entry.port == "files" and entry.carries_credentials:
            yield f"request {entry.seq}: credentials went to {entry.path.partition('?')[0]}"


def no_secret_is_told(view: View) -> Iterator[str]:
    """Neither a key nor a presigned URL stands in a text that people read."""
    secrets = [key.secret for key in view.service.live.current.keys]
    for row in view.rows(TEXTS):
        if any(secret in row.said for secret in secrets) or "token=" in row.said:
            yield f"{row.place}: a secret stands in {row.said[:40]!r}…"


def _execution(view: View, run: Row) -> Execution | None:
    _ = view.there  # brings the provider up to now
    return view.service.world.executions.get(run.execution_id or "")


def _failures(view: View) -> Counter[str]:
    """Count what failed for each execution: looks and files that were answered badly or not, or not reached."""
    failed: Counter[str] = Counter()
    log = view.service.log
    for entry in log.since(0, limit=log.last_seq):
        if entry.status != 200 or entry.fault is not None:
            failed[_id_in(entry.path)] += 1
    broken: Any = (one for one in view.evidence.exchanges if one.fault or one.answer_fault)
    for one in broken:
        failed[_id_in(one.target)] += 1
    return failed


def _id_in(path: str) -> str:
    parts = path.partition("?")[0].split("/")
    return parts[2] if path.startswith("/results/") and len(parts) > 2 else parts[-1]
