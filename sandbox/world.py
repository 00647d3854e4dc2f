"""The provider's world: accounts, their workflows, and every execution there ever was since the last reset."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from jsonschema import Draft202012Validator

from sandbox.clock import Clock, iso, parse_iso
from sandbox.executions import Execution, Launch
from sandbox.hints import Hints, hints_of
from sandbox.options import Key, LiveOptions
from sandbox.outcomes import fate_of
from sandbox.samples import SAMPLES, WorkflowSpec, spec_from
from sandbox.schedule import Schedule

#: Items of a batch that run at a time, from the page.
WIDTHS: Mapping[str, int] = {"low": 1, "medium": 5, "high": 15}


class InvalidInput(ValueError):
    """An input that the workflow does not take."""


@dataclass(frozen=True, slots=True)
class CheckedInput:
    """An input that passed its schema, in canonical form, with its hints."""

    index: int | None
    canonical: bytes
    hints: Hints


class Workflow:
    """A workflow of one account, with what runs in it."""

    def __init__(self, spec: WorkflowSpec, account: str, live: LiveOptions, *, seed: int) -> None:
        self.spec = spec
        self.account = account
        self.schedule = Schedule(live, seed=seed)
        self._validator = None if spec.input_schema is None else Draft202012Validator(spec.input_schema)

    def check(self, given: object, *, index: int | None = None) -> CheckedInput:
        """Check an input against the schema, if one is defined, and read its hints.

        Raises:
            InvalidInput: it is not an object or does not match.
            HintError: its `sandbox` field makes no sense.
        """
        if not isinstance(given, dict):
            raise InvalidInput("input must be an object")
        problem = None if self._validator is None else next(self._validator.iter_errors(given), None)
        if problem is not None:
            place = "/".join(str(part) for part in problem.absolute_path)
            raise InvalidInput(
                f"input does not match the schema: {f'{place}: ' if place else ''}{problem.message[:300]}"
            )
        return CheckedInput(index, canonical_json(given), hints_of(given))


class World:
    """Hold everything; each account sees its own workflows and executions, though the samples share their ids."""

    def __init__(self, live: LiveOptions, clock: Clock, *, seed: int) -> None:
        self._live = live
        self._clock = clock
        self._seed = seed
        self._ids = Random(seed)
        self._accounts: dict[str, dict[str, Workflow]] = {}
        self._specs: dict[str, WorkflowSpec] = {}
        self.executions: dict[str, Execution] = {}
        self.launches = 0
        self.reset()

    def reset(self) -> None:
        """Forget every execution and every added workflow. Ids go on, so none is given twice."""
        self._accounts.clear()
        self.executions = {}
        self.launches = 0
        self._specs = {spec.id: spec for spec in SAMPLES}
        for document in self._live.current.workflows:
            self.add_workflow(document)

    def add_workflow(self, document: Mapping[str, Any]) -> WorkflowSpec:
        """Add a workflow to every account, or replace the one with its id (what runs in it goes on as it was).

        Raises:
            OptionError: the document describes none.
        """
        spec = spec_from(document, now=self._clock.now())
        taken = {other.created_at for other in self._specs.values() if other.id != spec.id}
        while spec.created_at in taken:  # a timestamp is a page's cursor, so no two may be equal
            spec = replace(spec, created_at=iso(parse_iso(spec.created_at) + 1))
        self._specs[spec.id] = spec
        for account, workflows in self._accounts.items():
            fresh = Workflow(spec, account, self._live, seed=self._seed)
            if spec.id in workflows:
                fresh.schedule = workflows[spec.id].schedule
            workflows[spec.id] = fresh
        return spec

    def specs(self) -> list[WorkflowSpec]:
        """Return every workflow there is to run."""
        return list(self._specs.values())

    def workflows(self, account: str) -> Mapping[str, Workflow]:
        """Return the account's workflows by id."""
        if account not in self._accounts:
            self._accounts[account] = {
                spec.id: Workflow(spec, account, self._live, seed=self._seed) for spec in self._specs.values()
            }
        return self._accounts[account]

    def live_workflows(self) -> Iterable[Workflow]:
        """Yield the workflows of all accounts that anybody used."""
        for workflows in self._accounts.values():
            yield from workflows.values()

    def execution(self, account: str, workflow_id: str, execution_id: str) -> Execution | None:
        """Find an execution as one account sees it; a lost one is not there."""
        found = self.executions.get(execution_id)
        if found is None or found.account != account or found.workflow_id != workflow_id or found.is_lost:
            return None
        self.settle(found)
        return found

    def settle(self, execution: Execution) -> None:
        """Bring one execution's workflow up to the clock."""
        self._accounts[execution.account][execution.workflow_id].schedule.settle(self._clock.now())

    def settle_all(self) -> None:
        """Bring everything up to the clock."""
        now = self._clock.now()
        for workflow in self.live_workflows():
            workflow.schedule.settle(now)

    def launch(
        self, workflow: Workflow, inputs: Sequence[CheckedInput], *, key: Key, concurrency: str | None
    ) -> list[Execution]:
        """Accept a launch: one input when `concurrency` is None, else a batch.

        Raises:
            SlotsFull: a single launch found every slot taken, and the sandbox is set to refuse.
        """
        now = self._clock.now()
        workflow.schedule.settle(now)
        if concurrency is None:
            workflow.schedule.refuse_if_full()
        self.launches += 1
        launch = Launch(
            number=self.launches, key=key.name, concurrency=concurrency, width=WIDTHS.get(concurrency or "", 1)
        )
        executions = [self._execution(workflow, launch, checked, now) for checked in inputs]
        self.executions.update((execution.id, execution) for execution in executions)
        workflow.schedule.add(launch, executions, now)
        return executions

    def schedule_of(self, execution: Execution) -> Schedule:
        return self._accounts[execution.account][execution.workflow_id].schedule

    def _execution(self, workflow: Workflow, launch: Launch, checked: CheckedInput, now: float) -> Execution:
        return Execution(
            id=self._uuid(),
            account=workflow.account,
            workflow_id=workflow.spec.id,
            launch=launch,
            index=checked.index,
            canonical=checked.canonical,
            input_sha256=hashlib.sha256(checked.canonical).hexdigest(),
            fate=fate_of(
                seed=self._seed,
                spec=workflow.spec,
                canonical=checked.canonical,
                hints=checked.hints,
                options=self._live.current,
            ),
            created_at=now,
        )

    def _uuid(self) -> str:
        """Return a version 4 UUID out of the seed, so that a run replays."""
        bits = self._ids.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | (4 << 76) | (2 << 62)
        text = f"{bits:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def canonical_json(value: object) -> bytes:
    """Write JSON in one way only: sorted keys, no spaces, ASCII. Two inputs are the same if these bytes are."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
