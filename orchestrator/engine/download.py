"""Download: store the result files whose URLs die first, byte for byte, and verify them on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import download_decisions
from orchestrator.domain.download_decisions import DownloadFacts, FileOutcome
from orchestrator.engine import poison, settle, watch
from orchestrator.engine.deps import Deps
from orchestrator.engine.ports import Claimed, unheard
from orchestrator.errors import Gone, Misbehaved, OrchestratorError, StoreFull, Unavailable
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import downloads
from orchestrator.storage.changes import Applied
from orchestrator.storage.database import FOR_EVER
from orchestrator.storage.downloads import DownloadClaim, DownloadResult
from orchestrator.storage.offers import WantedFile
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Runs of which one claim takes the files, and files that are on their way together in one process.
RUNS_AT_ONCE = 64

#: The largest result that is stored.
MAX_FILE_BYTES = 50 * 1024**3


async def download_due(deps: Deps, *, worker: UUID, claimed: Claimed = unheard) -> int | None:
    """Store the files of the runs whose results die first. Returns how many runs, None when none is due."""

    async def claim(connection: AsyncConnection) -> list[DownloadClaim]:
        return await downloads.claim(
            connection, worker=worker, limit=RUNS_AT_ONCE, lease_s=deps.settings.lease_s, sealer=deps.sealer
        )

    claims = await deps.db.run(claim)
    if not claims:
        return None
    # A claim that was not filled took all there is; what comes due while its files are fetched goes together.
    claimed(len(claims) == RUNS_AT_ONCE)
    await reach(Point.DOWNLOAD_CLAIMED)
    await download(deps, claims)
    return len(claims)


async def download(deps: Deps, claims: Sequence[DownloadClaim]) -> None:
    """Store the files of claimed runs side by side, and record each run when its files are there."""
    renewing = asyncio.create_task(_keep_leases(deps, claims))
    try:
        await asyncio.gather(*(_download_apart(deps, claimed) for claimed in claims))
    finally:
        renewing.cancel()


async def _download_apart(deps: Deps, claim: DownloadClaim) -> None:
    """Download one run's files; a run whose rows break our code is put off, and stops no other."""
    done = await poison.caught(lambda: _download_run(deps, claim))
    if isinstance(done, poison.Poisoned):
        await _put_off(deps, claim, done)
    else:
        await deps.stored.add(done, partial(_record, deps))


async def _put_off(deps: Deps, claim: DownloadClaim, why: poison.Poisoned) -> None:
    await poison.put_off(deps, claim.run_id, claim.fence, tries=claim.tries, what="download", why=why)


async def _download_run(deps: Deps, claim: DownloadClaim) -> DownloadResult:
    began_at = deps.sources.monotonic()
    wanted = [f for f in claim.files if not f.is_stored]
    facts = DownloadFacts(
        run_id=claim.run_id,
        attempt=claim.attempt,
        tries=claim.tries,
        refreshes=claim.refreshes,
        offered_at=min((f.offered_at for f in claim.files), default=claim.claimed_at),
        url_expires_at=min((f.url_expires_at for f in wanted), default=claim.claimed_at + timedelta(hours=1)),
        stored_before=len(claim.files) - len(wanted),
        gone_since=claim.gone_since,
    )
    came = [await _download_file(deps, claim, file) for file in wanted]
    now = claim.claimed_at + timedelta(seconds=deps.sources.monotonic() - began_at)
    outcomes = download_decisions.checked(facts, came, now=now)
    await _remove_disbelieved(deps, came, outcomes)
    change = download_decisions.after_download(facts, outcomes, now=now, unit=deps.sources.unit())
    return DownloadResult(claim=claim, outcomes=outcomes, change=change)


async def _record(deps: Deps, results: Sequence[DownloadResult]) -> None:
    """Record runs whose files have come: all of them together, or where the data of one breaks that, each apart."""

    async def write() -> Applied:
        async def record(connection: AsyncConnection) -> Applied:
            applied = await downloads.record(connection, results, sources=deps.sources, sealer=deps.sealer)
            await reach(Point.DOWNLOAD_RECORDING)
            return applied

        return await deps.db.run(record, tries=FOR_EVER)

    applied = await poison.caught(write)
    if isinstance(applied, poison.Poisoned):
        if len(results) == 1:
            await _put_off(deps, results[0].claim, applied)
        for one in results if len(results) > 1 else ():
            await _record(deps, [one])
        return
    await reach(Point.DOWNLOAD_RECORDED)
    written = {change.run_id for change in applied.changes}
    for lost in (r for r in results if r.claim.run_id not in written):
        await _remove_unrecorded(deps, lost)
    watch.tell_lost(applied.changes)
    await settle.settle_batches(deps, applied.batches_with_endings)


async def _remove_disbelieved(deps: Deps, came: list[FileOutcome], outcomes: list[FileOutcome]) -> None:
    """Remove from the store what came but is not believed to be the file; nothing refers to it."""
    for file, outcome in zip(came, outcomes, strict=True):
        if file.store_key is not None and outcome.store_key is None:
            await _remove(deps, file.store_key)


async def _remove_unrecorded(deps: Deps, lost: DownloadResult) -> None:
    """Remove what was stored under a claim that was lost: nothing will ever refer to it, and the run may be erased."""
    claim = lost.claim
    stored = {outcome.store_key for outcome in lost.outcomes if outcome.store_key is not None}

    async def read(connection: AsyncConnection) -> set[str]:
        # Asked, not taken for granted: the record may have been committed, and only its answer lost.
        return await downloads.keys(connection, claim.run_id)

    try:
        for key in stored - await deps.db.run(read) if stored else ():
            await _remove(deps, key)
    except Unavailable as error:
        log.warning("a useless file stays in the artifact store", run=str(claim.run_id), why=error.message)


async def _remove(deps: Deps, key: str) -> None:
    try:
        await deps.store.delete(key)
    except OrchestratorError as error:  # it costs a little space, and no run waits for that
        log.warning("a useless file stays in the artifact store", key=key, why=error.message)


async def _keep_leases(deps: Deps, claims: Sequence[DownloadClaim]) -> None:
    """Renew the claims while files are on their way; one may take longer than a lease. What was recorded has none."""
    while True:
        await asyncio.sleep(deps.settings.lease_s / 3)

        async def renew(connection: AsyncConnection) -> None:
            await downloads.renew(connection, claims, lease_s=deps.settings.lease_s)

        try:
            await deps.db.run(renew, tries=1)
        except Unavailable as error:
            # The files go on coming; if a lease is lost after all, its record comes to nothing.
            log.warning("leases could not be renewed", runs=len(claims), why=error.message)


async def _download_file(deps: Deps, claim: DownloadClaim, file: WantedFile) -> FileOutcome:
    """Fetch and store one file; whatever goes wrong comes back as the outcome's failure."""
    # The fence is in the name: a worker that comes late writes beside the file of whoever took over, never over it.
    key = f"{claim.workspace_id}/{claim.run_id}/{claim.attempt}/{file.number}.{claim.fence}"
    try:
        if file.url is None:
            raise Gone("the file's URL cannot be read any more; the provider is asked for a fresh one")
        async with deps.files.fetch(file.url) as answer:
            stored = await deps.store.put(key, answer.chunks, max_bytes=MAX_FILE_BYTES)
        if answer.length_bytes is not None and stored.size_bytes != answer.length_bytes:
            await _remove(deps, key)
            raise Misbehaved(f"{stored.size_bytes} bytes came where {answer.length_bytes} were promised")
    except OrchestratorError as failure:
        # A store that takes nothing is told of once for all by the watch.
        speak = log.debug if isinstance(failure, StoreFull | Unavailable) else log.warning
        speak("file not stored", run=str(claim.run_id), n=file.number, code=failure.code, why=failure.message)
        return FileOutcome(number=file.number, filename=file.filename, failure=failure)
    return FileOutcome(
        number=file.number,
        filename=file.filename,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        store_key=stored.key,
        is_framed=answer.is_framed,
        failed_before=file.failure,
    )
