"""The control plane: what a test or a demonstration asks and does behind the provider's back. No key, JSON."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from sandbox.clock import iso, iso_exact
from sandbox.executions import Execution
from sandbox.faults import FAULTS
from sandbox.hints import MEANINGS
from sandbox.http import Answer, Request, json_answer
from sandbox.options import OptionError, as_document, explain
from sandbox.rules import RuleError
from sandbox.samples import WorkflowSpec
from sandbox.schedule import NotWaiting
from sandbox.scripe_jobs import TYPES
from sandbox.truth import execution_document, limits_document, summary_document

if TYPE_CHECKING:
    from sandbox.service import Service

PREFIX = "/_sandbox"
MAX_LOG_PAGE = 100_000

#: path -> what it does; printed by GET /_sandbox and by --help.
DOORS: dict[str, str] = {
    "GET /truth": "every execution and a summary; ?workflow=ID, ?summary=1 for the summary alone",
    "GET /log": "the request log; ?since=SEQ, ?limit=N, ?kind=K",
    "GET /limits": "per key what arrived and was refused; per workflow the most that ran at a time",
    "GET /executions": "executions; ?status=human_in_the_loop, ?workflow=ID",
    "POST /executions/{id}:approve": "a person says yes",
    "POST /executions/{id}:reject": "a person says no: the execution ends as error",
    "GET /clock": "the sandbox's time and scale",
    "POST /clock": '{"advance_s": N} turns it forward, {"scale": x} changes its speed (0 = still)',
    "GET /options": "the options in force, and what each means",
    "PATCH /options": "change some of them",
    "GET /faults": "the rules in force, how often each matched and struck, and every fault's meaning",
    "POST /faults": "add a rule, or a list of rules",
    "DELETE /faults": "remove all rules; /faults/{id} removes one",
    "POST /listener": '{"close_s": N, "port": "api"|"files"} refuses connections on a port for a while',
    "GET /workflows": "the workflows",
    "POST /workflows": "add one (needs a name; a known id replaces)",
    "POST /jobs": 'a Scripe job that another program started: {"type", "workspace", "input": {…}}',
    "POST /reset": "forget executions, log, counts and faults",
}


class ControlPlane:
    """Answer `/_sandbox/…`."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", ""): lambda request: DOORS,
            ("GET", "truth"): self._truth,
            ("GET", "log"): self._log,
            ("GET", "limits"): self._limits,
            ("GET", "executions"): self._executions,
            ("GET", "clock"): lambda request: self._clock(),
            ("POST", "clock"): self._turn,
            ("GET", "options"): lambda request: {"options": as_document(service.live.current), "meanings": explain()},
            ("PATCH", "options"): lambda request: {"options": as_document(service.live.change(_body(request)))},
            ("GET", "faults"): lambda request: self._faults(),
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("POST", "listener"): self._close_listener,
            ("GET", "workflows"): lambda request: self._workflows(),
            ("POST", "workflows"): self._add_workflow,
            ("POST", "jobs"): self._add_job,
            ("POST", "reset"): self._reset,
        }

    def answer(self, request: Request) -> Answer:
        tail = request.path[len(PREFIX) :].strip("/")
        try:
            if (request.method, tail) in self._routes:
                return json_answer(200, self._routes[request.method, tail](request))
            return self._one(request, tail)
        except (OptionError, RuleError, ValueError) as bad:
            return json_answer(400, {"error": str(bad)})

    # -- the truth ---------------------------------------------------------------------------------------------

    def _truth(self, request: Request) -> Any:
        self._service.world.settle_all()
        query = _query(request)
        chosen = self._chosen(query)
        jobs = self._service.jobs
        summary = summary_document(chosen) | {"jobs": len(jobs.by_id), "jobs_launched_twice": jobs.launched_twice()}
        if query.get("summary"):
            return {"summary": summary}
        return {"executions": [self._document(one) for one in chosen], "jobs": jobs.truth(), "summary": summary}

    def _add_job(self, request: Request) -> Any:
        """Accept a job that another program of the workspace started."""
        document = _body(request)
        if not isinstance(document, dict) or document.get("type") not in TYPES:
            raise ValueError(f"a job has a type: {', '.join(TYPES)}")
        given = document.get("input", {})
        if not isinstance(given, dict):
            raise ValueError("a job's input is an object")
        service = self._service
        workspace = str(document.get("workspace", "main"))
        job = service.jobs.accept(workspace, str(document["type"]), given, service.live.current)
        return job.document(service.clock.now())

    def _executions(self, request: Request) -> Any:
        self._service.world.settle_all()
        return {"executions": [self._document(one) for one in self._chosen(_query(request))]}

    def _chosen(self, query: dict[str, str]) -> list[Execution]:
        workflow, status = query.get("workflow"), query.get("status")
        return [
            execution
            for execution in self._service.world.executions.values()
            if workflow in (None, execution.workflow_id) and status in (None, execution.status.value)
        ]

    def _log(self, request: Request) -> Any:
        query = _query(request)
        log = self._service.log
        entries = log.since(int(query.get("since", 0)), limit=min(int(query.get("limit", MAX_LOG_PAGE)), MAX_LOG_PAGE))
        next_since = entries[-1].seq if entries else log.last_seq
        wanted = [entry for entry in entries if query.get("kind") in (None, entry.kind)]
        return {"entries": [entry.as_document() for entry in wanted], "next_since": next_since}

    def _limits(self, request: Request) -> Any:
        self._service.world.settle_all()
        return limits_document(self._service.meters, self._service.world.live_workflows())

    def _document(self, execution: Execution) -> dict[str, Any]:
        return execution_document(execution, self._service.files)

    # -- turning things ----------------------------------------------------------------------------------------

    def _clock(self) -> Any:
        clock = self._service.clock
        now = clock.now()
        return {"now": iso_exact(now), "now_s": now, "scale": clock.scale}

    def _turn(self, request: Request) -> Any:
        document = _body(request)
        if not isinstance(document, dict) or not document or not set(document) <= {"advance_s", "scale"}:
            raise ValueError("the clock takes advance_s, scale, or both")
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in document.values()):
            raise ValueError("advance_s and scale are numbers")
        if "scale" in document:
            self._service.clock.set_scale(float(document["scale"]))
        if "advance_s" in document:
            self._service.clock.advance(float(document["advance_s"]))
        return self._clock()

    def _faults(self) -> Any:
        meanings = {
            name: {"when": fault.when, "home": fault.home.value, "says": fault.says} for name, fault in FAULTS.items()
        }
        return {"rules": [rule.as_document() for rule in self._service.rules.rules], "meanings": meanings}

    def _add_faults(self, request: Request) -> Any:
        document = _body(request)
        rules = self._service.rules.add(document if isinstance(document, list) else [document])
        return {"rules": [rule.as_document() for rule in rules]}

    def _clear_faults(self, request: Request) -> Any:
        self._service.rules.clear()
        return self._faults()

    def _close_listener(self, request: Request) -> Any:
        document = _body(request)
        if not isinstance(document, dict):
            raise ValueError("it takes an object with close_s")
        seconds, port = document.get("close_s"), document.get("port", "api")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 3600:
            raise ValueError("close_s is a number of real seconds up to 3600")
        if port not in self._service.listeners:
            raise ValueError("port is api or files")
        self._service.close_listener(port, float(seconds), after_s=0.02)  # this answer first
        return {"port": port, "close_s": seconds}

    def _workflows(self) -> Any:
        return {"workflows": [workflow_document(spec) for spec in self._service.world.specs()]}

    def _add_workflow(self, request: Request) -> Any:
        document = _body(request)
        if not isinstance(document, dict):
            raise OptionError("a workflow is an object with at least a name")
        return workflow_document(self._service.world.add_workflow(document))

    def _reset(self, request: Request) -> Any:
        self._service.reset()
        return {"reset_at": iso(self._service.clock.now())}

    def _one(self, request: Request, tail: str) -> Answer:
        match request.method, tail.partition("/"):
            case "POST", ("executions", _, act):
                execution_id, _, verb = unquote(act).partition(":")
                return self._decide(execution_id, verb)
            case "GET", ("executions", _, execution_id):
                execution = self._service.world.executions.get(execution_id)
                if execution is not None:
                    self._service.world.settle(execution)
                    return json_answer(200, self._document(execution))
            case "DELETE", ("faults", _, rule_id) if rule_id.isdigit() and self._service.rules.remove(int(rule_id)):
                return json_answer(200, self._faults())
        return json_answer(404, {"error": "no such door", "doors": DOORS})

    def _decide(self, execution_id: str, verb: str) -> Answer:
        world = self._service.world
        execution = world.executions.get(execution_id)
        if execution is None or verb not in ("approve", "reject"):
            return json_answer(404, {"error": "no such execution, or not :approve or :reject"})
        world.settle(execution)
        schedule = world.schedule_of(execution)
        try:
            (schedule.approve if verb == "approve" else schedule.reject)(execution, self._service.clock.now())
        except NotWaiting:
            return json_answer(409, {"error": f"it does not wait for a person; it is {execution.status.value}"})
        return json_answer(200, self._document(execution))


def workflow_document(spec: WorkflowSpec) -> dict[str, Any]:
    """Return a workflow with everything its author said."""
    return asdict(spec)


def teach() -> str:
    """Return the doors and the hints as text for --help."""
    doors = "\n".join(f"  {door:<32} {says}" for door, says in DOORS.items())
    hints = "\n".join(f"  {name:<16} {says}" for name, says in MEANINGS.items())
    faults = "\n".join(f"  {name:<18} {fault.says}" for name, fault in FAULTS.items())
    return f"control plane, under /_sandbox:\n{doors}\n\nhints in an input:\n{hints}\n\nfaults:\n{faults}"


def _query(request: Request) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(request.query).items()}


def _body(request: Request) -> Any:
    try:
        return json.loads(request.body or b"{}")
    except (ValueError, RecursionError) as bad:
        raise ValueError(f"the body is not JSON: {bad}") from bad
