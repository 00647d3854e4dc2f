"""A submission against a schema that is known does not wait for a provider that hangs, nor for a spent budget."""

from __future__ import annotations

import time

import pytest

from orchestrator.engine import submit, workflows
from orchestrator.engine.submit import RunSpec
from tests.engine.conftest import Office

pytestmark = pytest.mark.anyio


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a schema be old at once, and a newer one be waited for only a moment."""
    monkeypatch.setattr(workflows, "FRESH_S", 0.0)
    monkeypatch.setattr(workflows, "REFRESH_PATIENCE_S", 0.2)


async def test_a_provider_that_hangs_holds_up_no_submission_that_it_is_not_needed_for(
    office: Office, impatient: None
) -> None:
    spec = RunSpec(connection="main", workflow_id=office.sandbox.workflows["Free form"], input=b"{}")
    await submit.submit_run(office.deps, office.who, spec)
    office.sandbox.faults([{"fault": "hang", "kind": "view", "seconds": 5}])
    began_at = time.monotonic()
    assert (await submit.submit_run(office.deps, office.who, spec)).created
    assert time.monotonic() - began_at < 4.5, "it waited for the provider, whose answer is given up after 5 s"


async def test_a_spent_budget_holds_up_no_submission_either(office: Office, impatient: None) -> None:
    await office.connect("slow", requests_per_minute=1, limit_group="slow")
    spec = RunSpec(connection="slow", workflow_id=office.sandbox.workflows["Free form"], input=b"{}")
    await submit.submit_run(office.deps, office.who, spec)
    began_at = time.monotonic()
    assert (await submit.submit_run(office.deps, office.who, spec)).created
    assert time.monotonic() - began_at < 30, "it waited for the window of 60 s"
