"""Accepting: a batch over the API beside the least that could be done with it, and the memory that a large body takes.

The least: each row checked against the same schema by the same code, and the very bytes that the product stored copied
once more, into empty tables of the same shape, in one transaction.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx
import psycopg

from benchmarks.scale.served import MB, Peak, rss_mb, serving
from benchmarks.scale.sites import CONNECTION, Site
from orchestrator.domain.intake.schema import check, compile_schema

#: The sandbox's workflow with a strict schema.
WORKFLOW = "Score customer"
#: The quickest of these counts: whatever else the machine does only makes them longer.
ROUNDS = 5
BODY_MB = 40

TIMES_GOAL, GROWTH_GOAL_MB = 3.0, 100.0

#: table -> how its rows of a batch are found.
_TABLES: Mapping[str, str] = {
    "runs": "batch_id = '{batch}'",
    "inputs": "run_id IN (SELECT id FROM runs WHERE batch_id = '{batch}')",
    "events": "stream IN (SELECT id FROM runs WHERE batch_id = '{batch}')",
}


def measure(site: Site, *, rows: int, body_mb: float = BODY_MB) -> dict[str, Any]:
    """Return the row.

    Args:
        rows: items of each batch.
        body_mb: of the one that is watched for its memory.
    """
    with serving(site) as (client, pid):
        schema = _schema(client, site)
        before_mb = rss_mb(pid)
        with Peak(pid) as peak:
            _submit(client, site, _body(rows, size_bytes=round(body_mb * MB / rows)))
        took = [_round(client, site, schema, rows) for _ in range(ROUNDS)]
    product_s, checked_s, copied_s = (min(of) for of in zip(*took, strict=True))
    times, growth_mb = round(product_s / (checked_s + copied_s), 2), round(max(peak.mb - before_mb, 0.0), 1)
    return {
        "items": rows,
        "s": round(product_s, 3),
        "bare_s": round(checked_s + copied_s, 3),
        "bare_s_of_checks": round(checked_s, 3),
        "times_bare": times,
        "body_mb": body_mb,
        "rss_before_mb": round(before_mb),
        "rss_growth_mb": growth_mb,
        "goal": {"times_bare": TIMES_GOAL, "rss_growth_mb": GROWTH_GOAL_MB},
        "reached": times <= TIMES_GOAL and growth_mb <= GROWTH_GOAL_MB,
    }


def _round(client: httpx.Client, site: Site, schema: Mapping[str, Any], rows: int) -> tuple[float, float, float]:
    """Submit once, and do the least with the same rows: how long the three took, in seconds."""
    body = _body(rows, size_bytes=300)
    began_s = time.perf_counter()
    batch = _submit(client, site, body)
    product_s = time.perf_counter() - began_s
    return product_s, _checked_s(body, schema), _copied_s(site, batch)


def _submit(client: httpx.Client, site: Site, body: bytes) -> str:
    answer = client.post(
        "/batches",
        params={"connection": CONNECTION, "workflow_id": site.stage.sandbox.workflows[WORKFLOW]},
        content=body,
        headers={"Content-Type": "application/x-ndjson"},
    )
    answer.raise_for_status()
    return str(answer.json()["id"])


def _schema(client: httpx.Client, site: Site) -> Mapping[str, Any]:
    # A first batch has the server fetch the schema, and warms it up.
    _submit(client, site, _body(10, size_bytes=300))
    remote = site.stage.sandbox.workflows[WORKFLOW]
    (text,) = site.ask(f"SELECT input_schema FROM workflows WHERE remote_id = '{remote}' AND input_schema IS NOT NULL")
    found: Mapping[str, Any] = json.loads(text)
    return found


def _body(rows: int, *, size_bytes: int) -> bytes:
    """Return a JSONL file that nobody has sent before."""
    mark = uuid4().hex
    note = "Order of the morning, Café Zoë. "
    lines = (
        {"customer_id": f"C-{n}-{mark}", "email": f"c{n}@example.org", "amount": n / 10, "priority": n % 5,
         "active": n % 2 == 0, "note": (note * (size_bytes // len(note) + 1))[: max(size_bytes - 160, 0)]}
        for n in range(rows)
    )  # fmt: skip
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def _checked_s(body: bytes, schema: Mapping[str, Any]) -> float:
    began_s = time.perf_counter()
    compiled = compile_schema(schema)
    flaws = [flaw for line in body.splitlines() for flaw in check(compiled, json.loads(line))]
    assert not flaws, "what was accepted is good"
    return time.perf_counter() - began_s


def _copied_s(site: Site, batch: str) -> float:
    """Copy a batch's rows once more; return how long that took, its commit included."""
    with psycopg.connect(site.superuser) as connection:
        stored = {table: _copied_out(connection, table, where.format(batch=batch)) for table, where in _TABLES.items()}
        for table in _TABLES:
            connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)".encode())
        connection.commit()
        began_s = time.perf_counter()
        for table, data in stored.items():
            query = f"COPY bare_{table} FROM STDIN (FORMAT BINARY)"
            with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
                copy.write(data)
        connection.commit()
        took_s = time.perf_counter() - began_s
        for table in _TABLES:
            connection.execute(f"DROP TABLE bare_{table}".encode())
    return took_s


def _copied_out(connection: psycopg.Connection, table: str, where: str) -> bytes:
    query = f"COPY (SELECT * FROM {table} WHERE {where}) TO STDOUT (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
        return b"".join(copy)
