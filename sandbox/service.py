"""The service: two ports, and the way of a request through key, rate, faults and routes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from sandbox.api import ScriptApi
from sandbox.calls import SCRIPE_PREFIX, Call, HintedInput, Kind, understand
from sandbox.clock import Clock
from sandbox.console import Console
from sandbox.control_plane import ControlPlane
from sandbox.executions import Execution
from sandbox.faults import FAULTS, Scene
from sandbox.files import ResultFiles
from sandbox.http import Answer, Request
from sandbox.log import Entry, RequestLog
from sandbox.options import Key, LiveOptions, Options
from sandbox.rates import Meter
from sandbox.rules import Rule, Rules, Subject
from sandbox.scripe_api import ScripeApi
from sandbox.scripe_jobs import Jobs
from sandbox.wire import Listener
from sandbox.world import World

Api = ScriptApi | ScripeApi

_NO_ANSWER = Answer(status=200, body=b"{}", document={})


class Service:
    """Hold the parts together. One instance is one provider, with its API port and its files port."""

    def __init__(
        self, options: Options, *, seed: int, clock: Clock, host: str, port: int = 0, files_port: int = 0
    ) -> None:
        self.live = LiveOptions(options)
        self.clock = clock
        self.seed = seed
        self.world = World(self.live, clock, seed=seed)
        self.files = ResultFiles(self.world, self.live, clock, seed=seed)
        self.rules = Rules(seed=seed)
        self.log = RequestLog(entries=options.log_entries)
        self.meters: dict[str, Meter] = {}
        self.jobs = Jobs(clock, seed)
        self._api = ScriptApi(self.world, self.files, self.live, clock)
        self._scripe = ScripeApi(self.jobs, self.live, clock)
        self._console = Console(self.world, clock)
        self._control = ControlPlane(self)
        self._host = host
        self.listeners = {
            "api": self._listener(self._answer_api, host, port),
            "files": self._listener(self._answer_files, host, files_port),
        }

    async def start(self) -> None:
        for listener in self.listeners.values():
            await listener.start()
        self.files.base_url = self.url("files")

    async def stop(self) -> None:
        for listener in self.listeners.values():
            await listener.stop()

    def url(self, port: str) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.listeners[port].port}"

    def meter(self, name: str) -> Meter:
        """Return the rate and the counts of a key, or of whatever an API counts for."""
        return self.meters.setdefault(name, Meter())

    def reset(self) -> None:
        """Begin anew: no executions, no log, no counts, no faults. The clock and the options stay."""
        self.world.reset()
        self.jobs.clear()
        self._scripe.memory.clear()
        self.log.clear()
        self.meters.clear()
        self.rules.clear()

    # -- the API port ------------------------------------------------------------------------------------------

    def _answer_api(self, request: Request) -> Answer:
        if not request.path.startswith(("/api/", SCRIPE_PREFIX)):
            answer = self._other_doors(request)
            if answer is not None:
                return answer
        call = understand(request)
        api = self._scripe if request.path.startswith(SCRIPE_PREFIX) else self._api
        key = api.key(request)
        now = self.clock.now()
        entry = self.log.add(request, at=now, port="api", kind=call.kind.value, key=key.name if key else None)
        return _noted(entry, self._guarded(api, call, key, entry, now))

    def _guarded(self, api: Api, call: Call, key: Key | None, entry: Entry, now: float) -> Answer:
        if key is None:
            return api.unauthorized()
        meter = self.meter(api.meter_name(key))
        wait_s = meter.admit(now, api.limit())
        if wait_s is not None:
            answer = api.dressed(api.throttled(wait_s), meter, now)
        else:
            rule = self._rule(call, key)
            answer = self._faulted(api, rule, call, key, meter, entry)
        if answer.status == 429:
            meter.answered_429 += 1
        delay_s = self.live.current.answer_delay_s
        if delay_s:
            delivery = replace(answer.delivery, hold_s=answer.delivery.hold_s + delay_s)
            answer = replace(answer, delivery=delivery)
        return answer

    def _faulted(self, api: Api, rule: Rule | None, call: Call, key: Key, meter: Meter, entry: Entry) -> Answer:
        def act() -> Answer:
            answer, entry.execution_ids = api.answer(call, key, meter)
            return api.dressed(answer, meter, entry.at)

        if rule is None:
            return act()
        entry.fault = rule.fault
        genuine = _NO_ANSWER
        if rule.when == "after":
            genuine = act()
        concerned = entry.execution_ids or [call.execution_id]
        scene = self._scene(rule, call.kind, call.request, concerned, port="api")
        return FAULTS[rule.fault].act(replace(scene, error=api.error), genuine)

    def _rule(self, call: Call, key: Key) -> Rule | None:
        execution = self.world.executions.get(call.execution_id) if call.execution_id else None
        job = self.jobs.by_id.get(call.execution_id) if execution is None else None
        hinted = call.hints() if execution is None else _hinted(execution)
        if job is not None and (job.hints.fault is not None or job.hints.tag is not None):
            hinted = [HintedInput(job.id, job.hints)]
        if not self.rules.rules and not hinted:
            return None
        return self.rules.pick(
            Subject(
                kind=call.kind,
                key=key.name,
                workflow_id=call.workflow_id,
                execution_id=call.execution_id,
                hints=hinted,
            )
        )

    # -- the files port ----------------------------------------------------------------------------------------

    def _answer_files(self, request: Request) -> Answer:
        answer = self._other_doors(request)
        if answer is not None:
            return answer
        secret = request.headers.get("x-api-key", "")
        key = self.live.keys.get(secret)
        entry = self.log.add(
            request, at=self.clock.now(), port="files", kind=Kind.FILE.value, key=key.name if key else None
        )
        return _noted(entry, self._served(request, entry))

    def _served(self, request: Request, entry: Entry) -> Answer:
        found = self.files.find(request)
        if found is None:
            return self.files.answer(request)
        execution = found[0]
        if self.live.current.downloads_count:
            meter = self.meters.setdefault(execution.launch.key, Meter())
            wait_s = meter.admit(entry.at, self._api.limit())
            if wait_s is not None:
                meter.answered_429 += 1
                return self._api.throttled(wait_s)
        rule = self.rules.pick(
            Subject(
                kind=Kind.FILE,
                key=execution.launch.key,
                workflow_id=execution.workflow_id,
                execution_id=execution.id,
                hints=_hinted(execution),
            )
        )
        if rule is None:
            return self.files.answer(request)
        entry.fault = rule.fault
        genuine = self.files.answer(request) if rule.when == "after" else _NO_ANSWER
        scene = self._scene(rule, Kind.FILE, request, [execution.id], port="files")
        return FAULTS[rule.fault].act(scene, genuine)

    # -- parts -------------------------------------------------------------------------------------------------

    def _other_doors(self, request: Request) -> Answer | None:
        if request.path.startswith("/_sandbox"):
            return self._control.answer(request) if "/console/" not in request.path else self._console.answer(request)
        if request.path.startswith("/console/"):
            return self._console.answer(request)
        return None

    def _scene(self, rule: Rule, kind: Kind, request: Request, concerned: list[str], *, port: str) -> Scene:
        def lose() -> None:
            for execution_id in concerned:
                if execution_id in self.world.executions:
                    self.world.executions[execution_id].is_lost = True
                if execution_id in self.jobs.by_id:
                    self.jobs.by_id[execution_id].is_lost = True

        return Scene(
            kind=kind,
            path=request.path,
            parameters=rule.parameters,
            clock=self.clock,
            files_url=self.url("files"),
            lose=lose,
            close_listener=lambda seconds: self.close_listener(port, seconds, after_s=0.0),
        )

    def close_listener(self, port: str, seconds: float, *, after_s: float) -> None:
        """Refuse connections on a port for a while, beginning after so many real seconds."""
        asyncio.get_running_loop().call_later(after_s, self.listeners[port].close_for, seconds)

    def _listener(self, answer: Callable[[Request], Answer], host: str, port: int) -> Listener:
        return Listener(
            answer,
            date=self.clock.date_header,
            keep_alive_s=lambda: self.live.current.keep_alive_s,
            host=host,
            port=port,
        )


def _noted(entry: Entry, answer: Answer) -> Answer:
    entry.status = None if answer.delivery.is_silent else answer.status
    return answer


def _hinted(execution: Execution) -> list[HintedInput]:
    hints = execution.fate.hints
    return [HintedInput(execution.id, hints)] if hints.fault is not None or hints.tag is not None else []
