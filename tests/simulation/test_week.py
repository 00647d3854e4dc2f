"""A simulated week, judged: every tick is accounted for, and the report's totals are the provider's truth.

The weeks are lived in processes of their own, side by side: a world replaces what the product asks of the outside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.simulation import week_expected as expected
from tests.simulation.week_story import BERLIN, STORIES, Story

#: On busy cores the weeks take some minutes, on idle ones about one.
pytestmark = pytest.mark.timeout(900)

#: The autumn's week, and beside it the spring's shorter one: twice if asked, for worlds replay in every run.
IS_LIVED_AGAIN = "WEEKS_AGAIN" in os.environ
LIVES = (("autumn",), ("spring", "spring") if IS_LIVED_AGAIN else ("spring",))

Row = dict[str, Any]


@dataclass(frozen=True)
class Week:
    """A week that was lived: its story, and what there is to judge it by."""

    story: Story
    evidence: dict[str, Any]

    def rows(self, name: str) -> list[Row]:
        found: list[Row] = self.evidence[name]
        return found

    @cached_property
    def report(self) -> Row:
        report: Row = self.evidence["report"]
        return report

    @cached_property
    def figures(self) -> Row:
        figures: Row = self.report["figures"]
        return figures

    @cached_property
    def total(self) -> dict[str, dict[str, int]]:
        """The control totals: name -> label -> number, of both sides."""
        return {
            total["name"]: {term["label"]: term["value"] for term in (total["left"], *total["right"])}
            for total in self.report["control_totals"]
        }

    @cached_property
    def inputs(self) -> dict[str, str]:
        """The runs' inputs by id."""
        return {run["id"]: expected.canonical(run["input"]) for run in self.rows("runs")}

    def ended(self, status: str) -> list[Row]:
        """The provider's executions that stand so."""
        return [execution for execution in self.rows("truth") if execution["status"] == status]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def live_through(names: tuple[str, ...]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.simulation.week", *names]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def lived() -> list[dict[str, Any]]:
    """Everything there is to judge the weeks by, in the order of `LIVES`."""
    with ThreadPoolExecutor(len(LIVES)) as pool:
        return [evidence for found in pool.map(live_through, LIVES) for evidence in found]


@pytest.fixture(params=["autumn", "spring"])
def week(request: pytest.FixtureRequest, lived: list[dict[str, Any]]) -> Week:
    evidence = next(evidence for evidence in lived if evidence["story"] == request.param)
    return Week(STORIES[request.param], evidence)


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_the_story_has_what_it_promises(story: Story) -> None:
    berlin = ZoneInfo(BERLIN)
    assert story.on - story.off == timedelta(hours=5)
    assert story.off.astimezone(berlin).utcoffset() != story.on.astimezone(berlin).utcoffset()
    assert len({rota.catch_up for rota in story.rotas}) == 3
    lost = Counter(name for name, tick in expected.ticks(story) if story.off < tick < story.on)
    assert (lost["nightly"], lost["hourly"], lost["desk"]) == (1, 5, 4)


def test_every_nominal_tick_has_one_row_in_its_state_and_nothing_else_has(week: Week) -> None:
    found: dict[tuple[str, datetime], list[str]] = {}
    for row in week.rows("fires"):
        found.setdefault((row["schedule"], at(row["nominal_at"])), []).append(row["state"])
    assert found == {key: [tick.state] for key, tick in expected.ticks(week.story).items()}


def test_a_tick_is_decided_when_its_time_has_come_and_says_why_it_did_not_fire(week: Week) -> None:
    ticks = expected.ticks(week.story)
    for row in week.rows("fires"):
        tick = ticks[row["schedule"], at(row["nominal_at"])]
        assert tick.since <= at(row["decided_at"]) <= tick.until, row
        assert tick.why in (row["why"] or ""), row
        assert (row["due_at"], row["asked_by"]) == (None, None), row


def test_a_fired_tick_submitted_its_input_once_and_no_other_tick_anything(week: Week) -> None:
    of_batch: dict[str, list[str]] = {}
    for run in week.rows("runs"):
        of_batch.setdefault(run["batch_id"] or run["id"], []).append(week.inputs[run["id"]])
    rotas = {rota.name: rota for rota in week.story.rotas}
    named = []
    for row in week.rows("fires"):
        fixed = rotas[row["schedule"]].input
        assert (row["batch_id"] is not None) == (row["state"] == "fired" and fixed is None), row
        assert (row["run_id"] is not None) == (row["state"] == "fired" and fixed is not None), row
        if row["state"] == "fired":
            night = at(row["nominal_at"]).astimezone(ZoneInfo(BERLIN)).date()
            inputs = week.story.rows_of(night) if fixed is None else [fixed]
            named.append(row["batch_id"] or row["run_id"])
            assert sorted(of_batch[named[-1]]) == sorted(map(expected.canonical, inputs)), row
    assert sorted(named) == sorted(of_batch), "each batch and each single run belongs to one tick"
    assert {run["created_by"] for run in week.rows("runs")} == {f"schedule:{name}" for name in rotas}


def test_nothing_of_ours_happened_during_the_outage(week: Week) -> None:
    story = week.story
    moments = [at(event["at"]) for event in week.rows("events")] + [at(e["created_at"]) for e in week.rows("truth")]
    assert [moment for moment in moments if story.off < moment < story.on] == []


def test_the_provider_executed_each_input_as_often_as_it_was_asked_to(week: Week) -> None:
    truth = week.rows("truth")
    assert Counter(expected.canonical(one["input"]) for one in truth) == expected.executed(week.story)
    inputs = {one["id"]: expected.canonical(one["input"]) for one in truth}
    linked = [row for row in week.rows("attempts") if row["remote_id"] is not None]
    assert sorted(row["remote_id"] for row in linked) == sorted(inputs), "each execution is one attempt's"
    assert all(inputs[row["remote_id"]] == week.inputs[row["run_id"]] for row in linked)
    assert [expected.canonical(one["input"]) for one in week.ended("error")] == [expected.failing(week.story)]
    assert [expected.canonical(one["input"]) for one in week.ended("human_in_the_loop")] == [expected.asked(week.story)]


def test_the_reports_totals_are_the_providers_truth(week: Week) -> None:
    runs = expected.submitted(week.story).total()
    truth, files = week.rows("truth"), [file for one in week.rows("truth") for file in one["files"]]
    assert week.figures["by_status"] == {
        "human_in_the_loop": len(week.ended("human_in_the_loop")),
        "finished": len(week.ended("finished")),
    }
    assert len(truth) == len(week.ended("finished")) + 2, "and one error and one that waits"
    assert week.total["Rows"] == {"rows in files and single runs": runs, "accepted": runs, "refused at submission": 0}
    results = week.figures["results"]
    assert (results["offered"], results["stored"], results["lost"]) == (len(files), len(files), 0)
    assert results["stored_bytes"] == sum(file["size_bytes"] for file in files)
    of_provider = sorted(file["sha256"] for file in files)
    assert sorted(row["sha256"] for row in week.report["lists"]["results"]) == of_provider
    assert week.rows("stored") == of_provider, "what the artifact store holds"


def test_the_report_adds_up_and_its_launches_are_told_apart(week: Week) -> None:
    assert week.report["adds_up"] is True
    assert [total["name"] for total in week.report["control_totals"] if not total["adds_up"]] == []
    executions, relaunched = len(week.rows("truth")), expected.doubted(week.story, "relaunch")
    again = expected.doubted(week.story, "not_started")
    assert week.total["Launches"] == {
        "launches": executions + relaunched + again,  # each lost launch never began, and was made anew
        "executions linked": executions,
        "in doubt": 0,
        "doubts given up": relaunched,
        "refused": 0,
        "never sent": 0,
        "never sent, launched again": again,
    }
    posts = [entry for entry in week.rows("wire") if entry["method"] == "POST"]
    assert week.figures["launches"]["intents"] == len(posts), "each request that left was written down before"


def test_first_and_final_outcomes_differ_by_the_retry_and_the_doubts_alone(week: Week) -> None:
    runs, relaunched = expected.submitted(week.story).total(), expected.doubted(week.story, "relaunch")
    passes = {(entry["first"], entry["final"]): entry["runs"] for entry in week.figures["passes"]}
    asked = {("error", "finished"): 1, ("doubted", "finished"): relaunched, ("open", "human_in_the_loop"): 1}
    told = {key: count for key, count in asked.items() if count}
    assert passes == {**told, ("finished", "finished"): runs - sum(told.values())}
    assert week.figures["retries"] == {"reopened by a person": 1}


def test_the_doubts_are_told_with_how_they_were_settled(week: Week) -> None:
    doubts = week.story.doubts
    words = {"adopt": "adopted", "not_started": "not started, says a person", "relaunch": "launched again by a person"}
    assert week.figures["doubts"] == {
        "raised": sum(doubt.runs for doubt in doubts),
        "standing": 0,
        "resolved": {words[doubt.how]: doubt.runs for doubt in doubts},
    }
    told = sorted(week.figures["doubt_groups"], key=lambda group: str(group["raised_at"]))
    assert [(one["count"], one["actor"], one["reason"]) for one in told] == [
        (doubt.runs, doubt.by, doubt.reason) for doubt in doubts
    ]
    for one, doubt in zip(told, doubts, strict=True):
        assert timedelta() <= at(one["raised_at"]) - doubt.tick <= expected.SOON
        assert timedelta() <= at(one["settled_at"]) - doubt.settled_at <= expected.SOON


def test_every_act_of_a_person_is_in_the_report_with_who_and_why(week: Week) -> None:
    acts = [act for act in week.report["lists"]["acts"] if not act["actor"].startswith("schedule:")]
    assert Counter((act["type"], act["actor"], act["reason"]) for act in acts) == expected.acts(week.story)
    for moment in {at(act["at"]) for act in acts}:
        assert any(timedelta() <= moment - planned <= expected.SOON for planned in expected.act_times(week.story))
    groups = [group for group in week.figures["acts"] if not group["actor"].startswith("schedule:")]
    told = Counter({(group["type"], group["actor"], group["reason"]): group["count"] for group in groups})
    assert told == expected.acts(week.story)


def test_the_report_shows_every_tick_and_what_became_of_it(week: Week) -> None:
    told = [(tick["schedule"], at(tick["nominal_at"]), tick["became"]) for tick in week.figures["fires"]]
    ticks = expected.ticks(week.story)
    assert Counter(told) == Counter((name, nominal, tick.state) for (name, nominal), tick in ticks.items())
    assert [nominal for _, nominal, _ in told] == sorted(nominal for _, nominal, _ in told), "oldest first"
    batches = {tick["batch"] for tick in week.figures["fires"] if tick["became"] == "fired"}
    assert batches == {run["batch_id"] or run["id"] for run in week.rows("runs")}


def test_each_missed_tick_is_told_once_and_whoever_comes_to_a_doubt_is_told_of_it(week: Week) -> None:
    told = [(line["schedule"], at(line["at"])) for line in week.rows("lines") if line.get("code") == "tick_missed"]
    missed = [key for key, tick in expected.ticks(week.story).items() if tick.state == "missed"]
    assert sorted(told) == sorted(missed)
    seen = {at(line["at"]): line for looked in week.evidence["seen"] for line in looked if line["code"] == "in_doubt"}
    for doubt in week.story.doubts:
        assert seen[doubt.settled_at]["runs"] == doubt.runs


def test_every_event_says_who_and_nothing_else_is_broken(week: Week) -> None:
    assert [event for event in week.rows("events") if not event["actor"]] == []
    of_ticks = Counter(event["type"] for event in week.rows("events") if event["type"].startswith("tick_"))
    assert of_ticks["tick_fired"] == sum(tick.state == "fired" for tick in expected.ticks(week.story).values())
    assert (week.evidence["bugs"], week.evidence["broken"]) == ([], {})
    (waits,) = [run for run in week.rows("runs") if run["status"] != "finished"]
    assert [batch["id"] for batch in week.rows("batches") if batch["ended_at"] is None] == [waits["batch_id"]]


@pytest.mark.skipif(not IS_LIVED_AGAIN, reason="WEEKS_AGAIN=1 lives a week twice (a minute)")
def test_the_same_week_goes_the_same_way_again(lived: list[dict[str, Any]]) -> None:
    first, second = (evidence for evidence in lived if evidence["story"] == "spring")
    assert first["digest"] == second["digest"]
