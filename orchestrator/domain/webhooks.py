"""Webhooks: what is told, when a failed delivery is tried again, and when a webhook is given up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from orchestrator.domain.changes import Change, InboxKind
from orchestrator.domain.statuses import BATCH_ENDINGS, ENDINGS, MEANINGS, RunStatus

TEST = "webhook.test"
DISABLED = "webhook.disabled"
DOUBT = "doubt.opened"
HUMAN = "human.needed"
AT_RISK = "result.at_risk"
REFUSED = "connection.refused"
VERSION_ENDING = "connection.version_ending"
MISSED = "schedule.missed"
RUN_STANDS = "run.no_progress"
BATCH_STANDS = "batch.no_progress"
BATCH_PAUSED = "batch.paused"

#: type -> when it is told, in the words of the docs.
EVENTS: Mapping[str, str] = {
    **{f"run.{status}": f"a run has ended: {MEANINGS[status]}" for status in RunStatus if status in ENDINGS},
    RUN_STANDS: "the provider has an execution for over 20 minutes; told again after a day",
    **{f"batch.{status}": "a batch has ended; `counts` says how its runs did" for status in sorted(BATCH_ENDINGS)},
    BATCH_PAUSED: "more runs of a batch failed than its `--max-failures` allows; nothing more of it is launched",
    BATCH_STANDS: "nothing in a live batch has moved for an hour, though nobody paused it",
    DOUBT: "a launch was sent, or may have been, and its outcome is unknown: a run, or items of a wave",
    HUMAN: "the provider waits for a person to approve an execution, in its own console",
    AT_RISK: "a result is not stored, and its URL dies within 20 minutes",
    REFUSED: "the provider refuses a connection's key; nothing is launched until it is tested or changed",
    VERSION_ENDING: "the provider will end the API version that a connection asks for; told again if the day changes",
    MISSED: "a tick of a schedule, or several, submitted nothing and will not by itself",
    DISABLED: "another webhook of the workspace was disabled, because of what it answered, or did not",
}

#: What a webhook may ask for: a type, a family, or all.
PATTERNS = ("*", *sorted({f"{name.partition('.')[0]}.*" for name in EVENTS}), *EVENTS)

#: The example of the Standard Webhooks specification: after the first try so many more, seconds after the one before.
RETRIES_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: Up to this share later, so that what failed together does not come back together.
JITTER = 0.1

#: A webhook through which nothing came for so long, though it was tried, is disabled.
GIVEN_UP_AFTER = timedelta(days=5)

#: A webhook of whose turn nothing came through rests, doubling: it would hold up its own turns, not those of others.
LONGEST_REST_S = 300.0

#: A batch in which nothing moves for so long makes no progress.
STANDS_AFTER_S = 3_600.0


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to tell.

    Args:
        about: what it tells of: a workspace is told once about each.
        data: ids, states and codes; never an input, a result or a provider's text.
    """

    workspace_id: UUID
    type: str
    about: str
    data: Mapping[str, object]
    run_id: UUID | None = None
    batch_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAnswer:
    """What came of one try.

    Args:
        status: of the answer; None when there was none.
        error: what was wrong, in our words; None when it was delivered.
        response: the start of the answer's body, without secrets.
        retry_after_s: how long the receiver asks us to wait.
    """

    status: int | None
    error: str | None
    response: str | None = None
    retry_after_s: float | None = None
    took_s: float = 0.0

    @property
    def is_gone(self) -> bool:
        """The receiver wants nothing more, ever."""
        return self.status == 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a try means for its delivery."""

    state: DeliveryState
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a webhook does.

    Args:
        failing_since: the first failure since anything came through.
        failed_turns: turns in a row in which nothing came through.
        disabled_because: why it is to be disabled now.
    """

    failing_since: datetime | None = None
    failed_turns: int = 0
    rests_until: datetime | None = None
    disabled_because: str | None = None


def of_change(change: Change, *, attempt: int) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield what a change of a run tells: types, and their data."""
    data: dict[str, object] = {"status": str(change.to), "attempt": attempt}
    if change.error is not None:
        data["error_code"] = change.error.code
    if change.to in ENDINGS and change.was != change.to:
        yield f"run.{change.to}", data
    if change.opens is InboxKind.DOUBT:
        yield DOUBT, data
    if change.opens is InboxKind.HUMAN:
        yield HUMAN, data
    for event in change.events:
        if event.type == "overdue":
            yield RUN_STANDS, {**data, **(event.data or {})}


def after(answer: WebhookAnswer, *, tries: int, now: datetime, unit: float) -> Verdict:
    """Return what a try means.

    Args:
        tries: how many there were, this one among them.
        unit: in [0, 1), to spread what failed together.
    """
    if answer.error is None:
        return Verdict(state=DeliveryState.DELIVERED)
    if answer.is_gone or tries > len(RETRIES_S):
        return Verdict(state=DeliveryState.FAILED)
    wait_s = RETRIES_S[tries - 1] * (1 + JITTER * unit)
    return Verdict(
        state=DeliveryState.PENDING, due_at=now + timedelta(seconds=max(wait_s, answer.retry_after_s or 0.0))
    )


def health_after(health: Health, answers: Sequence[WebhookAnswer], *, now: datetime) -> Health:
    """Return how a webhook does after a turn."""
    if any(answer.is_gone for answer in answers):
        return Health(failing_since=health.failing_since or now, disabled_because="it answered 410 Gone")
    if any(answer.error is None for answer in answers):
        return Health(rests_until=_asked_until(answers, now))
    since, failed_turns = health.failing_since or now, health.failed_turns + 1
    because = None
    if now - since >= GIVEN_UP_AFTER:
        because = f"nothing has come through for {GIVEN_UP_AFTER.days} days"
    rest = now + timedelta(seconds=min(2.0 ** min(failed_turns - 1, 10), LONGEST_REST_S))
    return Health(
        failing_since=since,
        failed_turns=failed_turns,
        rests_until=max(rest, _asked_until(answers, now) or rest),
        disabled_because=because,
    )


def _asked_until(answers: Sequence[WebhookAnswer], now: datetime) -> datetime | None:
    """Return until when the receiver asked us to wait."""
    longest_s = max((answer.retry_after_s or 0.0 for answer in answers), default=0.0)
    return now + timedelta(seconds=longest_s) if longest_s > 0 else None
