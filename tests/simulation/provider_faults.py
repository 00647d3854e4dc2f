"""What a provider does instead of answering well: the sandbox's own faults by seeded rules, and a few of answers only.

Every fault has a name that says where it strikes; the coverage table has a cell for each.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from sandbox.calls import Kind, understand
from sandbox.http import Answer, Request, json_answer
from sandbox.rules import Rule
from tests.simulation.provider import SimProvider

#: A silence that outlasts every patience of ours.
_SILENCE_S = 200.0
#: Launches of whole waves are few beside looks: so many times as often are they struck, or most faults never meet one.
_WAVES_MORE_OFTEN = 5

#: name -> the sandbox's rule for it. Those that end a run for good (400, a lost execution) are rarer than the others.
_ANYWHERE: Mapping[str, dict[str, Any]] = {
    "429": {"fault": "429"},
    "429_seconds": {"fault": "429", "retry_after_s": 40},
    "429_date": {"fault": "429", "retry_after_s": 60, "retry_after_as": "date"},
    "500": {"fault": "500"},
    "502_html": {"fault": "502_html"},
    "503": {"fault": "503"},
    "404_html": {"fault": "404_html"},
    "403_html": {"fault": "403_html"},
    "html_200": {"fault": "not_json_html_200"},
    "redirect": {"fault": "redirect"},
    "hang": {"fault": "hang", "seconds": _SILENCE_S},
    "late_answer": {"fault": "hang_after", "seconds": 45},
    "reset_before": {"fault": "reset_before"},
    "reset_after": {"fault": "reset_after"},
    "disconnect_before": {"fault": "disconnect_before"},
    "disconnect_after": {"fault": "disconnect_after"},
    "cut_body": {"fault": "cut_body"},
    "cut_body_reset": {"fault": "cut_body", "ending": "rst"},
    "wrong_length": {"fault": "wrong_length"},
    "bad_json": {"fault": "bad_json"},
    "wrong_shape": {"fault": "wrong_shape"},
    "duplicate_keys": {"fault": "duplicate_keys"},
}
_LAUNCHES: Mapping[str, dict[str, Any]] = {
    **_ANYWHERE,
    "400": {"fault": "400", "share": 0.3},
    "401": {"fault": "401", "share": 0.3},
    "404": {"fault": "404", "share": 0.3},
    "500_after": {"fault": "500_after"},
    "502_after": {"fault": "502_html", "when": "after"},
    "503_after": {"fault": "503", "when": "after"},
}
_LOOKS: Mapping[str, dict[str, Any]] = {
    **_ANYWHERE,
    "401": {"fault": "401", "share": 0.3},
    "404": {"fault": "404"},
    "unknown_status": {"fault": "unknown_status"},
    "lost_execution": {"fault": "lost_execution", "share": 0.2},
}
_FILES: Mapping[str, dict[str, Any]] = {
    **{name: _ANYWHERE[name] for name in ("429", "429_seconds", "500", "502_html", "503", "403_html", "404_html")},
    **{name: _ANYWHERE[name] for name in ("redirect", "hang", "reset_before", "reset_after", "cut_body")},
    "404": {"fault": "404"},
    "expired_url": {"fault": "expired_url"},
    "empty_file": {"fault": "empty_file"},
    "cut_body_reset": {"fault": "cut_body", "ending": "rst"},
    "too_short": {"fault": "wrong_length", "delta_bytes": 10},
    "too_long": {"fault": "wrong_length", "delta_bytes": -10},
    "slow_drip": {"fault": "slow_drip", "bytes_per_s": 20},
}
#: kind of request -> name -> rule.
RULES: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "launch": _LAUNCHES,
    # Waves are few, and each of these ends one only: as often as the others.
    "batch": {
        **_LAUNCHES,
        **{name: {"fault": name} for name in ("400", "401", "404")},
        "partial_batch": {"fault": "partial_batch"},
    },
    "look": _LOOKS,
    "file": _FILES,
}

#: Answers that are changed on their way out, because the sandbox has no rule for them.
TWISTS: Mapping[str, Sequence[str]] = {
    "launch": ("foreign_id", "no_id"),
    "batch": ("duplicate_ids", "foreign_index"),
    "look": ("status_back", "results_gone"),
}
#: How often the results of one execution may be left out of an answer that says that it has finished.
MOST_HIDDEN = 2

#: Faults of a while, for everything that the key asks.
SPELLS: Mapping[str, dict[str, Any]] = {
    "key_refused": {"fault": "401", "kind": ["launch", "batch", "look", "list", "view"]},
    "all_503": {"fault": "503", "kind": ["launch", "batch", "look", "list", "view"]},
    "files_away": {"fault": "503", "kind": "file"},
    "door_shut": {},
}


def boundaries() -> dict[str, tuple[str, ...]]:
    """Return every fault of the provider by boundary, as `tests.simulation.faults.BOUNDARIES` has the others."""
    named = {f"provider.{kind}": (*rules, *TWISTS.get(kind, ())) for kind, rules in RULES.items()}
    return named | {"provider.spell": tuple(SPELLS)}


class ProviderFaults:
    """Lets a provider misbehave, by the seed, until it is healed.

    Args:
        rate: the chance of each request to be struck.
        spell_every_s: the mean time between two faults of a while; 0: none.
        only: boundary/fault pairs to act out; None: all.
        is_linked: tells whether the product has an execution's id in its books. An id of another launch is a lie that
            shows only then: one that nobody has written down yet is believed, whoever names it.
    """

    def __init__(
        self,
        provider: SimProvider,
        rng: Random,
        *,
        rate: float,
        spell_every_s: float = 0.0,
        spell_s: tuple[float, float] = (5.0, 300.0),
        only: frozenset[tuple[str, str]] | None = None,
        is_linked: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._provider = provider
        self._rng = rng
        self._rate = rate
        self._spell_every_s = spell_every_s
        self._spell_s = spell_s
        self._only = only
        self._is_linked = is_linked
        self._rules: dict[tuple[str, str], Rule] = {}
        self._spell_rules: list[Rule] = []
        self._acted: Counter[tuple[str, str]] = Counter()
        self._timers: list[asyncio.TimerHandle] = []
        self._looked_at: dict[str, None] = {}
        self._hidden: Counter[str] = Counter()
        self._is_on = False

    def begin(self) -> None:
        """Install the rules, and plan the first spell."""
        self._is_on = True
        self._provider.twist = self._twisted
        for kind, named in RULES.items():
            self._install(kind, {name: rule for name, rule in named.items() if self._may(f"provider.{kind}", name)})
        self._plan_spell()

    def heal(self) -> None:
        """Let the provider behave from now on."""
        self._is_on = False
        self._note_rules()
        self._provider.service.rules.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers = []

    def hits(self) -> dict[tuple[str, str], int]:
        """Return how often each fault struck, 0 for those that never did."""
        self._note_rules()
        return {
            (boundary, name): self._acted[boundary, name] for boundary, names in boundaries().items() for name in names
        }

    # -- rules -------------------------------------------------------------------------------------------------

    def _may(self, boundary: str, name: str) -> bool:
        return self._only is None or (boundary, name) in self._only

    def _install(self, kind: str, named: Mapping[str, dict[str, Any]]) -> None:
        shares = {name: float(rule.get("share", 1.0)) for name, rule in named.items()}
        whole = sum(shares.values())
        for name, rule in named.items():
            document = {key: value for key, value in rule.items() if key != "share"}
            document |= {"kind": kind, "probability": self._rate_of(kind) * shares[name] / whole}
            (self._rules[f"provider.{kind}", name],) = self._provider.service.rules.add([document])

    def _rate_of(self, kind: str) -> float:
        return max(self._rate, min(0.5, self._rate * _WAVES_MORE_OFTEN)) if kind == "batch" else self._rate

    def _note_rules(self) -> None:
        for where, rule in self._rules.items():
            self._acted[where] += rule.fired
            rule.fired = 0

    # -- spells ------------------------------------------------------------------------------------------------

    def _plan_spell(self) -> None:
        if self._spell_every_s and self._is_on:
            self._later(self._rng.expovariate(1 / self._spell_every_s), self._begin_spell)

    def _begin_spell(self) -> None:
        name = self._rng.choice(list(SPELLS))
        seconds = self._rng.uniform(*self._spell_s)
        self._plan_spell()
        if self._may("provider.spell", name):
            self.spell(name, seconds)

    def spell(self, name: str, seconds: float) -> None:
        """Let a fault of a while begin now."""
        self._acted["provider.spell", name] += 1
        service = self._provider.service
        if name == "door_shut":
            port = self._rng.choice(("api", "files"))
            service.listeners[port].close_for(seconds)
            return
        (rule,) = service.rules.add([SPELLS[name]])
        service.rules.rules.insert(0, service.rules.rules.pop())  # the first rule that strikes is the only one
        self._later(seconds, service.rules.remove, rule.id)

    def _later(self, seconds: float, act: Callable[..., object], *arguments: Any) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, act, *arguments))

    # -- twists ------------------------------------------------------------------------------------------------

    def _twisted(self, request: Request, answer: Answer) -> Answer:
        call = understand(request)
        kind = call.kind
        if kind is Kind.LOOK and answer.status == 200:
            self._looked_at[call.execution_id] = None
        names = [name for name in TWISTS.get(kind.value, ()) if self._may(f"provider.{kind.value}", name)]
        if not self._is_on or not names or answer.status != 200 or not isinstance(answer.document, dict):
            return answer
        if self._rng.random() >= self._rate_of(kind.value) / 4:
            return answer
        name = self._rng.choice(names)
        document = self._changed(name, call.execution_id, json.loads(json.dumps(answer.document)))
        if document is None:
            return answer
        self._acted[f"provider.{kind.value}", name] += 1
        self._note_in_log(name)
        return replace(json_answer(answer.status, document, headers=answer.headers), delivery=answer.delivery)

    def _changed(self, name: str, looked_at: str, document: dict[str, Any]) -> dict[str, Any] | None:
        """Return the changed answer, None where this change cannot be made."""
        executions = document.get("executions") or []
        match name:
            case "no_id" if "execution_id" in document:
                del document["execution_id"]
            # One that was looked at before, so that a client can know that it is another's.
            case "foreign_id" if "execution_id" in document and (linked := self._linked()):
                document["execution_id"] = self._rng.choice(linked)
            case "duplicate_ids" if len(executions) > 1:
                executions[1]["execution_id"] = executions[0]["execution_id"]
            case "foreign_index" if executions:
                # Beyond the whole wave: one within it that names the wrong item is a lie that nobody can see.
                executions[-1]["index"] = max(document.get("total") or 0, len(executions)) + 7
            case "status_back" if document.get("status") in ("finished", "error"):
                document |= {"status": "processing", "results": None}
            # Twice for each: an execution that never shows its results again is one without any, as far as can be seen.
            case "results_gone" if document.get("results") and self._hidden[looked_at] < MOST_HIDDEN:
                self._hidden[looked_at] += 1
                document["results"] = None
            case _:
                return None
        return document

    def _linked(self) -> list[str]:
        return [id for id in self._looked_at if self._is_linked(id)]

    def _note_in_log(self, name: str) -> None:
        log = self._provider.service.log
        entry = log.since(log.last_seq - 1, limit=1)[0]
        entry.fault = f"{entry.fault}+{name}" if entry.fault else name
