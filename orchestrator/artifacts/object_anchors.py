"""Checkpoints kept as objects of an S3 bucket: one object for each, put only where there is none.

<prefix>/<workspace>/<series>/<order>-<number>.jsonl     the anchor's one line

A bucket with object lock, or a key that may put and not delete, makes this a place that nobody here can change. A
history that is not the one before (a restored database's) goes beside it, as the next series. Lists come in the order
of names, so `series` and `order` count down: the newest is the first of the list, however long it is.

Credentials, region and endpoint are those of the usual variables of AWS, read by the library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, S3Store

from orchestrator.domain.audit_export import read_anchor
from orchestrator.domain.checkpoints import read_body
from orchestrator.errors import Unavailable

#: One more than the largest number of a series, or of a checkpoint: a checkpoint a second lasts for 30,000 years.
_SERIES, _NUMBERS = 10**4, 10**12

#: No request is tried again so long after its first try, seconds; the library waits 5 s to connect, 30 s for an answer.
_TRIES_S = 30


class ObjectAnchors:
    """Anchors in a bucket."""

    can_be_read = True

    def __init__(self, store: ObjectStore, place: str) -> None:
        self._store = store
        self.place = place

    async def last(self, workspace: UUID) -> bytes | None:
        """Return the newest line that is kept of a workspace, None when there is none.

        Raises:
            Unavailable: the bucket cannot be read.
        """
        newest = await self._newest(workspace)
        if newest is None:
            return None
        try:
            return bytes(await (await obstore.get_async(self._store, newest)).bytes_async())
        except BaseError as error:
            raise self._away(error) from error

    async def append(self, workspace: UUID, lines: Sequence[bytes], *, anew: bool) -> None:
        """Put each line as an object of its own; in a new series if `anew`. What is there is never overwritten.

        Raises:
            Unavailable: the bucket cannot be written, or holds something else under that name.
        """
        newest = await self._newest(workspace)
        series = 1 if newest is None else _SERIES - int(newest.split("/")[1]) + anew
        for line in lines:
            await self._put(_named(workspace, series, read_body(read_anchor(line).body).number), line)

    def lines(self, workspace: UUID) -> Iterator[bytes]:
        """Return what is kept of a workspace now, the oldest first; what is put later is left out."""
        try:
            kept = [each["path"] for page in obstore.list(self._store, f"{workspace}/") for each in page]
        except BaseError as error:
            raise self._away(error) from error
        return self._each(kept[::-1])

    def _each(self, paths: Sequence[str]) -> Iterator[bytes]:
        try:
            for path in paths:
                yield bytes(obstore.get(self._store, path).bytes())
        except BaseError as error:
            raise self._away(error) from error

    async def _newest(self, workspace: UUID) -> str | None:
        try:
            async for page in obstore.list(self._store, f"{workspace}/", chunk_size=1):
                return str(page[0]["path"])
        except BaseError as error:
            raise self._away(error) from error
        return None

    async def _put(self, path: str, line: bytes) -> None:
        try:
            try:
                await obstore.put_async(self._store, path, line, mode="create", use_multipart=False)
            except AlreadyExistsError:  # another worker was first, or the answer to a first try was lost
                kept = bytes(await (await obstore.get_async(self._store, path)).bytes_async())
                if kept != line:
                    raise Unavailable(
                        f"{self.place} holds another checkpoint as {path}", code="anchors_differ"
                    ) from None
        except BaseError as error:
            raise self._away(error) from error

    def _away(self, error: BaseError) -> Unavailable:
        return Unavailable(
            f"cannot keep checkpoints in {self.place}: {str(error).strip().splitlines()[0][:200]}",
            code="anchors_away",
            hint="look at ORCH_ANCHORS and the variables AWS_…: key, region, endpoint",
        )


def bucket_anchors(bucket: str, prefix: str) -> ObjectAnchors:
    """Return the anchors of a bucket. Nothing is asked of it yet."""
    # No options of the client: they would take the place of all of its variables, AWS_ALLOW_HTTP among them.
    store = S3Store(
        bucket,
        prefix=prefix or None,
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=_TRIES_S)},
    )
    return ObjectAnchors(store, f"s3://{bucket}/{prefix}".rstrip("/"))


def _named(workspace: UUID, series: int, number: int) -> str:
    return f"{workspace}/{_SERIES - series:04d}/{_NUMBERS - number:012d}-{number}.jsonl"
