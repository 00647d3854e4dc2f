"""All of a batch as one table: JSON lines as they are read, or CSV, whose columns are known once every row was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from orchestrator.domain import result_files, result_table
from orchestrator.domain.result_table import MAX_TAKEN_BYTES
from orchestrator.engine.batch_walk import WalkedRun, find, walk
from orchestrator.engine.deps import Deps
from orchestrator.engine.spool import Spool
from orchestrator.engine.who import Who
from orchestrator.errors import OrchestratorError
from orchestrator.storage.runs import FileRow

SEND_BYTES = 64 * 1024
#: Rows that are made between two turns of the event loop's other work.
TURN_ROWS = 50


async def json_lines(deps: Deps, who: Who, batch_id: UUID) -> AsyncGenerator[bytes, None]:
    """Give a line for each run, in input order.

    Raises:
        NotFound: there is no such batch; before the first piece.
    """
    await find(deps, who, batch_id)
    pending = bytearray()
    async for line in _lines(deps, who, batch_id):
        pending += line
        if len(pending) >= SEND_BYTES:
            yield bytes(pending)
            pending.clear()
    yield bytes(pending)


async def csv(deps: Deps, who: Who, batch_id: UUID, *, raw: bool) -> AsyncGenerator[bytes, None]:
    """Give a record for each run, in input order, under a header of all fields that were met.

    Nothing is sent until the last row was read: the header is the first record, and any row may bring a field that no
    row before it had. A second reading instead could meet fields that the header of the first does not name. So the
    rows wait on disk meanwhile, not in memory; who wants them as they are read takes JSON lines.

    Args:
        raw: leave text that a spreadsheet would run as a formula as it is.

    Raises:
        NotFound: there is no such batch; before the first piece.
    """
    await find(deps, who, batch_id)
    columns = result_table.Columns()
    with Spool() as kept:
        async for line in _lines(deps, who, batch_id):
            columns.note(line)
            kept.write(line)
        pending = [result_files.line(columns.header())]
        for number, line in enumerate(kept.lines(), start=1):
            pending.append(result_files.line(columns.cells(line, raw=raw)))
            if number % TURN_ROWS == 0:
                yield "".join(pending).encode()
                pending.clear()
                await asyncio.sleep(0)
        yield "".join(pending).encode()


async def _lines(deps: Deps, who: Who, batch_id: UUID) -> AsyncGenerator[bytes, None]:
    async for run in walk(deps, who, batch_id, input_bytes=MAX_TAKEN_BYTES):
        left_out: list[str] = []
        input = _input(run, left_out)
        result = await _result(deps, run, left_out)
        yield result_table.line(run.view, input=input, result=result, left_out=left_out)


def _input(run: WalkedRun, left_out: list[str]) -> bytes | None:
    if run.view["erased_at"] is not None:
        left_out.append("erased")
        return None
    if run.input is None:
        return None
    if run.input.body is None:
        left_out.append(f"the input has {run.input.size_bytes} bytes")
    return run.input.body


async def _result(deps: Deps, run: WalkedRun, left_out: list[str]) -> bytes | None:
    """Return the one result that can stand in a row: the only file, or the only one that is named as JSON."""
    files = [file for file in run.files.values() if file.erased_at is None]
    named = [file for file in files if file.filename.lower().endswith(".json")]
    chosen = named if len(named) == 1 else files
    if len(chosen) > 1:
        left_out.append(f"{len(files)} result files")
    if len(chosen) != 1:
        return None
    if (chosen[0].size_bytes or 0) > MAX_TAKEN_BYTES:
        left_out.append(f"the result has {chosen[0].size_bytes} bytes")
        return None
    data = await _read(deps, chosen[0], left_out)
    if data is None:
        return None
    text, why_not = result_table.judged_result(data)
    left_out += [] if why_not is None else [why_not]
    return text


async def _read(deps: Deps, file: FileRow, left_out: list[str]) -> bytes | None:
    data = bytearray()
    try:
        if file.store_key is not None:
            async for chunk in deps.store.open(file.store_key):
                data += chunk[: MAX_TAKEN_BYTES + 1 - len(data)]
    except (OrchestratorError, OSError):
        data.clear()
    if len(data) != file.size_bytes:
        left_out.append("the artifact store does not have the result whole")
        return None
    return bytes(data)
