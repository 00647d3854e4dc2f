"""One line of the catalogue: what a code means, what cures it, and whether the same may be sent again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Repeat(StrEnum):
    """Whether it is safe to do the same again."""

    MEND = "mend first"
    LATER = "yes, later"
    LOOK = "look first"
    OURS = "not needed"
    RISKY = "may act twice"


#: What a person reads of it.
REPEAT_WORDS: Mapping[Repeat, str] = {
    Repeat.MEND: "nothing was done; the same again comes to the same, until the cure is carried out",
    Repeat.LATER: "nothing was done; the same may be sent again, and may work then",
    Repeat.LOOK: "it may have been done, wholly or in part: look before it is sent again",
    Repeat.OURS: "nothing is to be sent again: the product tries again by itself, or waits for what is named",
    Repeat.RISKY: "a repeat may make a second execution at the provider; it is never made by itself",
}


class Kind(StrEnum):
    """Where a code is read."""

    ERROR = "error"
    RUN = "run"
    WAITING = "waiting"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a code means, and what to do."""

    code: str
    repeat: Repeat
    meaning: str
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Codes that belong together."""

    title: str
    kind: Kind
    entries: tuple[Entry, ...]
