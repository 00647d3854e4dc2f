"""Schedules: what is submitted again and again, and what became of each tick."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast
from urllib.parse import quote

from orchestrator.client.runs import pages
from orchestrator.client.wire import Wire


class Fire(TypedDict, total=False):
    """One tick of a schedule: due, waiting, queued, fired, skipped, missed or merged, and why."""

    id: str
    nominal_at: str
    state: str
    why: str | None
    asked_by: str | None
    reason: str | None
    path: str | None
    sha256: str | None
    batch_id: str | None
    run_id: str | None
    deadline_at: str
    decided_at: str | None
    late_s: float | None


class Schedule(TypedDict, total=False):
    """What is submitted again and again."""

    name: str
    status: str
    when: str
    cron: str | None
    every_s: int | None
    tz: str
    next_at: str | None
    workflow_id: str
    workflow_name: str
    connection: str
    input: dict[str, Any] | None
    file: str | None
    options: dict[str, Any]
    overlap: str
    catch_up: str
    max_catch_up: int
    deadline_s: int
    allow_same_content: bool
    paused_at: str | None
    paused_by: str | None
    paused_note: str | None
    last_fire: Fire | None
    created_by: str
    created_at: str


class Tick(TypedDict, total=False):
    """A tick to come; `jump` says what a clock change does to it."""

    at: str
    local: str
    jump: str | None
    file: str | None


class Preview(TypedDict, total=False):
    """The next ticks of a rhythm, `when` in words."""

    when: str
    tz: str
    ticks: list[Tick]


class Schedules:
    """When what is submitted."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(
        self,
        name: str,
        *,
        workflow_id: str,
        connection: str,
        cron: str | None = None,
        every: str | None = None,
        tz: str = "UTC",
        input: bytes | None = None,
        file: str | None = None,
        **choices: Any,
    ) -> Schedule:
        """Make a schedule.

        Args:
            input: the text of a JSON object, sent as it is: each tick submits one run. Or
            file: a name, or a template such as `in/nightly-{date}.csv`: each tick submits it as a batch.
            choices: overlap, catch_up, max_catch_up, deadline_s, allow_same_content, and those of a batch.
        """
        body = {"name": name, "workflow_id": workflow_id, "connection": connection, "cron": cron, "every": every}
        content = _body(body | {"tz": tz, "file": file} | choices, input)
        return cast(Schedule, self._wire.json("POST", "/schedules", body=content))

    def list(self) -> Sequence[Schedule]:
        """Return every schedule, each with what its latest tick came to."""
        return cast(Sequence[Schedule], self._wire.get("/schedules")["data"])

    def get(self, name: str) -> Schedule:
        """Return one schedule."""
        return cast(Schedule, self._wire.get(_path(name)))

    def preview(self, name: str, *, count: int = 10) -> Preview:
        """Return a schedule's next ticks."""
        return cast(Preview, self._wire.get(f"{_path(name)}/preview", {"n": count}))

    def preview_rhythm(
        self, *, cron: str | None = None, every: str | None = None, tz: str = "UTC", count: int = 10
    ) -> Preview:
        """Return the ticks that a rhythm would have; nothing is stored."""
        return cast(Preview, self._wire.get("/schedules:preview", {"cron": cron, "every": every, "tz": tz, "n": count}))

    def fires(self, name: str, *, states: Sequence[str] = (), limit: int | None = None) -> Sequence[Fire]:
        """Return a schedule's ticks, latest first."""
        query = {"state": ",".join(states) or None}
        return cast(Sequence[Fire], [*pages(self._wire, f"{_path(name)}/fires", query, limit)])

    def update(self, name: str, *, input: bytes | None = None, **changes: Any) -> Schedule:
        """Change what is given: cron, every, tz, file, and the choices of `create`; `reason` says why."""
        content = _body(changes, input)
        return cast(Schedule, self._wire.json("PATCH", _path(name), body=content))

    def pause(self, name: str, note: str) -> Schedule:
        """Skip ticks from now on, and say why."""
        return self._act(name, "pause", {"note": note})

    def resume(self, name: str, *, reason: str | None = None) -> Schedule:
        """Fire again from now on."""
        return self._act(name, "resume", {"reason": reason})

    def run_now(self, name: str, *, reason: str | None = None, nominal_at: str | None = None) -> Schedule:
        """Fire once, now.

        Args:
            nominal_at: of a tick that was missed, skipped or merged, to be carried out after all: ISO 8601; without a
                zone it is on the schedule's clock.
        """
        return self._act(name, "run-now", {"reason": reason, "nominal_at": nominal_at})

    def delete(self, name: str, *, reason: str | None = None) -> None:
        """Remove a schedule. What it submitted goes on, and its history stays."""
        self._wire.json("DELETE", _path(name), query={"reason": reason})

    def _act(self, name: str, verb: str, body: Mapping[str, Any]) -> Schedule:
        return cast(Schedule, self._wire.json("POST", f"{_path(name)}:{verb}", body=_body(body)))


def _path(name: str) -> str:
    return f"/schedules/{quote(name, safe='')}"


def _body(fields: Mapping[str, Any], input: bytes | None = None) -> bytes:
    """Return a JSON object of what was given. The input is last and untouched: its faults are the server's to say."""
    given = {name: value for name, value in fields.items() if value is not None}
    text = json.dumps(given, ensure_ascii=False).encode()
    if input is None:
        return text
    return text[:-1] + (b", " if given else b"") + b'"input": ' + input + b"}"
