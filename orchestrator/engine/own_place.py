"""What a process sees of its own place: how full its disks are, and how far its clock is from the database's."""

from __future__ import annotations

import asyncio
import shutil
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.domain.sights import DiskSight
from orchestrator.settings import Settings

#: A disk that does not say how full it is, within so long, hangs: it is left out.
ANSWERS_WITHIN_S = 5.0


class Disks:
    """The volumes of the data folder and of the artifact store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asking: asyncio.Future[tuple[DiskSight, ...]] | None = None

    async def look(self, *, within_s: float = ANSWERS_WITHIN_S) -> tuple[DiskSight, ...] | None:
        """Return the volumes, one each; None when one hangs.

        One that hangs holds its thread for good, so it is not asked again before it has answered.
        """
        if self._asking is None:
            self._asking = asyncio.ensure_future(asyncio.to_thread(_volumes, self._settings))
        done, _ = await asyncio.wait({self._asking}, timeout=within_s)
        if not done:
            return None
        # Several may have waited for the same answer.
        (answered,), self._asking = done, None
        return answered.result()


def ahead_s(before: datetime, moment: datetime, after: datetime) -> float:
    """Return how far this clock is ahead of the database's, by the least that the way there and back allows."""
    if before <= moment <= after:
        return 0.0
    return (before - moment).total_seconds() if moment < before else (after - moment).total_seconds()


def _volumes(settings: Settings) -> tuple[DiskSight, ...]:
    folders = [settings.data_dir]
    if settings.artifacts_url is not None:
        scheme, found, _ = settings.artifacts_url.partition("://")
        if not found:
            folders.append(Path(settings.artifacts_url).expanduser())
        elif scheme.lower() == "file":
            folders.append(Path(unquote(urlsplit(settings.artifacts_url).path)))
    volumes: dict[int, DiskSight] = {}
    for folder in folders:
        try:
            device, usage = folder.stat().st_dev, shutil.disk_usage(folder)
        except OSError:
            continue  # a folder that is gone is told of by whoever needs it
        volumes.setdefault(
            device, DiskSight(folder=str(folder.absolute()), free_bytes=usage.free, total_bytes=usage.total)
        )
    return tuple(volumes.values())
