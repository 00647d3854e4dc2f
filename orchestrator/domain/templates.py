"""Names of files that a schedule reads: a template with the date of the nominal time, in the schedule's zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from orchestrator.errors import BadInput

MAX_CHARS = 400

#: By a file's ending: how its rows are written.
FORMATS: Mapping[str, str] = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"}

#: What may stand between braces. The time is the nominal one, on the clock of the schedule's zone.
WORDS: Mapping[str, Callable[[datetime], str]] = {
    "date": lambda at: at.strftime("%Y-%m-%d"),
    "yesterday": lambda at: (at.date() - timedelta(days=1)).isoformat(),
    "time": lambda at: at.strftime("%H%M"),
    "year": lambda at: at.strftime("%Y"),
    "month": lambda at: at.strftime("%m"),
    "day": lambda at: at.strftime("%d"),
    "hour": lambda at: at.strftime("%H"),
    "minute": lambda at: at.strftime("%M"),
    "week": lambda at: at.strftime("%G-W%V"),
}

_BRACES = re.compile(r"\{([^{}]*)\}")


def check(template: str) -> str:
    """Return the template if it names a file below the folder of inputs.

    Raises:
        BadInput: an unknown word, an absolute or climbing path, or an ending that names no format.
    """
    if not template or len(template) > MAX_CHARS or not template.isprintable():
        raise _refused(f"a file's name has 1 to {MAX_CHARS} printable characters")
    for word in _BRACES.findall(template):
        if word not in WORDS:
            raise _refused(f"{{{word}}} is not known; there are {', '.join('{' + known + '}' for known in WORDS)}")
    if re.search(r"[{}]", _BRACES.sub("", template)):
        raise _refused("a brace is left open")
    path = PurePosixPath(template)
    if path.is_absolute() or ".." in path.parts or "\\" in template or template.endswith("/"):
        raise _refused(f"{template!r} is not below the folder of inputs", hint="name it as in/nightly-{date}.csv")
    if path.suffix.lower() not in FORMATS:
        raise _refused(f"its ending says how it is written, one of {', '.join(FORMATS)}; {template!r} has none of them")
    return template


def fill(template: str, local: datetime) -> str:
    """Return the name for one nominal time, given on the clock of the schedule's zone."""
    return _BRACES.sub(lambda found: WORDS[found.group(1)](local), template)


def format_of(name: str) -> str:
    """Return how a file's rows are written, by its ending."""
    return FORMATS[PurePosixPath(name).suffix.lower()]


def _refused(message: str, *, hint: str | None = None) -> BadInput:
    return BadInput(f"input: {message}", code="schedule.input", hint=hint)
