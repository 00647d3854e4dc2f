"""The query bar of runs: words in, the API's own parameters out, and a chip for each that can be taken away."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams

from orchestrator.api.queries import Query
from orchestrator.domain.statuses import RunStatus
from orchestrator.errors import BadInput, Problem

#: As `GET /api/v1/runs` knows them.
TEXTS = ("status", "workflow", "connection", "batch", "dateFrom", "dateTo", "external_id", "error_code", "origin")
LABEL = "label"

#: What people write for them.
_NAMES = {
    **{name.lower(): name for name in TEXTS},
    "label": LABEL,
    "from": "dateFrom",
    "to": "dateTo",
    "error": "error_code",
    "id": "external_id",
}
_WORD = re.compile(r'(?P<name>[A-Za-z_]+):(?:"(?P<quoted>[^"]*)"|(?P<plain>\S*))|(?P<free>\S+)')
_AGE = re.compile(r"([0-9]{1,5})(m|h|d|w)")
_AGE_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MAX_CHARS = 2_000

#: Said on the chip in other words than the parameter's.
_TITLES = {"dateFrom": "from", "dateTo": "to", "external_id": "external id", "error_code": "error"}


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is on, and the path without it."""

    name: str
    value: str
    without: str


def query_of(params: QueryParams, *, paged: bool = True) -> Query:
    """Return the checked parameters of a list of runs.

    Raises:
        BadInput: one of them is unknown, doubled or malformed.
    """
    known = (*TEXTS, "limit", "cursor") if paged else TEXTS
    return Query(params, known, repeatable=frozenset({LABEL}))


def filters_of(query: Query) -> dict[str, Any]:
    """Return the filters as the engine takes them."""
    return {
        "statuses": query.statuses(),
        "workflow": query.text("workflow"),
        "connection": query.text("connection"),
        "batch": query.id("batch"),
        "since": query.since(),
        "until": query.until(),
        "external_id": query.text("external_id"),
        "labels": query.labels(),
        "error_codes": query.words("error_code"),
        "origin": query.origin(),
    }


def kept_of(params: QueryParams) -> dict[str, Any]:
    """Return the filters as an operation shows them later: of labels the keys alone, as the API does."""
    kept: dict[str, Any] = {name: params[name] for name in TEXTS if name in params and name != "external_id"}
    for name in ("status", "error_code"):
        if name in kept:
            kept[name] = kept[name].split(",")
    labels = sorted({pair.partition("=")[0] for pair in params.getlist(LABEL)})
    return kept | ({"labels": labels} if labels else {})


def read_words(text: str, *, now: datetime) -> list[tuple[str, str]]:
    """Return what was written into the bar as parameters of the list.

    Raises:
        BadInput: a word that is no filter; the message says which there are.
    """
    found: dict[str, list[str]] = {}
    for match in _WORD.finditer(text[:MAX_CHARS]):
        if match["free"] is not None:
            name, value = "external_id", match["free"]
        else:
            name, value = match["name"].lower(), match["quoted"] if match["quoted"] is not None else match["plain"]
            if name == "since":
                name, value = "dateFrom", _since(value, now)
            elif name not in _NAMES:
                raise _unknown(match["name"])
            else:
                name = _NAMES[name]
        if value:
            found.setdefault(name, []).append(value)
    return [pair for name, values in found.items() for pair in _joined(name, values)]


def is_id(text: str) -> bool:
    """Tell whether what was written is one id, to go there at once."""
    try:
        return str(UUID(text.strip())) == text.strip().lower()
    except ValueError:
        return False


def written(params: QueryParams) -> str:
    """Return the filters as they would be written into the bar."""
    pairs = [(name, value) for name, value in params.multi_items() if name in (*TEXTS, LABEL)]
    return " ".join(f'{name}:"{value}"' if " " in value else f"{name}:{value}" for name, value in pairs)


def chips(params: QueryParams, path: str) -> list[Chip]:
    """Return a chip for each filter that is on."""
    pairs = [(name, value) for name, value in params.multi_items() if name in (*TEXTS, LABEL)]
    found = []
    for at, (name, value) in enumerate(pairs):
        rest = urlencode(pairs[:at] + pairs[at + 1 :])
        shown = value.replace(",", " or ").replace("_", " ") if name == "status" else value
        found.append(Chip(_TITLES.get(name, name), shown, f"{path}?{rest}" if rest else path))
    return found


def spelled(params: QueryParams) -> str:
    """Return the filters as one query, without the place in the list."""
    return urlencode([(name, value) for name, value in params.multi_items() if name in (*TEXTS, LABEL)])


def with_status(params: QueryParams, statuses: Sequence[str], path: str) -> str:
    """Return the path of the same list for other statuses."""
    pairs = [(n, v) for n, v in params.multi_items() if n in (*TEXTS, LABEL) and n != "status"]
    pairs = ([("status", ",".join(statuses))] if statuses else []) + pairs
    return f"{path}?{urlencode(pairs)}" if pairs else path


#: Offered beside the bar: a title, its statuses.
QUICK: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("All", ()),
    ("Under way", (RunStatus.QUEUED, RunStatus.LAUNCHING, RunStatus.PROCESSING, RunStatus.DOWNLOADING)),
    ("Waits for people", (RunStatus.HUMAN_IN_THE_LOOP, RunStatus.IN_DOUBT)),
    ("Failed", (RunStatus.ERROR, RunStatus.RESULT_LOST)),
    ("Finished", (RunStatus.FINISHED,)),
)


def _joined(name: str, values: list[str]) -> list[tuple[str, str]]:
    """Several values of a list's name are one list; labels stand beside each other; of others the last counts."""
    if name == LABEL:
        return [(name, value) for value in values]
    if name in ("status", "error_code"):
        return [(name, ",".join(values))]
    return [(name, values[-1])]


def _since(value: str, now: datetime) -> str:
    match = _AGE.fullmatch(value)
    if match is None:
        return value
    return f"{now - timedelta(**{_AGE_UNITS[match[2]]: int(match[1])}):%Y-%m-%dT%H:%M:%SZ}"


def _unknown(name: str) -> BadInput:
    message = f"there is no filter {name[:50]}: it knows {', '.join(sorted({*_NAMES, 'since'}))}"
    return BadInput(
        message, code="query.unknown", problems=(Problem(message=message, code="query.unknown", field="q"),)
    )
