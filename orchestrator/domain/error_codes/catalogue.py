"""The whole catalogue, and how a code is found in it."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from orchestrator.domain import alarm_words
from orchestrator.domain.error_codes import acts, away, calls, intake, machine, requests, runs, things
from orchestrator.domain.error_codes.entry import Entry, Subject

SUBJECTS: tuple[Subject, ...] = (
    *requests.SUBJECTS,
    *intake.SUBJECTS,
    *things.SUBJECTS,
    *acts.SUBJECTS,
    *away.SUBJECTS,
    *calls.SUBJECTS,
    *machine.SUBJECTS,
    *runs.SUBJECTS,
)


def found(word: str) -> Iterator[tuple[Subject, Entry]]:
    """Yield what a code means: one word may stand for an error, and for why a run waits."""
    for subject in SUBJECTS:
        yield from ((subject, entry) for entry in subject.entries if entry.code == word)


def is_known(word: str) -> bool:
    """Tell whether a code means something, here or as an alarm."""
    return word in set(alarm_words.Code) or any(True for _ in found(word))


def near(word: str, *, most: int = 5) -> list[str]:
    """Return the codes that may have been meant: spelled alike, then those with the word in them."""
    known = sorted({entry.code for subject in SUBJECTS for entry in subject.entries})
    asked = word.lower().strip().replace("-", "_").replace(" ", "_")
    alike = get_close_matches(asked, known, n=most, cutoff=0.6)
    within = [one for one in known if len(asked) >= 3 and asked in one and one not in alike]
    return [*alike, *within][:most]
