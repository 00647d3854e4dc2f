"""What one process remembers of the database's mark, so that a database that is swapped under it is noticed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from orchestrator.domain.highwater import Mark


@dataclass(slots=True)
class Watermark:
    """One process's memory. Only `engine/highwater.py` writes it.

    Args:
        is_checked: the places outside were compared with this database; nothing is launched before.
        has_written: this process has written outside, so that what lies there is no copy made by others.
        seen: the furthest mark seen in this database.
        last_intent: the last one that this process has committed.
        comparing: held by the turn that compares for all of this process.
    """

    is_checked: bool = False
    has_written: bool = False
    seen: Mark | None = None
    last_intent: UUID | None = None
    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def see(self, mark: Mark) -> None:
        """Remember a mark that was read from the database, if it is further."""
        if self.seen is None or (self.seen.incarnation == mark.incarnation and self.seen.is_before(mark)):
            self.seen = mark
