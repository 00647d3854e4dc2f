"""Sums named fields of inputs and of JSON results: inputs inside the snapshot, result files after it is closed."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.report import amounts
from orchestrator.domain.report.amounts import MAX_DOCUMENT_BYTES, AmountSum, Lack
from orchestrator.domain.statuses import RunStatus
from orchestrator.engine.ports import ArtifactStore
from orchestrator.errors import BadInput, NotFound, TooLarge
from orchestrator.storage import report_rows
from orchestrator.storage.report_rows import MAX_SUMMED_FILES, SummedFile
from orchestrator.storage.report_scope import Scope

MAX_FIELDS = 20
MAX_NAME_CHARS = 200


def check(names: Sequence[str], *, option: str) -> None:
    """Refuse field names that can be none."""
    if len(names) > MAX_FIELDS or any(not 0 < len(name) <= MAX_NAME_CHARS for name in names):
        raise BadInput(
            f"{option} takes up to {MAX_FIELDS} names of 1 to {MAX_NAME_CHARS} characters", code="field.value"
        )


async def of_inputs(connection: AsyncConnection, scope: Scope, names: Sequence[str]) -> tuple[AmountSum, ...]:
    """Sum fields over the inputs of all runs."""
    sums = [AmountSum(of="input", name=name) for name in names]
    if not sums:
        return ()
    rows = await report_rows.inputs(connection, scope)
    async for block in rows.blocks:
        # Parsing is work for a thread: other requests are answered meanwhile.
        sums = await asyncio.to_thread(_add_inputs, sums, block)
    return tuple(sums)


def _add_inputs(sums: list[AmountSum], block: Sequence[Sequence[Any]]) -> list[AmountSum]:
    for run, index, status, body, is_erased in block:
        finished = status == RunStatus.FINISHED
        none = Lack.ERASED if is_erased else Lack.MISSING
        for place, found in enumerate(sums):
            amount = none if body is None else amounts.amount_of(bytes(body), found.name)
            sums[place] = found.plus(_row(index, run), amount, finished=finished)
    return sums


async def files_of(connection: AsyncConnection, scope: Scope, names: Sequence[str]) -> list[SummedFile]:
    """Return the result files that are to be read for sums.

    Raises:
        TooLarge: there are too many of them.
    """
    if not names:
        return []
    found = await report_rows.summed_files(connection, scope)
    if len(found) > MAX_SUMMED_FILES:
        raise TooLarge(f"sums over more than {MAX_SUMMED_FILES:,} result files are not made")
    return found


async def of_results(store: ArtifactStore, files: Sequence[SummedFile], names: Sequence[str]) -> tuple[AmountSum, ...]:
    """Sum fields over the JSON results of the finished runs. No transaction is open: a store may be far away."""
    sums = [AmountSum(of="result", name=name) for name in names]
    for run, of_run in itertools.groupby(files, key=lambda file: (file.index, file.run)):
        documents = [await _document(store, file) for file in of_run if file.is_erased or _is_json(file)]
        for place, found in enumerate(sums):
            amount = await asyncio.to_thread(_amount, documents, found.name)
            sums[place] = found.plus(_row(*run), amount, finished=True)
    return tuple(sums)


def _amount(documents: Sequence[bytes | Lack], name: str) -> Decimal | Lack:
    """Return a run's number, over its JSON files that have the field; one that could not be read is never skipped."""
    if not documents:
        return Lack.NO_FILE
    total: Decimal | None = None
    for document in documents:
        if isinstance(document, Lack):
            return document
        amount = amounts.amount_of(document, name)
        if isinstance(amount, Decimal):
            total = amount if total is None else Decimal(amounts.plus(total, amount))
        elif amount is not Lack.MISSING:
            return amount
    return Lack.MISSING if total is None else total


def _is_json(file: SummedFile) -> bool:
    return file.filename is not None and file.filename.lower().endswith(".json")


async def _document(store: ArtifactStore, file: SummedFile) -> bytes | Lack:
    """Return a stored file, checked against the SHA-256 that was written when it was stored."""
    if file.is_erased:
        return Lack.ERASED
    if file.store_key is None or file.size_bytes is None:
        return Lack.NO_FILE
    if file.size_bytes > MAX_DOCUMENT_BYTES:
        return Lack.TOO_LARGE
    content = bytearray()
    try:
        async for chunk in store.open(file.store_key):
            content += chunk
            if len(content) > file.size_bytes:
                return Lack.CHANGED
    except NotFound:
        return Lack.CHANGED
    return bytes(content) if hashlib.sha256(content).hexdigest() == file.sha256 else Lack.CHANGED


def _row(index: int | None, run: UUID) -> str:
    return str(run) if index is None else f"#{index}"
