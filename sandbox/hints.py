"""Hints: an input may carry a `sandbox` field that says how its own execution shall go.

As a string it fits into one cell of a CSV file: `"outcome=error; duration_s=2; files=3"`. As an object it has the
same keys. A hint that is not known is refused, so that a misspelt one cannot pass a test by doing nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FIELD = "sandbox"
OUTCOMES = ("finished", "error", "human_in_the_loop")
#: The faults that a hint (or a rule) can name; `sandbox/faults.py` says what each does.
FAULT_NAMES = frozenset(
    {"429", "500", "500_after", "502_html", "503", "400", "404", "404_html", "401", "403_html", "not_json_html_200"}
    | {"redirect", "hang", "hang_after", "reset_before", "reset_after", "disconnect_before", "disconnect_after"}
    | {"close_listener", "cut_body", "wrong_length", "slow_drip", "bad_json", "wrong_shape", "unknown_status"}
    | {"duplicate_keys", "huge_body", "lost_execution", "partial_batch", "expired_url", "empty_file"}
)
MAX_FILES = 1000
MAX_FILE_BYTES = 4_294_967_296


class HintError(ValueError):
    """A hint that does not exist or cannot have that value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What one input asks for; None = as the options and the seed will have it."""

    outcome: str | None = None
    duration_s: float | None = None
    human_after_s: float | None = None
    approve_after_s: float | None = None
    files: int | None = None
    size_bytes: int | None = None
    filename: str | None = None
    empty_results: str | None = None
    tag: str | None = None
    fault: str | None = None
    fault_kind: str | None = None
    fault_times: int | None = None


NO_HINTS = Hints()

#: hint -> what it does; printed by `--help`.
MEANINGS: Mapping[str, str] = {
    "outcome": "finished, error, or human_in_the_loop (waits for a person; approved, it finishes)",
    "duration_s": "how long it works",
    "human_after_s": "when it begins to wait for a person (default: after half of its duration)",
    "approve_after_s": "a person approves so long after it began to wait",
    "files": "number of result files, 0..1000",
    "size_bytes": "size of each result file",
    "filename": "name of every result file, whatever characters it holds",
    "empty_results": "true: finished with `[]`; null: finished with `results` null",
    "tag": "a word that a fault rule can match",
    "fault": "a named fault for the requests that concern this execution",
    "fault_kind": "which requests: launch, batch, look or file (default: where that fault is at home)",
    "fault_times": "how often (default 1)",
}
assert set(MEANINGS) == set(Hints.__dataclass_fields__), "every hint needs a meaning"


def hints_of(given: Mapping[str, Any]) -> Hints:
    """Read the hints of an input.

    Raises:
        HintError: for an unknown hint or an impossible value.
    """
    raw = given.get(FIELD)
    if raw is None or raw == "":
        return NO_HINTS
    if isinstance(raw, str):
        pairs = dict(_pair(part) for part in raw.split(";") if part.strip())
    elif isinstance(raw, dict):
        pairs = raw
    else:
        raise HintError("sandbox: hints are a string such as 'outcome=error; duration_s=2', or an object")
    values: dict[str, Any] = {}
    for name, value in pairs.items():
        if name not in _READERS:
            raise HintError(f"sandbox: unknown hint {name!r}; known are {', '.join(MEANINGS)}")
        try:
            values[name] = _READERS[name](value)
        except (ValueError, TypeError, OverflowError) as error:
            raise HintError(f"sandbox: hint {name}={value!r} cannot be: {error}") from error
    return Hints(**values)


def _pair(part: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if not equals:
        raise HintError(f"sandbox: {part.strip()!r} is not of the form name=value")
    return name.strip(), value.strip()


def _seconds(value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 1e9:
        raise ValueError("seconds are 0 or more")
    return number


def _count(most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = int(value)
        if not 0 <= number <= most:
            raise ValueError(f"a number from 0 to {most}")
        return number

    return read


def _word(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _emptiness(value: Any) -> str:
    word = "null" if value is None else str(value).lower()
    return _word("true", "false", "null")(word)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "outcome": _word(*OUTCOMES),
    "duration_s": _seconds,
    "human_after_s": _seconds,
    "approve_after_s": _seconds,
    "files": _count(MAX_FILES),
    "size_bytes": _count(MAX_FILE_BYTES),
    "filename": _text,
    "empty_results": _emptiness,
    "tag": _text,
    "fault": _word(*sorted(FAULT_NAMES)),
    "fault_kind": _word("launch", "batch", "look", "file"),
    "fault_times": _count(1_000_000),
}
assert set(_READERS) == set(MEANINGS), "every hint needs a reader"
