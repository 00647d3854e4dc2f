"""Watch: a worker looks around now and then and tells of what is wrong, as structured warnings with a stable code.

Of all workers the oldest watches what the database tells of all, and the oldest of each place that place's clock and
disks: one voice, and no lock; when it falls silent the next is the oldest. That the database is away each tells itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import alarm_words, alarms
from orchestrator.domain.alarm_words import Code
from orchestrator.domain.changes import Change
from orchestrator.domain.sights import OwnSights, Sights
from orchestrator.domain.statuses import RunStatus
from orchestrator.domain.telling import Line, Moment, Told, tell
from orchestrator.engine.deps import Deps
from orchestrator.engine.notices import Notices
from orchestrator.engine.own_place import Disks, ahead_s
from orchestrator.errors import OrchestratorError
from orchestrator.storage import health
from orchestrator.storage.database import now as transaction_now
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Run ids that one line names.
NAMED_AT_MOST = 10


class Watch:
    """The watch of one worker process, and its memory of what it has told.

    Args:
        worker: the worker that looks, which may or may not be the one that tells.
        place: where its clock and its disks are.
    """

    def __init__(self, deps: Deps, *, worker: UUID, place: str) -> None:
        self._deps = deps
        self._worker = worker
        self._place = place
        self._notices = Notices(deps)
        self._told_of_all = Told()
        self._told_of_place = Told()
        self._watches_place = False
        self._database_away_since: float | None = None
        self._database_says: str | None = None
        self._disks = Disks(deps.settings)

    async def look(self, *, broker_away_s: float | None = None) -> list[Line]:
        """Look around once; return what was told.

        Args:
            broker_away_s: for how long this process has found the broker away; None: it is there.
        """
        seen, clock_ahead_s = await self._read()
        now_s = self._deps.sources.monotonic()
        lines: list[Line] = []
        if seen is not None:
            interval_s = self._deps.settings.sweep_interval_s
            found = alarms.shared(seen, sweep_interval_s=interval_s)
            self._told_of_all, lines = tell(self._told_of_all, found, now_s=now_s)
        elif self._database_away_since is None:
            self._told_of_all = Told()  # somebody else watches
        own = await self._own(clock_ahead_s, broker_away_s, now_s)
        self._told_of_place, local = tell(self._told_of_place, alarms.own(own), now_s=now_s)
        for line in (*lines, *local):
            write(line)
        if seen is not None:
            await self._notices.look()
        return [*lines, *local]

    async def _read(self) -> tuple[Sights | None, float | None]:
        """Return what the database tells, if it is this worker's turn, and how far the clock is ahead of its clock."""
        sources, dead_after_s = self._deps.sources, self._deps.settings.dead_after_s

        async def read(connection: AsyncConnection) -> tuple[Sights | None, bool, float]:
            before = sources.utc_now()
            moment = await transaction_now(connection)
            ahead = ahead_s(before, moment, sources.utc_now())
            of_all, of_place = await health.watchers(connection, self._place, fresh_s=dead_after_s)
            mine = of_all == self._worker
            seen = await health.sights(connection, moment, dead_after_s=dead_after_s) if mine else None
            return seen, of_place == self._worker, ahead

        try:
            seen, self._watches_place, clock_ahead_s = await self._deps.db.run(read, tries=1)
        except OrchestratorError as error:
            if self._database_away_since is None:
                self._database_away_since = sources.monotonic()
            self._database_says = error.message
            return None, None
        self._database_away_since = None
        return seen, clock_ahead_s

    async def _own(self, clock_ahead_s: float | None, broker_away_s: float | None, now_s: float) -> OwnSights:
        since = self._database_away_since
        found = await self._disks.look() if self._watches_place else ()
        return OwnSights(
            clock_ahead_s=clock_ahead_s if self._watches_place else None,
            disks=found or (),
            disks_are_silent=found is None,
            broker_away_s=broker_away_s if self._watches_place else None,
            database_away_s=None if since is None else now_s - since,
            database_says=self._database_says,
        )


def tell_lost(changes: Sequence[Change]) -> None:
    """Tell at once of results that were given up: it happens once, and nothing shows it again by itself."""
    lost = [c for c in changes if c.to is RunStatus.RESULT_LOST and c.was is not RunStatus.RESULT_LOST]
    if lost:
        what, hint = alarm_words.WORDS[Code.RESULT_LOST]
        reasons = sorted({c.error.message for c in lost if c.error is not None})
        named = [str(c.run_id) for c in lost[:NAMED_AT_MOST]]
        log.error(what, code=str(Code.RESULT_LOST), hint=hint, count=len(lost), runs=named, because=reasons[:3])


def write(line: Line) -> None:
    """Write one line of an alarm into the log."""
    alarm = line.alarm
    facts = {name: fact.isoformat() if isinstance(fact, datetime) else fact for name, fact in alarm.facts.items()}
    if line.moment is Moment.OVER:
        log.info("over: " + alarm.message, code=str(alarm.code), lasted_s=round(line.lasted_s), **facts)
        return
    speak = log.error if alarm.is_grave else log.warning
    if line.moment is Moment.LASTS:
        facts["lasted_s"] = round(line.lasted_s)
    speak(alarm.message, code=str(alarm.code), **facts, hint=alarm.hint)
