"""A batch with a life: refused rows, failures, a doubted wave, a retry; and how its reports are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from orchestrator.engine import doubts, operate, report
from orchestrator.engine.report_order import Report, ReportFormat, ReportOptions
from tests.engine.conftest import Hands, Office, hands, office, provider, providers, sandbox
from tests.engine.test_nothing_is_stranded import change, count_is, ended

__all__ = ["hands", "office", "provider", "providers", "sandbox"]

#: Names that somebody chose to harm a reader: markup, a formula, a mark that turns the direction of text.
HOSTILE_NAME = "</title><script>alert(1)</script> gnp.exe"
HOSTILE_REASON = '=HYPERLINK("http://evil.example","ok") <img src=x onerror=alert(1)> \u202e'
HOSTILE_FILE = "=cmd|calc'!A1\u202e<b>.json"

ACCEPTED, REFUSED = 24, 2


@dataclass
class Story:
    """What happened, for the tests to ask about."""

    batch_id: UUID
    office: Office
    hands: Hands


def rows() -> list[Any]:
    """Return the rows of the file: two are no objects; two fail; one has no file; one has a hostile file name."""
    hints = {3: "outcome=error", 8: "outcome=error", 11: "empty_results=true", 12: f"filename={HOSTILE_FILE}"}
    found: list[Any] = [
        {"n": n, "amount": f"{n}.10", "sandbox": f"duration_s=0.05;{hints.get(n, '')}"} for n in range(ACCEPTED)
    ]
    return [*found, 5, "neither"]


@pytest.fixture
async def story(office: Office, hands: Hands) -> Story:
    """A batch whose first wave was doubted and adopted, whose failures were retried once, and that has ended."""
    office.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    submitted = await office.submit(rows(), name=HOSTILE_NAME, skip_invalid=True, wave_size=ACCEPTED)
    assert submitted.id is not None
    await hands.work(until=count_is(office, submitted.id, "in_doubt", ACCEPTED))
    (doubt,) = await doubts.list_doubts(office.deps, office.who)
    ids: dict[int, str] = {e["index"]: e["id"] for e in office.sandbox.truth()["executions"]}
    await doubts.resolve_doubt(
        office.deps, office.who, UUID(doubt["id"]), how="adopt", execution_ids=ids, reason=HOSTILE_REASON
    )
    await hands.work(until=ended(office, submitted.id))
    # The doubt's breaker would have the retry wait for its probe.
    await change(office, "UPDATE lanes SET breaker = 'closed', breaker_probe_at = NULL")
    await operate.retry_failed(office.deps, office.who, submitted.id, reason="the provider had a bad hour")
    await hands.work(until=ended(office, submitted.id))
    return Story(batch_id=submitted.id, office=office, hands=hands)


async def of_batch(story: Story, format: str = "html", **options: Any) -> Report:
    """Make the batch's report."""
    wanted = ReportOptions(format=ReportFormat(format), **options)
    return await report.batch_report(story.office.deps, story.office.who, story.batch_id, wanted)


async def text_of(made: Report) -> str:
    """Return a report's document as text."""
    return b"".join([chunk async for chunk in made.chunks()]).decode()
