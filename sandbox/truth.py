"""The truth: what was really accepted, what became of it, and what really arrived, for those who check a client."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sandbox.clock import iso_exact
from sandbox.executions import Execution
from sandbox.files import ResultFiles
from sandbox.rates import Meter
from sandbox.world import Workflow


def execution_document(execution: Execution, files: ResultFiles) -> dict[str, Any]:
    """Return everything there is to know about one execution."""
    return {
        "id": execution.id,
        "workflow_id": execution.workflow_id,
        "account": execution.account,
        "key": execution.launch.key,
        "launch": execution.launch.number,
        "concurrency": execution.launch.concurrency,
        "index": execution.index,
        "input": json.loads(execution.canonical),
        "input_sha256": execution.input_sha256,
        "status": execution.status.value,
        "created_at": iso_exact(execution.created_at),
        "started_at": iso_exact(execution.started_at),
        "ended_at": iso_exact(execution.ended_at),
        "ended_because": execution.ended_because,
        "decision": execution.decision,
        "is_lost": execution.is_lost,
        "files": files.truth(execution),
    }


def summary_document(executions: Sequence[Execution]) -> dict[str, Any]:
    """Return the counts, and which inputs were executed more than once."""
    return {
        "launches": len({execution.launch.number for execution in executions}),
        "executions": len(executions),
        "by_status": Counter(execution.status.value for execution in executions),
        "inputs_executed_twice": _executed_twice(executions),
    }


def limits_document(meters: Mapping[str, Meter], workflows: Iterable[Workflow]) -> dict[str, Any]:
    """Return what arrived per key, and the most that ran at a time per workflow."""
    keys = {
        name: {
            "requests": meter.requests,
            "max_in_60_s": meter.max_arrivals,
            "refused_by_rate": meter.refused_by_rate,
            "refused_by_slots": meter.refused_by_slots,
            "answered_429": meter.answered_429,
        }
        for name, meter in meters.items()
    }
    slots = [
        {
            "account": workflow.account,
            "workflow_id": workflow.spec.id,
            "running": workflow.schedule.running,
            "max_concurrent": workflow.schedule.peak_running,
        }
        for workflow in workflows
    ]
    return {"keys": keys, "workflows": slots}


def _executed_twice(executions: Sequence[Execution]) -> list[dict[str, Any]]:
    by_input: dict[tuple[str, str, str], list[str]] = {}
    for one in executions:
        by_input.setdefault((one.account, one.workflow_id, one.input_sha256), []).append(one.id)
    return [
        {
            "account": account,
            "workflow_id": workflow_id,
            "input_sha256": digest,
            "times": len(ids),
            "execution_ids": ids,
        }
        for (account, workflow_id, digest), ids in by_input.items()
        if len(ids) > 1
    ]
