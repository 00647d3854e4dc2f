"""`orchestrator demo`: the main job, from nothing to stored results, with every worker killed half way."""

from __future__ import annotations

import dataclasses
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from orchestrator.cli import output
from orchestrator.cli.demo_audit import Audit, audit
from orchestrator.cli.demo_rows import WORKFLOW, customers_csv
from orchestrator.cli.demo_stage import WORKERS, Stage
from orchestrator.cli.demo_story import Story
from orchestrator.cli.exits import Exit
from orchestrator.cli.follow import Standing, standing_of_batch
from orchestrator.cli.live import ordered
from orchestrator.cli.results import fetch
from orchestrator.cli.running import sign_in_link
from orchestrator.client import Doubt, InboxItem
from orchestrator.domain.statuses import ENDINGS, MEANINGS, RunStatus
from orchestrator.errors import Unavailable

CONNECTION = "stand-in"
LOOK_EVERY_S = 0.25
#: The batch itself takes about 20 s; a minute for some dozens of rows is a fault, and each further row may take 2 s.
PATIENCE_S = 60.0
PATIENCE_PER_ITEM_S = 2.0
#: The kill comes when this share has ended.
KILL_AFTER_SHARE = 0.2
ANSWER_TIMEOUT_S = 10.0
REASON = "looked up in the remote service's console"

#: Never through a proxy: the stand-in is on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def run_demo(items: int) -> int:
    """Run the show; return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end it the same, cleaned up
    story = Story()
    began_s = time.monotonic()
    story.say("The main job: a file of customers, scored one by one by a remote service, every result stored.")
    story.say("The remote service here is a STAND-IN: a program on this machine that behaves as the real one's")
    story.say("pages say, with its real limits (100 requests a minute, 10 executions at a time). No account, no key.")
    story.say()
    story.say("Starting PostgreSQL, the API and two workers in .orchestrator-demo ...")
    with Stage(say=story.say) as stage:
        story.say(f"Ready after {time.monotonic() - began_s:.1f} s: {stage.supervisor.url}")
        story.say(f"Watch it: {sign_in_link(stage.settings, stage.supervisor.url)}")
        story.say()
        show = Show(stage, story, items)
        found = show.perform()
        story.say("Stopping ...")
    show.tell(found, seconds=time.monotonic() - began_s)
    if output.is_for_programs():
        output.one({**dataclasses.asdict(found), "recovered_s": show.recovered_s, "folder": str(show.results)})
    if found.faults or found.launched_twice or found.accounted != found.total:
        return Exit.FAILED
    return Exit.DONE


class Show:
    """One performance."""

    def __init__(self, stage: Stage, story: Story, items: int) -> None:
        self._stage = stage
        self._client = stage.client
        self._story = story
        self._file = customers_csv(items)
        self._workflow = stage.sandbox.workflows[WORKFLOW]
        self.results = stage.folder / "results"
        self._patience_s = PATIENCE_S + PATIENCE_PER_ITEM_S * max(items - 25, 0)
        self._killed_at_s: float | None = None
        self._ended_at_kill = 0
        self._new_pids: list[int] = []
        self._killed_pids: list[int] = []
        self._asked: set[str] = set()
        self.recovered_s: float | None = None

    def perform(self) -> Audit:
        """Do it all and return what it came to."""
        self._connect()
        batch_id = self._submit()
        self._watch(batch_id)
        self._story.say()
        self._story.command(f"orchestrator batch results {batch_id} --to {self.results}")
        runs = list(self._client.batches.runs(batch_id))
        fetched = fetch(self._client, runs, self.results)
        sandbox = self._stage.sandbox
        found = audit(
            file=self._file,
            runs=runs,
            truth=sandbox.truth(),
            limits=sandbox.limits(),
            fetched=fetched,
            folder=self.results,
        )
        if self.recovered_s is None:
            found = dataclasses.replace(found, faults=[*found.faults, "the workers were never killed half way"])
        return found

    # -- before ------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        sandbox = self._stage.sandbox
        self._story.command(
            f"orchestrator connection add {CONNECTION} --provider script --base-url {sandbox.api_url} --api-key-stdin"
        )
        self._client.connections.add(
            CONNECTION,
            provider="script",
            base_url=sandbox.api_url,
            api_key=sandbox.key,
            console_url=sandbox.console_url,
        )
        self._story.command(f"orchestrator connection test {CONNECTION}")
        tested = self._client.connections.test(CONNECTION)
        if not tested["ok"]:
            raise Unavailable(f"The connection does not work: {tested.get('error')}")
        self._story.say(f"  works; workflows: {', '.join(one['name'] for one in tested['workflows'])}")

    def _submit(self) -> str:
        path = self._stage.folder / "customers.csv"
        path.write_bytes(self._file)
        self._story.command(f"orchestrator batch submit {path.name} --workflow {self._workflow} --connection …")
        batch = self._client.batches.submit(
            path, "csv", connection=CONNECTION, workflow_id=self._workflow, name="The demo's customers"
        )
        self._story.say(f"  batch {batch['id']}: {batch['total']} runs, all of them stored before anything is sent")
        self._story.say()
        return str(batch["id"])

    # -- while it runs -----------------------------------------------------------------------------------------

    def _watch(self, batch_id: str) -> None:
        until = time.monotonic() + self._patience_s
        with self._story.progress():
            while True:
                batch = self._client.batches.get(batch_id)
                self._story.show(batch)
                self._note_recovery(batch)
                if standing_of_batch(batch) in (Standing.WELL, Standing.BADLY):
                    return
                if self._killed_at_s is None and _is_the_middle(batch):
                    self._kill(batch)
                if batch["counts"].get("human_in_the_loop"):
                    self._answer_questions()
                if batch["counts"].get("in_doubt"):
                    self._settle_doubts()
                if time.monotonic() >= until:
                    raise Unavailable(
                        f"The batch did not end in {self._patience_s:.0f} s; it is {batch['status']}.",
                        hint=f"The logs are in {self._stage.folder / 'logs'}.",
                    )
                time.sleep(LOOK_EVERY_S)

    def _kill(self, batch: Mapping[str, Any]) -> None:
        supervisor = self._stage.supervisor
        self._killed_pids = supervisor.worker_pids()
        pids = " ".join(map(str, self._killed_pids))
        self._story.loud(
            "Half way: every worker is now killed, without a warning, as by a power cut.",
            f"$ kill -9 {pids}",
        )
        supervisor.kill_workers()
        self._killed_at_s = time.monotonic()
        self._ended_at_kill = _ended(batch)

    def _note_recovery(self, batch: Mapping[str, Any]) -> None:
        if self._killed_at_s is None:
            return
        pids = self._stage.supervisor.worker_pids()
        if not self._new_pids and len(pids) == WORKERS and not set(pids) & set(self._killed_pids):
            self._new_pids = pids
            self._story.say(f"  The supervisor has started new workers: {' '.join(map(str, pids))}")
        if self.recovered_s is None and _ended(batch) > self._ended_at_kill:
            self.recovered_s = time.monotonic() - self._killed_at_s
            self._story.say(f"  Work goes on, {self.recovered_s:.1f} s after the kill")

    def _answer_questions(self) -> None:
        """Do what a person would: see the question in the inbox, follow its link, decide there."""
        for item in self._client.inbox.list():
            if item["id"] not in self._asked and item.get("run_id") and item.get("link"):
                self._asked.add(item["id"])
                self._approve(item)

    def _approve(self, item: InboxItem) -> None:
        self._story.say()
        self._story.command("orchestrator inbox list")
        self._story.table(("kind", "title", "link"), [(item["kind"], item["title"], item["link"])])
        self._story.say("  A person is asked. The link leads to the remote service's own console; we approve there.")
        self._story.say()
        form = urllib.parse.urlencode({"decision": "approve"}).encode()
        with _OPENER.open(str(item["link"]), data=form, timeout=ANSWER_TIMEOUT_S):
            pass  # the page after the decision
        self._client.runs.check(str(item["run_id"]))

    def _settle_doubts(self) -> None:
        """Do what a person would: look at the remote service for what is really there, and say so."""
        for doubt in self._client.doubts.list():
            if doubt["id"] in self._asked:
                continue
            self._asked.add(doubt["id"])
            launches = output.counted(doubt["count"], "launch is", "launches are")
            self._story.loud(
                f"{launches} in doubt: the worker died before it heard the answer.",
                "They are NOT sent again by themselves. A person looks at the remote service and says what is there.",
            )
            self._adopt(doubt)

    def _adopt(self, doubt: Doubt) -> None:
        rows = self._file.decode().splitlines()[1:]
        truth = self._stage.sandbox.truth()["executions"]
        there = {str(one["input"]["customer_id"]): str(one["id"]) for one in truth}
        doubted = {int(run["index"]): rows[int(run["index"])].split(",")[0] for run in doubt["runs"]}
        found = {index: there[customer] for index, customer in doubted.items() if customer in there}
        resolve = self._client.doubts.resolve
        if found and doubt["kind"] == "run":
            resolve(doubt["id"], "adopt", reason=REASON, execution_id=next(iter(found.values())))
        elif found:
            resolve(doubt["id"], "adopt", reason=REASON, execution_ids=found)
        if len(found) < len(doubted):
            resolve(doubt["id"], "not_started", reason=REASON)
        self._story.say(f"  {len(found)} of them run there and are adopted, {len(doubted) - len(found)} never arrived")

    # -- after -------------------------------------------------------------------------------------------------

    def tell(self, found: Audit, *, seconds: float) -> None:
        """Say what it came to."""
        story = self._story
        story.say()
        story.table(
            ("status", "runs", "meaning"),
            [(status, count, MEANINGS[RunStatus(status)]) for status, count in ordered(found.by_status)],
        )
        for customer, message in found.errors:
            story.say(f"    {customer}: {message}")
        story.say()
        story.say("Counted from the remote service's own records, not ours:")
        story.say(f"  {found.accounted} of {found.total} accounted for, {found.launched_twice} launched twice")
        story.say(f"  at most {found.most_in_60_s} requests in any 60 s (limit 100), {found.refused_by_rate} refused")
        story.say(f"  at most {found.most_at_once} executions at a time (limit 10)")
        story.say(f"  {found.files} result files, {found.size_bytes:,} bytes, each with the SHA-256 that it had there")
        if self.recovered_s is not None:
            story.say(f"Work went on {self.recovered_s:.1f} s after all workers were killed with kill -9.")
        for fault in found.faults:
            story.say(f"FAULT: {fault}")
        story.say(f"Took {seconds:.0f} s. Results: {self.results} (results.csv lists them in input order)")
        story.say()
        story.say("Next, with your own service:")
        story.say("  make up                                  # then, in another terminal, with .venv/bin in PATH:")
        story.say("  orchestrator connection add NAME --provider script --base-url URL --api-key-stdin < key.txt")
        story.say("  orchestrator batch submit FILE.csv --workflow ID --connection NAME --watch")


def _ended(batch: Mapping[str, Any]) -> int:
    return int(sum(batch["counts"].get(status, 0) for status in ENDINGS))


def _is_the_middle(batch: Mapping[str, Any]) -> bool:
    """Tell whether some runs have ended, others have not, and no launch is on the wire that a kill would doubt."""
    share = _ended(batch) / max(int(batch["total"]), 1)
    return KILL_AFTER_SHARE <= share < 1.0 and not batch["counts"].get("launching")
