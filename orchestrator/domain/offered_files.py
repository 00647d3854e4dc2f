"""The files of one attempt through several looks: each keeps its number, by its name, and none is forgotten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFile:
    """A file that an earlier look offered. Its number is its place among the known ones."""

    filename: str
    is_stored: bool


def storable(filename: str) -> str:
    """Return a file's name as it is kept: Postgres takes no NUL."""
    return filename.replace("\x00", "�")


def numbers(known: Sequence[str], offered: Sequence[str]) -> list[int]:
    """Return the number of each offered file: a known name's own, or the next after all that are known.

    A list names a file by its name alone. Where one name stands in it twice, the first of them is taken for the first
    that is known, and so on: were two such files to change places, nobody could tell.
    """
    free: defaultdict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(known):
        free[name].append(number)
    after_all = len(known)
    found = []
    for name in map(storable, offered):
        if free[name]:
            found.append(free[name].pop(0))
        else:
            found.append(after_all)
            after_all += 1
    return found


def has_nothing_to_store(known: Sequence[KnownFile], offered: Sequence[str]) -> bool:
    """Tell whether everything in the offered list is stored already."""
    taken = numbers([file.filename for file in known], offered)
    return all(number < len(known) and known[number].is_stored for number in taken)


def left_out(known: Sequence[KnownFile], offered: Sequence[str]) -> int:
    """Return how many files were offered once, are not stored, and are not in the offered list."""
    taken = set(numbers([file.filename for file in known], offered))
    return sum(not file.is_stored and number not in taken for number, file in enumerate(known))
