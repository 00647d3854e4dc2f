"""The console: a page where a person looks at one execution and decides, as in the vendor's own UI."""

from html import escape
from urllib.parse import parse_qs, quote

from sandbox.clock import Clock, iso_exact
from sandbox.executions import Execution, Status
from sandbox.http import Answer, Request, text_answer
from sandbox.schedule import NotWaiting
from sandbox.world import World

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}}
pre{{background:#f4f4f4;padding:1rem;overflow:auto}}
dt{{font-weight:bold}}button{{font:inherit;padding:.4rem 1rem}}</style>
</head><body><h1>{title}</h1>{body}</body></html>
"""
_FORM = """<form method="post"><button name="decision" value="approve">Approve</button>
<button name="decision" value="reject">Reject</button></form>"""


class Console:
    """Serve `/console/workflows/{wid}/executions/{eid}`; a POST of its form decides."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        execution = self._find(request.path)
        if execution is None:
            return _page(404, "Not found", "<p>There is no such execution.</p>")
        self._world.settle(execution)
        if request.method == "POST":
            return self._decide(request, execution)
        return _page(200, f"Execution {execution.id}", self._body(execution))

    def _find(self, path: str) -> Execution | None:
        match path.removeprefix("/_sandbox").split("/"):
            case ["", "console", "workflows", workflow_id, "executions", execution_id]:
                execution = self._world.executions.get(execution_id)
                return execution if execution is not None and execution.workflow_id == workflow_id else None
        return None

    def _decide(self, request: Request, execution: Execution) -> Answer:
        decision = parse_qs(request.body.decode("latin-1")).get("decision", [""])[-1]
        schedule = self._world.schedule_of(execution)
        if decision not in ("approve", "reject"):
            return _page(400, "Bad request", "<p>The decision is approve or reject.</p>")
        try:
            (schedule.approve if decision == "approve" else schedule.reject)(execution, self._clock.now())
        except NotWaiting:
            return _page(409, "Too late", "<p>This execution does not wait for a person.</p>")
        return Answer(status=303, headers=(("location", quote(request.path)),))

    def _body(self, execution: Execution) -> str:
        workflow = self._world.workflows(execution.account)[execution.workflow_id]
        facts = {
            "Workflow": workflow.spec.name,
            "Status": execution.status.value,
            "Created": iso_exact(execution.created_at) or "",
            "Decision": execution.decision or "none",
        }
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
        waits = execution.status is Status.HUMAN and execution.decision is None
        form = _FORM if waits else ""
        return f"<dl>{rows}</dl><h2>Input</h2><pre>{escape(execution.canonical.decode())}</pre>{form}"


def _page(status: int, title: str, body: str) -> Answer:
    return text_answer(status, _PAGE.format(title=escape(title), body=body))
