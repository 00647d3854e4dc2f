"""What the demo came to, checked against the stand-in's own records, not against ours."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.cli.results import Fetched
from orchestrator.domain.result_files import folder_name

MAX_REQUESTS_IN_60_S = 100
#: Our words, and the stand-in's for the same.
SAME_ENDING = {"finished": "finished", "error": "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The findings. `faults` is empty when everything adds up."""

    total: int
    accounted: int
    launched_twice: int
    by_status: Mapping[str, int]
    errors: Sequence[tuple[str, str]]
    most_in_60_s: int
    refused_by_rate: int
    requests: int
    most_at_once: int
    files: int
    size_bytes: int
    faults: Sequence[str]


def audit(
    *,
    file: bytes,
    runs: Sequence[Mapping[str, Any]],
    truth: Mapping[str, Any],
    limits: Mapping[str, Any],
    fetched: Fetched,
    folder: Path,
) -> Audit:
    """Compare each row of the file with our run and with what the stand-in really did."""
    customers = [row["customer_id"] for row in csv.DictReader(io.StringIO(file.decode()))]
    executions: dict[str, list[Mapping[str, Any]]] = {}
    for execution in truth["executions"]:
        executions.setdefault(execution["input"]["customer_id"], []).append(execution)
    faults = list(fetched.broken)
    accounted = 0
    for run in runs:
        customer = customers[run["index"]]
        found = _faults_of(customer, run, executions.get(customer, []), folder)
        faults += found
        accounted += not found
    if len(runs) != len(customers):
        faults.append(f"{len(customers)} rows in the file, {len(runs)} runs")
    key = next(iter(limits["keys"].values()))
    if key["max_in_60_s"] > MAX_REQUESTS_IN_60_S:
        faults.append(f"{key['max_in_60_s']} requests arrived in 60 s; the limit is {MAX_REQUESTS_IN_60_S}")
    return Audit(
        total=len(customers),
        accounted=accounted,
        launched_twice=len(truth["summary"]["inputs_executed_twice"]),
        by_status=Counter(str(run["status"]) for run in runs),
        errors=[(customers[run["index"]], run["error"]["message"]) for run in runs if run.get("error")],
        most_in_60_s=key["max_in_60_s"],
        refused_by_rate=key["refused_by_rate"],
        requests=key["requests"],
        most_at_once=max((workflow["max_concurrent"] for workflow in limits["workflows"]), default=0),
        files=fetched.files,
        size_bytes=fetched.size_bytes,
        faults=faults,
    )


def _faults_of(
    customer: str, run: Mapping[str, Any], executions: Sequence[Mapping[str, Any]], folder: Path
) -> list[str]:
    """Return what does not add up for one row."""
    if len(executions) != 1:
        return [f"{customer}: the remote service executed it {len(executions)} times"]
    execution = executions[0]
    if SAME_ENDING.get(str(run["status"])) != execution["status"]:
        return [f"{customer}: we say {run['status']}, the remote service {execution['status']}"]
    if run["status"] != "finished":
        return []
    true_files = sorted(file["sha256"] for file in execution["files"])
    stored = [path for path in (folder / folder_name(run)).glob("*") if path.is_file()]
    if sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in stored) != true_files:
        return [f"{customer}: the stored files are not those that the remote service made"]
    return []
