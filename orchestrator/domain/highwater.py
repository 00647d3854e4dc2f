"""Is this database older than the world? The mark that it shares with a place outside, and what a difference means.

The mark is a counter. A worker advances it in the database first, then writes it down outside; so outside is never
ahead, unless the database went back: it was restored, or a failover lost its tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

#: A release leaps so far ahead: no process, however late its last word, has seen a mark beyond it.
LEAP = 1_000_000

#: The folder of a finding that no folder made: a worker that could never write outside remembers all the same.
NO_FOLDER = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a database has come.

    Args:
        incarnation: which database; made with its schema, kept by every copy of it.
        epoch: how often an operator has released its launches.
    """

    incarnation: UUID
    epoch: int
    number: int

    def is_before(self, other: Mark) -> bool:
        """Tell whether the other one, of the same database, is further."""
        return (self.epoch, self.number) < (other.epoch, other.number)

    def released(self) -> Mark:
        """Return the mark that a release sets."""
        return Mark(incarnation=self.incarnation, epoch=self.epoch + 1, number=self.number + LEAP)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideMark:
    """What a folder outside the database says.

    Args:
        folder: the folder's own id, the same for all who share it.
        place: where it is, in words.
        is_copy: the folder was copied there since the mark was written: from a backup, or to another disk.
    """

    folder: UUID
    place: str
    mark: Mark
    written_at: datetime
    is_copy: bool = False


class HeldCode(StrEnum):
    """What shows that the database may be older than the world."""

    OLDER = "older"
    FOREIGN = "foreign"
    LOST_LAUNCHES = "lost_launches"
    SWAPPED = "swapped"
    COPIED = "copied"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Why nothing may be launched, and which folder knows it."""

    folder: UUID
    place: str
    code: HeldCode
    because: str


def judge(
    here: Mark, outside: Sequence[OutsideMark], *, seen: Mark | None, lost_launches: int, at_start: bool
) -> Finding | None:
    """Say why this database must not launch, None when nothing speaks against it.

    Args:
        here: the database's own mark.
        outside: what the places outside say; empty on a fresh install.
        seen: the furthest mark that this process has seen in the database that it began with.
        lost_launches: launches that are written down outside and that the database does not know.
        at_start: whether nobody of this process has written outside yet; later a copy is one of our own making.
    """
    for told in outside:
        if told.mark.incarnation != here.incarnation:
            return _finding(
                told,
                HeldCode.FOREIGN,
                f"the database is not the one that {told.place} was used with until {_at(told.written_at)}: "
                "it is new, or another one",
            )
        if here.is_before(told.mark):
            return _finding(
                told,
                HeldCode.OLDER,
                f"the database was restored, or a failover lost its tail: it stands at mark {_number(here)}, "
                f"and {told.place} knows {_number(told.mark)} of {_at(told.written_at)}",
            )
        if told.is_copy and at_start:
            return _finding(
                told,
                HeldCode.COPIED,
                f"{told.place} was copied there after {_at(told.written_at)}, from a backup or from another disk; "
                "what was launched since then is written down nowhere here",
            )
    folder, place = (outside[0].folder, outside[0].place) if outside else (NO_FOLDER, "a worker's memory")
    if lost_launches:
        because = f"the database was restored, or a failover lost its tail: {place} knows launches that it does not"
        return Finding(folder=folder, place=place, code=HeldCode.LOST_LAUNCHES, because=because)
    if seen is not None and (seen.incarnation != here.incarnation or here.is_before(seen)):
        because = "the database was restored, or exchanged, under its running workers: its mark went back"
        return Finding(folder=folder, place=place, code=HeldCode.SWAPPED, because=because)
    return None


def damaged(message: str) -> Finding:
    """Return what follows from a mark outside that cannot be read: nobody can tell whether the database is older."""
    return Finding(folder=NO_FOLDER, place="a damaged mark", code=HeldCode.DAMAGED, because=message)


def is_taken_over(here: Mark, outside: Sequence[OutsideMark], seen: Mark) -> bool:
    """Tell whether an operator has released this database here since `seen`: what a process remembers is void then."""
    known = (here.incarnation, here.epoch)
    return known != (seen.incarnation, seen.epoch) and any(
        (told.mark.incarnation, told.mark.epoch) == known for told in outside
    )


def _finding(told: OutsideMark, code: HeldCode, because: str) -> Finding:
    return Finding(folder=told.folder, place=told.place, code=code, because=because)


def _number(mark: Mark) -> str:
    return f"{mark.epoch}.{mark.number % LEAP}"


def _at(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
