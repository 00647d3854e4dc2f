"""The providers' own pages, word for word in `pages/`: each curl line as a request, with the answer below it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PAGES = Path(__file__).parent / "pages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curl:
    """One curl line of a page. `answer` is the JSON that the page shows below it, None when it shows none."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str | None
    answer: Any


def curls(page: str) -> list[Curl]:
    """Return every curl line of a page, in its order."""
    text = (PAGES / page).read_text(encoding="utf-8")
    found, at = [], text.find("curl ")
    while at >= 0:
        words, end = _command(text, at)
        found.append(_curl(words, _answer(text[end:].lstrip())))
        at = text.find("\ncurl ", end - 1) + 1 or -1
    return found


def replay(curl: Curl, changes: Mapping[str, str]) -> httpx.Response:
    """Send what the line says, with nothing changed but what `changes` names."""

    def changed(text: str) -> str:
        for old, new in changes.items():
            text = text.replace(old, new)
        return text

    headers = {name: changed(value) for name, value in curl.headers.items()}
    with httpx.Client(trust_env=False, timeout=30) as http:
        return http.request(curl.method, changed(curl.url), headers=headers, content=curl.body)


def assert_same_shape(page: Any, ours: Any, *, nullable: frozenset[str] = frozenset(), at: str = "$") -> None:
    """Compare an answer with the page's: the same names in the same order, the same types.

    Args:
        nullable: names that may be null though the page's example is not.
    """
    if ours is None and at.rsplit(".", 1)[-1] in nullable:
        return
    assert type(page) is type(ours), f"{at}: the page has {page!r}, we have {ours!r}"
    if isinstance(page, dict):
        assert [*page] == [*ours], at
        for name, value in page.items():
            assert_same_shape(value, ours[name], nullable=nullable, at=f"{at}.{name}")
    if isinstance(page, list):
        for n, item in enumerate(ours):
            assert_same_shape(page[0], item, nullable=nullable, at=f"{at}[{n}]")


def _command(text: str, at: int) -> tuple[list[str], int]:
    """Return the words of the command that begins here, and where it ends: a quoted body has several lines."""
    end = at
    while True:
        end = text.index("\n", end + 1)
        line = text[at:end]
        if line.endswith("\\"):
            continue
        try:
            return shlex.split(line.replace("\\\n", " ")), end
        except ValueError:  # no closing quotation yet
            continue


def _answer(below: str) -> Any:
    return json.JSONDecoder().raw_decode(below)[0] if below.startswith("{") else None


def _curl(words: list[str], answer: Any) -> Curl:
    method, url, headers, body = None, "", {}, None
    rest = iter(words[1:])
    for word in rest:
        match word:
            case "-X" | "--request":
                method = next(rest)
            case "-H" | "--header":
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            case "-d" | "--data":
                body = next(rest)
            case "--url":
                url = next(rest)
            case _:
                url = word
    return Curl(method=method or "GET", url=url, headers=headers, body=body, answer=answer)
