"""Sums of a named field over inputs or results: exact decimals, and every row that has no number is counted and named.

A number is a JSON number, or a JSON string that spells a plain decimal ("12.50"): systems that care for cents send
those. The first 20 rows that have none are named; a report that left them out silently would add up by accident.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from typing import Any, NoReturn

#: Digits of a sum; one that needs more is refused rather than rounded.
MAX_DIGITS = 400
#: Spelling of one number, in characters: 1e999999999 is a short way to a very long number.
MAX_NUMBER_CHARS = 64
MAX_EXPONENT = 64

#: Rows without a number that are named.
MAX_NAMED = 20

#: A result file that is longer is not read for a sum.
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024

Number = int | Decimal

_EXACT = Context(prec=MAX_DIGITS, traps=[Inexact, InvalidOperation])
_PLAIN = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")


class Lack(StrEnum):
    """Why a row has no number."""

    MISSING = "the field is missing"
    NO_NUMBER = "it is no number"
    UNREADABLE = "it is no JSON object"
    TOO_LARGE = "the file is too large to be read"
    CHANGED = "the file is not the one that was stored"
    NO_FILE = "there is no JSON result"
    ERASED = "it was erased"


def plus(one: Number, other: Number) -> Number:
    """Add exactly; a sum that would need more than `MAX_DIGITS` raises instead of being rounded."""
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    return _EXACT.add(Decimal(one), Decimal(other))


def minus(one: Number, other: Number) -> Number:
    """Subtract exactly."""
    return plus(one, -other if isinstance(other, int) else other.copy_negate())


def alike(values: Sequence[Number]) -> list[Number]:
    """Return the same numbers with as many decimals as the longest of them: 256.1 beside 278.40 is 256.10."""
    places = min((int(v.as_tuple().exponent) for v in values if isinstance(v, Decimal)), default=0)
    if places >= 0:
        return list(values)
    return [Decimal(v).quantize(Decimal(1).scaleb(places), context=_EXACT) for v in values]


def amount_of(document: bytes, name: str) -> Decimal | Lack:
    """Return the number that a JSON document holds under a name, or why it has none.

    Args:
        name: a field of the object, as it is written; one that begins with `/` is a path of fields (`/total/amount`).
    """
    try:
        value: Any = json.loads(document, parse_float=_decimal, parse_int=_decimal, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return Lack.UNREADABLE
    if not isinstance(value, dict):
        return Lack.UNREADABLE
    for step in name[1:].split("/") if name.startswith("/") else [name]:
        if not isinstance(value, dict) or step not in value:
            return Lack.MISSING
        value = value[step]
    if isinstance(value, str) and _PLAIN.fullmatch(value) and len(value) <= MAX_NUMBER_CHARS:
        return Decimal(value)
    return value if isinstance(value, Decimal) else Lack.NO_NUMBER


def _decimal(spelling: str) -> Decimal | None:
    """Return the exact number; None for one that no amount would be, which then is no number."""
    if len(spelling) > MAX_NUMBER_CHARS:
        return None
    number = Decimal(spelling)
    return number if abs(number.adjusted()) <= MAX_EXPONENT else None


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountSum:
    """The sum of one field.

    Args:
        of: `input` or `result`.
        total: over every row that has a number.
        total_finished: over those of them whose run finished; for results the same as `total`.
        rows: rows with a number.
        lacking: why -> rows without one.
        named: the first rows without one, and why.
    """

    of: str
    name: str
    total: Decimal = Decimal(0)
    total_finished: Decimal = Decimal(0)
    rows: int = 0
    lacking: dict[str, int] = field(default_factory=dict)
    named: tuple[tuple[str, str], ...] = ()

    @property
    def erased(self) -> int:
        """Rows whose number went when their run was erased."""
        return self.lacking.get(str(Lack.ERASED), 0)

    def plus(self, row: str, amount: Decimal | Lack, *, finished: bool) -> AmountSum:
        """Return the sum with one more row."""
        if isinstance(amount, Lack):
            lacking = self.lacking | {str(amount): self.lacking.get(str(amount), 0) + 1}
            named = (*self.named, (row, str(amount))) if len(self.named) < MAX_NAMED else self.named
            return replace(self, lacking=lacking, named=named)
        return replace(
            self,
            total=_EXACT.add(self.total, amount),
            total_finished=_EXACT.add(self.total_finished, amount) if finished else self.total_finished,
            rows=self.rows + 1,
        )
