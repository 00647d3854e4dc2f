"""The Script workflows API, as its page describes it: five calls, one error shape."""

import base64
import binascii
import math
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs

from sandbox.calls import BadBody, Call, Kind
from sandbox.clock import Clock, iso, parse_iso
from sandbox.executions import ENDINGS
from sandbox.files import ResultFiles
from sandbox.hints import HintError
from sandbox.http import Answer, Request, json_answer
from sandbox.options import Key, LiveOptions
from sandbox.rates import Limit, Meter
from sandbox.schedule import SlotsFull
from sandbox.world import WIDTHS, CheckedInput, InvalidInput, Workflow, World


class Refusal(Exception):
    """An answer in the page's error shape, `{"error": "message"}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.answer = error(status, message)


class ScriptApi:
    """Answer calls whose key and rate are already checked."""

    def __init__(self, world: World, files: ResultFiles, live: LiveOptions, clock: Clock) -> None:
        self._world = world
        self._files = files
        self._live = live
        self._clock = clock

    def key(self, request: Request) -> Key | None:
        return self._live.keys.get(request.headers.get("x-api-key", ""))

    def meter_name(self, key: Key) -> str:
        """Name what the rate is counted for: the key."""
        return key.name

    def limit(self) -> Limit:
        options = self._live.current
        return Limit(options.requests_per_minute, options.rate_window, options.refused_count)

    def unauthorized(self) -> Answer:
        return error(401, "Invalid or missing API key")

    def dressed(self, answer: Answer, meter: Meter, now: float) -> Answer:
        """Add what every genuine answer carries: nothing."""
        return answer

    def error(self, status: int, message: str) -> Answer:
        return error(status, message)

    def answer(self, call: Call, key: Key, meter: Meter) -> tuple[Answer, list[str]]:
        """Answer a call; also return the ids of the executions it created."""
        try:
            match call.kind:
                case Kind.LOOK:
                    return self._look(call, key), []
                case Kind.LAUNCH:
                    return self._launch(call, key, meter)
                case Kind.BATCH:
                    return self._batch(call, key)
                case Kind.LIST:
                    return self._list(call, key), []
                case Kind.VIEW:
                    return self._view(call, key), []
                case Kind.FILE | Kind.CANCEL | Kind.OTHER:
                    return error(404, "Not found"), []
        except Refusal as refusal:
            return refusal.answer, []

    def throttled(self, wait_s: float) -> Answer:
        """Refuse a request over the rate; `wait_s` is in the sandbox's seconds."""
        answer = error(429, "Rate limit exceeded")
        style = self._live.current.retry_after
        return with_retry_after(answer, style=style, wait_s=wait_s, clock=self._clock)

    # -- reading -----------------------------------------------------------------------------------------------

    def _list(self, call: Call, key: Key) -> Answer:
        query = parse_qs(call.request.query, keep_blank_values=True)
        limit = self._limit(query.get("limit", [""])[-1])
        after_s = self._cursor(query.get("cursor", [""])[-1])
        specs = sorted(
            (workflow.spec for workflow in self._world.workflows(key.account).values()),
            key=lambda spec: parse_iso(spec.created_at),
        )
        rest = [spec for spec in specs if parse_iso(spec.created_at) > after_s]
        rows = [
            {"id": spec.id, "name": spec.name, "created_at": spec.created_at, "updated_at": spec.updated_at}
            for spec in rest[:limit]
        ]
        cursor = self._write_cursor(rest[limit - 1].created_at) if len(rest) > limit else None
        return self._ok({"data": rows, "cursor": cursor})

    def _view(self, call: Call, key: Key) -> Answer:
        spec = self._workflow(call, key).spec
        return self._ok(
            {
                "id": spec.id,
                "name": spec.name,
                "description": spec.description,
                "created_at": spec.created_at,
                "updated_at": spec.updated_at,
                "input_schema": spec.input_schema,
            }
        )

    def _look(self, call: Call, key: Key) -> Answer:
        execution = self._world.execution(key.account, call.workflow_id, call.execution_id)
        if execution is None:
            self._workflow(call, key)
            return error(404, "Execution not found")
        document: dict[str, Any] = {
            "id": execution.id,
            "workflow_id": execution.workflow_id,
            "status": execution.status.value,
            "created_at": iso(execution.created_at),
        }
        if execution.status in ENDINGS or self._live.current.results_before_end == "null":
            document["results"] = self._files.results(execution)
        return self._ok(document)

    # -- launching ---------------------------------------------------------------------------------------------

    def _launch(self, call: Call, key: Key, meter: Meter) -> tuple[Answer, list[str]]:
        workflow = self._workflow(call, key)
        document = self._body(call)
        if "input" not in document:
            raise Refusal(400, "input is required")
        checked = self._check(workflow, document["input"], index=None)
        try:
            [execution] = self._world.launch(workflow, [checked], key=key, concurrency=None)
        except SlotsFull as full:
            meter.refused_by_slots += 1
            raise Refusal(429, "Too many concurrent executions") from full
        answer = self._ok(
            {
                "execution_id": execution.id,
                "workflow_id": execution.workflow_id,
                "status": "initial",
                "created_at": iso(execution.created_at),
            }
        )
        return answer, [execution.id]

    def _batch(self, call: Call, key: Key) -> tuple[Answer, list[str]]:
        workflow = self._workflow(call, key)
        document = self._body(call)
        items, concurrency = document.get("items"), document.get("concurrency", "low")
        options = self._live.current
        if not isinstance(items, list) or not items:
            raise Refusal(400, "items must be a non-empty array")
        if len(items) > options.max_batch_items:
            raise Refusal(400, f"items must not hold more than {options.max_batch_items} items")
        if not isinstance(concurrency, str) or concurrency not in WIDTHS:
            raise Refusal(400, "concurrency must be low, medium or high")
        checked = self._check_items(workflow, items)
        executions = self._world.launch(workflow, checked, key=key, concurrency=concurrency)
        answer = self._ok(
            {
                "workflow_id": workflow.spec.id,
                "total": len(executions),
                "executions": [{"execution_id": one.id, "index": one.index} for one in executions],
            }
        )
        return answer, [one.id for one in executions]

    def _check_items(self, workflow: Workflow, items: list[Any]) -> list[CheckedInput]:
        skips = self._live.current.invalid_batch_item == "skip"
        checked: list[CheckedInput] = []
        for index, item in enumerate(items):
            try:
                checked.append(self._check(workflow, item, index=index))
            except Refusal:
                if not skips:
                    raise
        if not checked:
            raise Refusal(400, "no item is valid")
        return checked

    def _check(self, workflow: Workflow, given: object, *, index: int | None) -> CheckedInput:
        try:
            return workflow.check(given, index=index)
        except (InvalidInput, HintError) as problem:
            if index is None:
                raise Refusal(400, str(problem)) from problem
            if self._live.current.batch_error_names_item:
                raise Refusal(400, f"items[{index}]: {problem}") from problem
            raise Refusal(400, "Invalid input in batch") from problem

    # -- parts -------------------------------------------------------------------------------------------------

    def _workflow(self, call: Call, key: Key) -> Workflow:
        workflow = self._world.workflows(key.account).get(call.workflow_id)
        if workflow is None:
            raise Refusal(404, "Workflow not found")
        return workflow

    def _body(self, call: Call) -> dict[str, Any]:
        options = self._live.current
        if len(call.request.body) > options.max_body_bytes:
            raise Refusal(options.body_too_large, "Request body too large")
        try:
            document = call.document()
        except BadBody as bad:
            raise Refusal(400, str(bad)) from bad
        if not isinstance(document, dict):
            raise Refusal(400, "request body must be an object")
        return document

    def _limit(self, text: str) -> int:
        most = self._live.current.max_page_items
        if not text:
            return most
        if not (text.isascii() and text.isdigit()) or int(text) < 1:
            raise Refusal(400, "limit must be a positive integer")
        if int(text) > most and self._live.current.page_over_limit == "refuse":
            raise Refusal(400, f"limit must not exceed {most}")
        return min(int(text), most)

    def _cursor(self, text: str) -> float:
        if not text:
            return -math.inf
        try:
            if self._live.current.cursor_style == "opaque":
                text = base64.b64decode(text, validate=True)[4:].decode()
            return parse_iso(text)
        except (ValueError, binascii.Error) as bad:
            raise Refusal(400, "invalid cursor") from bad

    def _write_cursor(self, created_at: str) -> str:
        if self._live.current.cursor_style == "opaque":  # begins with "+/" so that it breaks when not URL-encoded
            return base64.b64encode(b"\xfb\xf0\xfb\xf0" + created_at.encode()).decode()
        return created_at

    def _ok(self, document: dict[str, Any]) -> Answer:
        if self._live.current.extra_fields:
            document = {"object": "thing", **document, "meta": {"region": "eu", "trace": [1, None]}}
        return json_answer(200, document)


def error(status: int, message: str) -> Answer:
    """Return an error in the page's shape."""
    return json_answer(status, {"error": message})


def with_retry_after(answer: Answer, *, style: str, wait_s: float, clock: Clock) -> Answer:
    """Add Retry-After as seconds or as a date; `wait_s` is in the sandbox's seconds, a client's are real ones."""
    if style == "none":
        return answer
    real_s = wait_s / clock.scale if clock.scale else wait_s
    value = str(math.ceil(real_s)) if style == "seconds" else formatdate(math.ceil(clock.now() + wait_s), usegmt=True)
    return json_answer(answer.status, answer.document, headers=(*answer.headers, ("retry-after", value)))
