"""A run told to a person: one plain line, and the stages that it went through, attempt by attempt. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.error_codes.catalogue import found as catalogued
from orchestrator.domain.statuses import ENDINGS
from orchestrator.domain.statuses import RunStatus as S

#: type of event -> the stage that begins with it, None for an end.
BEGINS: Mapping[str, str | None] = {
    "launching": "launching",
    "not_sent": "queued",
    "never_sent": "queued",
    "launched": "processing",
    "adopted": "processing",
    "late_answer": "processing",
    "in_doubt": "in_doubt",
    "answer_lost": "in_doubt",
    "waits_for_human": "human_in_the_loop",
    "human_done": "processing",
    "finished_at_provider": "downloading",
    "reopened": "queued",
    "finished": None,
    "failed_at_provider": None,
    "refused": None,
    "result_lost": None,
    "cancelled": None,
    "cancelled_at_provider": None,
    "abandoned": None,
    "failed_by_policy": None,
    "provider_lost": None,
    "unlaunchable": None,
}

#: How each stage is called.
STAGES: Mapping[str, str] = {
    "queued": "Queued",
    "launching": "Launching",
    "in_doubt": "In doubt",
    "processing": "Processing",
    "human_in_the_loop": "Human in the loop",
    "downloading": "Downloading",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stage of an attempt, from when until when (None: it lasts)."""

    attempt: int
    stage: str
    began_at: str
    ended_at: str | None


def stretches(run: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[Stretch]:
    """Return the stages that a run went through, from its history; the last one lasts while the run has not ended."""
    found: list[Stretch] = []
    attempt, began = 1, run["created_at"]
    stage: str | None = "queued"
    for event in events:
        following = BEGINS.get(event["type"], stage)
        if following == stage:
            attempt = _attempt(event, attempt)
            continue
        if stage is not None:
            found.append(Stretch(attempt=attempt, stage=stage, began_at=began, ended_at=event["at"]))
        attempt = _attempt(event, attempt)
        stage, began = following, event["at"]
    if stage is not None:
        ended = run["finished_at"] if run["status"] in ENDINGS else None
        found.append(Stretch(attempt=attempt, stage=stage, began_at=began, ended_at=ended))
    return found


def plain_line(run: Mapping[str, Any]) -> str:
    """Say in one sentence or two how a run stands."""
    status, waits = S(run["status"]), run["waiting_because"]
    because = f" It waits: {waits['message']}." if waits else ""
    tries = f"after {run['attempts']} attempts" if run["attempts"] > 1 else "at its first attempt"
    match status:
        case S.QUEUED:
            return f"Stored, and not sent yet.{because}"
        case S.LAUNCHING:
            return f"Being sent to {run['connection']}; the request may be on its way.{because}"
        case S.IN_DOUBT:
            return "It was sent, and nobody knows whether it was started. It is not sent again until somebody decides."
        case S.PROCESSING:
            return f"{run['connection']} is working on it{_looked(run)}."
        case S.HUMAN_IN_THE_LOOP:
            return f"{run['connection']} waits for a person, in its own place{_looked(run)}."
        case S.DOWNLOADING:
            return f"{run['connection']} has finished it; the results are being stored.{because}"
        case S.FINISHED:
            files = len(run["results"])
            stored = "it made no files" if not files else f"{files} file{'s are' if files > 1 else ' is'} stored"
            return f"Finished {tries}: {stored}."
        case S.ERROR:
            return f"Failed {tries}: {_error(run)}"
        case S.RESULT_LOST:
            return f"{run['connection']} finished it, but a result could not be had: {_error(run)}"
        case S.CANCELLED:
            return "Cancelled: nothing of it runs."
        case S.ABANDONED:
            return f"We stopped watching it; it may still act at {run['connection']}."


def cure(run: Mapping[str, Any]) -> str | None:
    """Return what to do about a run's error, None where the catalogue does not know it."""
    if run["error"] is None:
        return None
    return next((entry.cure for _, entry in catalogued(run["error"]["code"])), None)


def _looked(run: Mapping[str, Any]) -> str:
    looks = run["looks"]
    return "" if not looks else f"; we looked {looks} time{'s' if looks > 1 else ''}"


def _error(run: Mapping[str, Any]) -> str:
    error = run["error"]
    if error is None:
        return "nobody said why."
    message = (error["message"] or "").strip() or error["code"]
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _attempt(event: Mapping[str, Any], attempt: int) -> int:
    named = event["data"].get("attempt")
    if isinstance(named, int):
        return named
    return attempt + 1 if event["type"] == "reopened" else attempt
