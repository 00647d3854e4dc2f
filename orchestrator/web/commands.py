"""The same by other means: what a page shows or does, as the command line, curl and Python say it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

Commands = Mapping[str, str]

#: What the command line's list takes; a list by other filters is not said as a command that would not work.
_OPTIONS = {"status": "status", "batch": "batch", "workflow": "workflow", "connection": "connection"}
_OPTIONS |= {"dateFrom": "since", "external_id": "external-id", "label": "label"}
_ARGUMENTS = {"dateFrom": "since", "dateTo": "until", "error_code": "error_codes"}


def list_runs(base_url: str, params: QueryParams) -> Commands:
    """Say a list of runs."""
    pairs = [(name, value) for name, value in params.multi_items() if name not in ("cursor", "limit")]
    query = f"?{urlencode(pairs)}" if pairs else ""
    told = {
        "curl": _curl(f"{base_url.rstrip('/')}/api/v1/runs{query}"),
        "Python": f"{_CLIENT}\nruns = list(client.runs.list({_arguments(pairs)}))",
    }
    if any(name not in _OPTIONS for name, _ in pairs):
        return told
    options = [
        f"--{_OPTIONS[name]} {shlex.quote(one)}"
        for name, value in pairs
        for one in (value.split(",") if name == "status" else [value])
    ]
    return {"CLI": " ".join(["orchestrator run list", *options]), **told}


def get_run(base_url: str, run_id: str) -> Commands:
    """Say one run."""
    return {
        "CLI": f"orchestrator run get {run_id}\norchestrator run results {run_id} --to results",
        "curl": _curl(f"{base_url.rstrip('/')}/api/v1/runs/{run_id}"),
        "Python": f"{_CLIENT}\nrun = client.runs.get({run_id!r})",
    }


def list_batches(base_url: str, params: QueryParams) -> Commands:
    """Say a list of batches."""
    pairs = [(name, value) for name, value in params.multi_items() if name not in ("cursor", "limit")]
    query = f"?{urlencode(pairs)}" if pairs else ""
    told = {
        "curl": _curl(f"{base_url.rstrip('/')}/api/v1/batches{query}"),
        "Python": f"{_CLIENT}\nbatches = list(client.batches.list({_arguments(pairs)}))",
    }
    return told if pairs else {"CLI": "orchestrator batch list", **told}


def get_batch(base_url: str, batch_id: str) -> Commands:
    """Say one batch, and how its results are had."""
    path = f"{base_url.rstrip('/')}/api/v1/batches/{batch_id}"
    return {
        "CLI": f"orchestrator batch get {batch_id}\norchestrator batch results {batch_id} --zip results.zip",
        "curl": f"{_curl(path)}\n{_curl(path + '/results.zip')} -o results.zip",
        "Python": f"from pathlib import Path\n{_CLIENT}\nbatch = client.batches.get({batch_id!r})\n"
        f"client.batches.results_zip({batch_id!r}, Path('results.zip'))",
    }


def submit_batch(words: list[str]) -> Commands:
    """Say a submission by the words of its command."""
    return {"CLI": shlex.join(words)}


def list_inbox(base_url: str) -> Commands:
    """Say the inbox."""
    return {
        "CLI": "orchestrator inbox list\norchestrator doubt resolve ID --not-started --reason TEXT",
        "curl": _curl(f"{base_url.rstrip('/')}/api/v1/inbox"),
        "Python": f"{_CLIENT}\nfor item in client.inbox.list():\n    print(item['title'])",
    }


def schedules(base_url: str, name: str | None = None) -> Commands:
    """Say the schedules, or one of them."""
    where = "" if name is None else f"/{name}"
    verbs = ["list"] if name is None else [f"show {name}", f"fires {name}", f"preview {name}"]
    return {
        "CLI": "\n".join(f"orchestrator schedule {verb}" for verb in verbs),
        "curl": _curl(f"{base_url.rstrip('/')}/api/v1/schedules{where}"),
        "Python": f"{_CLIENT}\nprint(client.schedules.{'list()' if name is None else f'get({name!r})'})",
    }


_CLIENT = "from orchestrator.client import Client\n\nclient = Client(ORCH_URL, ORCH_TOKEN)"


def _curl(url: str) -> str:
    return f'curl -H "Authorization: Bearer $ORCH_TOKEN" {shlex.quote(url)}'


def _arguments(pairs: list[tuple[str, str]]) -> str:
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in ("status", "error_code"):
            given[_ARGUMENTS.get(name, name)] = value.split(",")
        elif name == "label":
            key, _, worth = value.partition("=")
            given.setdefault("labels", {})[key] = worth
        else:
            given[_ARGUMENTS.get(name, name)] = value
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in given.items())
