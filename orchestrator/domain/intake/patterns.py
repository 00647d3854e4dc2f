"""Which regular expressions of a schema we dare to run, and on how long a text.

A schema's author writes patterns, a user the texts; together they can keep a backtracking matcher busy for
years. Python cannot time a match out. So the work is estimated from the pattern; above the bound a pattern
is not checked here, and the provider is its judge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

#: The estimate of steps that one match may cost: some tenths of a second.
MAX_STEPS = 10_000_000
MAX_PATTERN_CHARS = 1_000
#: Up to so many repeats multiply the work, more of them raise its power.
SMALL_REPEAT = 4
MAX_POWER = 12

_QUANTIFIER = re.compile(r"(?:([*+?])|\{([0-9]{0,9})(?:(,)([0-9]{0,9}))?\})[?+]?")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*+\]", re.DOTALL)
_GROUP_HEAD = re.compile(r"\((?:\?(?:P?<[A-Za-z_]\w*>|P[=>]\w*|<?[=!]|[aiLmsux-]*:|>|#))?")


@lru_cache(maxsize=1024)
def longest_text(pattern: str) -> int:
    """Return the longest text, in characters, that the pattern may be searched in; 0 when in none."""
    if len(pattern) > MAX_PATTERN_CHARS or not compiles(pattern):
        return 0
    power = _power(pattern)
    if power is None or power > MAX_POWER:
        return 0
    power += 0 if pattern.startswith("^") else 1
    return int(MAX_STEPS ** (1 / max(power, 1)))


def matches(pattern: str, text: str) -> bool:
    """Return whether the text meets the pattern, or is too long for us to say."""
    return len(text) > longest_text(pattern) or re.search(pattern, text) is not None


def compiles(pattern: str) -> bool:
    """Return whether Python knows the pattern and is sure of it; schemas are written for another dialect."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError, FutureWarning):
        return False
    return True


@dataclass(slots=True)
class _Group:
    """What was read of one open group: its power so far, and how its alternatives begin."""

    power: int = 0
    starts: list[str] = field(default_factory=list)

    def is_ambiguous(self) -> bool:
        """Return whether two alternatives may begin alike (only plain, different letters are known not to)."""
        if len(self.starts) < 2:
            return False
        return len(set(self.starts)) < len(self.starts) or not all(s.isalnum() for s in self.starts)


def _power(pattern: str) -> int | None:
    """Return the power of the text's length that a match may cost, None when no power bounds it."""
    open_groups = [_Group(starts=[pattern[:1]])]
    position = 0
    while position < len(pattern):
        char = pattern[position]
        body = 0
        ambiguous = False
        if char == "(" and (head := _GROUP_HEAD.match(pattern, position)):
            position = head.end()
            open_groups.append(_Group(starts=[pattern[position : position + 1]]))
            continue
        if char == "|":
            position += 1
            open_groups[-1].starts.append(pattern[position : position + 1])
            continue
        if char == ")" and len(open_groups) > 1:
            group = open_groups.pop()
            body, ambiguous = group.power, group.is_ambiguous()
            position += 1
        else:
            position = _atom_end(pattern, position)
        least, most, position = _repeats(pattern, position)
        added = _repeated(body, ambiguous=ambiguous, is_group=char == ")", least=least, most=most)
        if added is None:
            return None
        open_groups[-1].power += added
    return open_groups[0].power


def _atom_end(pattern: str, position: int) -> int:
    if pattern[position] == "\\":
        return position + 2
    if pattern[position] == "[" and (match := _CLASS.match(pattern, position)):
        return match.end()
    return position + 1


def _repeats(pattern: str, position: int) -> tuple[int, float, int]:
    """Return the least and most repeats of what ends at `position`, and where its quantifier ends."""
    match = _QUANTIFIER.match(pattern, position)
    if match is None:
        return 1, 1, position
    if match[1]:
        return (1 if match[1] == "+" else 0), (1 if match[1] == "?" else float("inf")), match.end()
    least = int(match[2] or 0)
    most = least if not match[3] else float(match[4]) if match[4] else float("inf")
    return least, most, match.end()


def _repeated(body: int, *, ambiguous: bool, is_group: bool, least: int, most: float) -> int | None:
    """Return what repeating something of the power `body` adds to the whole, None when it explodes."""
    if most <= SMALL_REPEAT:
        return body * max(int(most), 1)
    if is_group and (body > 0 or ambiguous):
        return None
    return 0 if least == most else 1
