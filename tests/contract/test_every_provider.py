"""What every provider must do, whatever it can do: the engine knows no more of one than what is held here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from orchestrator.domain.answers import Accepted, ListAsk, RemoteStatus, Standing
from orchestrator.domain.resending import launch_key
from orchestrator.engine.launch_orders import ENVELOPE_BYTES
from orchestrator.engine.ports import Provider
from orchestrator.errors import Gone, KeyRefused, NotCancellable, NotSent, OutcomeUnknown, Refused
from orchestrator.providers.files import HttpFileFetcher
from orchestrator.providers.inline import inline_body
from orchestrator.providers.outcomes import OUTCOMES
from orchestrator.providers.registry import PROVIDERS
from orchestrator.runtime import since_boot_s
from tests.contract.conftest import Case

pytestmark = pytest.mark.anyio


@pytest.fixture
async def provider(case: Case) -> AsyncIterator[Provider]:
    made = case.make()
    yield made
    await made.aclose()


async def launch(provider: Provider, case: Case, *, item: bytes | None = None, key: str | None = None) -> Accepted:
    body = provider.launch_body(case.item if item is None else item)
    key = key or launch_key(uuid4(), 1)
    return await provider.launch(case.access, case.workflow, body, send_by=since_boot_s() + 60, key=key)


async def test_what_it_declares_fits_together(provider: Provider) -> None:
    can = provider.capabilities
    assert bool(can.wave_widths) == (can.wave_max_items > 0)
    assert can.inline_results == (can.url_life_s is None)
    assert can.max_body_bytes > ENVELOPE_BYTES
    assert can.bulk_observe >= 0
    assert can.requests_per_minute >= 1 and can.concurrent_per_workflow >= 1
    assert provider.name.isidentifier()
    with pytest.raises(AttributeError):
        can.cancel = True  # type: ignore[misc]


async def test_what_its_failures_mean_is_a_table(provider: Provider) -> None:
    if provider.name in PROVIDERS:
        cancels = {"cancel"} if provider.capabilities.cancel else set()
        assert OUTCOMES[provider.name].keys() == {"launch", "look", "file"} | cancels


async def test_each_workflow_that_it_lists_can_be_viewed(provider: Provider, case: Case) -> None:
    page = await provider.list_workflows(case.access)
    assert case.workflow in {summary.remote_id for summary in page.workflows}
    for summary in page.workflows:
        view = await provider.view_workflow(case.access, summary.remote_id)
        assert view.remote_id == summary.remote_id and view.name
        assert view.input_schema is None or json.loads(json.dumps(view.input_schema)) == view.input_schema


async def test_a_workflow_that_it_does_not_have_is_gone(provider: Provider, case: Case) -> None:
    with pytest.raises(Gone):
        await provider.view_workflow(case.access, "00000000-0000-4000-8000-000000000000")


async def test_a_launch_has_the_same_bytes_each_time_and_the_items_own_in_them(provider: Provider, case: Case) -> None:
    body = provider.launch_body(case.item)
    assert body == provider.launch_body(case.item) and case.item in body
    assert len(body) <= len(case.item) + ENVELOPE_BYTES


async def test_what_is_launched_is_watched_to_its_end_and_its_results_can_be_had(
    provider: Provider, case: Case
) -> None:
    accepted = await launch(provider, case)
    seen = await provider.observe(case.access, case.workflow, accepted.execution_id)
    assert seen.status in {RemoteStatus.WAITING, RemoteStatus.RUNNING} and accepted.word
    case.pass_time()
    seen = await provider.observe(case.access, case.workflow, accepted.execution_id)
    assert seen.status is RemoteStatus.FINISHED and seen.files
    assert provider.capabilities.inline_results == all(inline_body(file.url) is not None for file in seen.files)
    for file in seen.files:
        async with HttpFileFetcher(allow_private_networks=True).fetch(file.url) as answer:
            assert len(b"".join([part async for part in answer.chunks])) == answer.length_bytes
    assert case.executions() == 1


async def test_a_lost_answer_is_unknown_and_where_it_takes_keys_the_same_launch_gives_the_same_id(
    provider: Provider, case: Case
) -> None:
    case.lose()
    key = launch_key(uuid4(), 1)
    with pytest.raises(OutcomeUnknown):
        await launch(provider, case, key=key)
    assert case.executions() == 1
    if provider.capabilities.launch_key is not None:
        first, second = await launch(provider, case, key=key), await launch(provider, case, key=key)
        assert first.execution_id == second.execution_id and case.executions() == 1
        other = await launch(provider, case, key=launch_key(uuid4(), 1))
        assert other.execution_id != first.execution_id and case.executions() == 2


async def test_nothing_is_written_after_the_deadline(provider: Provider, case: Case) -> None:
    body = provider.launch_body(case.item)
    with pytest.raises(NotSent) as late:
        await provider.launch(case.access, case.workflow, body, send_by=since_boot_s() - 1, key=launch_key(uuid4(), 1))
    assert (late.value.code, case.executions()) == ("too_late", 0)


async def test_a_key_that_is_none_is_refused_as_such(provider: Provider, case: Case) -> None:
    stranger = replace(case, access=replace(case.access, api_key="wrong"))
    with pytest.raises(KeyRefused):
        await launch(provider, stranger)
    with pytest.raises(KeyRefused):
        await provider.list_workflows(stranger.access)


async def test_a_bad_input_is_refused_for_good(provider: Provider, case: Case) -> None:
    with pytest.raises(Refused) as no:
        await launch(provider, case, item=case.bad_item)
    assert not isinstance(no.value, KeyRefused)


async def test_an_execution_that_it_does_not_know_is_gone(provider: Provider, case: Case) -> None:
    for unknown in ("job_0000000000000000", "../jobs", "7c9e6679-7425-40de-944b-e07fc1f90ae7"):
        with pytest.raises(Gone):
            await provider.observe(case.access, case.workflow, unknown)


async def listed(provider: Provider, case: Case, standing: Standing | None) -> dict[str, RemoteStatus]:
    """Walk one of a provider's lists to its end: what each execution shows."""
    ask, found = ListAsk(standing=standing, workflow_ids=(case.workflow,)), dict[str, RemoteStatus]()
    for _ in range(20):
        page = await provider.list_executions(case.access, ask)
        assert len(page.executions) <= provider.capabilities.bulk_observe
        assert {one.workflow_id for one in page.executions} <= {case.workflow}
        assert all(one.created_at is not None and one.created_at.tzinfo for one in page.executions)
        found |= {one.execution_id: one.seen.status for one in page.executions}
        if page.cursor is None:
            return found
        ask = replace(ask, cursor=page.cursor)
    raise AssertionError("a list comes to its end")


async def test_where_it_has_a_list_it_shows_each_execution_as_a_look_would(provider: Provider, case: Case) -> None:
    if not provider.capabilities.bulk_observe:
        return
    ids = [(await launch(provider, case)).execution_id for _ in range(5)]
    live = await listed(provider, case, Standing.LIVE)
    assert live.keys() == set(ids) and await listed(provider, case, Standing.ENDED) == {}
    case.pass_time()
    assert await listed(provider, case, Standing.LIVE) == {}
    assert await listed(provider, case, Standing.ENDED) == await listed(provider, case, None)
    page = await provider.list_executions(case.access, ListAsk(standing=Standing.ENDED))
    for one in page.executions:
        assert one.seen == await provider.observe(case.access, case.workflow, one.execution_id)
    stranger = replace(case.access, api_key="wrong")
    with pytest.raises(KeyRefused):
        await provider.list_executions(stranger, ListAsk())


async def test_where_it_has_a_list_it_is_bounded_by_when_executions_were_made(provider: Provider, case: Case) -> None:
    if not provider.capabilities.bulk_observe:
        return
    id = (await launch(provider, case)).execution_id
    (one,) = (await provider.list_executions(case.access, ListAsk())).executions
    assert one.created_at is not None
    bounds = ListAsk(since=one.created_at, until=one.created_at)
    assert [found.execution_id for found in (await provider.list_executions(case.access, bounds)).executions] == [id]
    for bad in (ListAsk(since=one.created_at + timedelta(hours=1)), ListAsk(until=one.created_at - timedelta(hours=1))):
        assert (await provider.list_executions(case.access, bad)).executions == ()


async def test_where_it_can_cancel_it_cancels_what_waits_and_nothing_else(provider: Provider, case: Case) -> None:
    if not provider.capabilities.cancel:
        return
    waits = (await launch(provider, case)).execution_id
    for _ in range(2):
        with suppress(NotCancellable):  # asked twice, it may say so: what it shows decides
            assert (await provider.cancel(case.access, case.workflow, waits)).status is RemoteStatus.CANCELLED
        assert (await provider.observe(case.access, case.workflow, waits)).status is RemoteStatus.CANCELLED
    ended = (await launch(provider, case)).execution_id
    case.pass_time()
    with pytest.raises(NotCancellable):
        await provider.cancel(case.access, case.workflow, ended)
    for unknown in ("job_0000000000000000", "../jobs"):
        with pytest.raises(Gone):
            await provider.cancel(case.access, case.workflow, unknown)


async def test_a_wave_names_each_of_its_items(provider: Provider, case: Case) -> None:
    for level in provider.capabilities.wave_widths:
        body = provider.wave_body([case.item] * 3, level=level)
        wave = await provider.launch_wave(case.access, case.workflow, body, count=3, send_by=since_boot_s() + 60)
        assert sorted(wave.execution_ids) == [0, 1, 2] and len(set(wave.execution_ids.values())) == 3
