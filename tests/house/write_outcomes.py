"""Writes `docs/outcomes.md`, from the tables and the decisions themselves: `python -m tests.house.write_outcomes`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from orchestrator.domain import launch_decisions, resending
from orchestrator.domain.answers import Accepted
from orchestrator.domain.breaker import Breaker
from orchestrator.domain.launch_decisions import LaunchDecision, LaunchFacts, LaunchingRun, OnDoubt
from orchestrator.domain.resending import Resend
from orchestrator.errors import (
    Gone,
    KeyRefused,
    Misbehaved,
    NotCancellable,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    Refused,
    Throttled,
)
from orchestrator.providers.outcomes import FAILURES, LAUNCH, OUTCOMES, READ, Outcomes
from tests.house.source import ROOT
from tests.providers.wire_lines import LINES, WireLine

PAGE = ROOT / "docs" / "outcomes.md"

HEAD = """# What a failed call means

Printed from `orchestrator/providers/outcomes.py`, `orchestrator/domain/launch_decisions.py`, `resending.py` and
`tests/providers/wire_lines.py` by `python -m tests.house.write_outcomes`; a test holds it to them.

Three kinds of call, one rule: after a launch, what is not proved to be unsent or refused is **unknown**, and the run
is `in_doubt`, unless the provider takes keys. A look or a download may be repeated, so there unknown only means: again.
A launch is written once, on a fresh connection of its own, and a witness notes when its first byte may have left: what
was written is never called unsent.
"""

#: class -> its name on this page, and what it means for a look and for a file. Launches: printed from the decisions.
MEANINGS: dict[type[ProviderError], tuple[str, str, str]] = {
    NotSent: ("not sent", "look again", "fetch again"),
    Throttled: ("turned away", "look later; the lane waits", "fetch later"),
    KeyRefused: ("key refused", "look again; the lane's launches stop", "ask for a fresh URL"),
    Gone: ("not found", "look again; after 10 minutes `provider_lost`", "ask for a fresh URL"),
    Refused: ("refused", "look again", "ask for a fresh URL"),
    Misbehaved: ("misbehaved", "look again", "ask for a fresh URL"),
    OutcomeUnknown: ("unknown", "look again; with Retry-After the lane waits so long", "fetch again"),
}

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def page() -> str:
    """Return the page."""
    sections = [HEAD, *_meanings(), *_resends(), *_wire(), *_failures(), *_statuses(), *_bodies()]
    return "\n".join(sections) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def _table(heads: Sequence[str], lines: Iterator[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _word(kind: type[ProviderError] | None) -> str:
    if kind is NotCancellable:
        return "not cancellable"  # of a cancel alone
    return MEANINGS[kind][0] if kind is not None else "–"


def _meanings() -> Iterator[str]:
    yield "## What follows\n"
    yield "For a launch, with the policy `hold`; `relaunch` and `fail` put `queued` and `error` for `in_doubt`.\n"

    def lines() -> Iterator[Sequence[str]]:
        yield ["accepted", _launch(Accepted(execution_id="e")), "–", "–"]
        for kind, (word, look, file) in MEANINGS.items():
            launch = _launch(kind("x"))
            if kind is OutcomeUnknown:
                launch += ". With Retry-After the lane waits so long, too"
            if kind is Throttled:
                launch += f". With Retry-After: {_launch(Throttled('x', retry_after_s=9.0))}"
            yield [word, launch, look, file]

    yield _table(["Meaning", "A launch", "A look", "A result file"], lines())


def _launch(answer: Accepted | ProviderError) -> str:
    """Say what the decision says, of a single launch and, where that differs, of a wave."""
    single, wave = _decide(answer, is_wave=False), _decide(answer, is_wave=True)
    after = f"`{single.changes[0].to}`"
    if wave.changes[0].to is not single.changes[0].to and isinstance(answer, ProviderError):
        after += f" (a wave: `{wave.changes[0].to}`, and halved)"
    return "; ".join([after, *_around(single)])


def _decide(answer: Accepted | ProviderError, *, is_wave: bool) -> LaunchDecision:
    runs = [LaunchingRun(run_id=UUID(int=n + 1), attempt=1, position=n) for n in range(2 if is_wave else 1)]
    facts = LaunchFacts(
        runs=runs, is_wave=is_wave, of_batch=is_wave, on_doubt=OnDoubt.HOLD, looks_first_s=2.0, window=1
    )
    return launch_decisions.after_launch(facts, answer, breaker=Breaker(), now=_NOW, unit=0.5)


def _around(decision: LaunchDecision) -> Iterator[str]:
    if decision.breaker is not None and decision.breaker.state != Breaker().state:
        yield "the breaker opens"
    if decision.lane_blocked_until is not None:
        yield "the lane waits so long"
    if decision.lane_launches_stopped is not None:
        yield "the lane's launches stop until the connection is tested or changed"
    if decision.workflow_blocked_until is not None:
        yield f"the workflow's launches pause ({decision.workflow_blocked_because})"


def _resends() -> Iterator[str]:
    yield "## Where the provider takes a key with a launch\n"
    yield (
        "The same bytes under the same key come to one execution, so what is unknown is sent again instead of doubted, "
        "until the key may be forgotten. `launching (again)`: the run stays as it is, and its request is sent again.\n"
    )

    def lines() -> Iterator[Sequence[str]]:
        yield ["accepted", *(_resent(Accepted(execution_id="e"), sends) for sends in (0, 1))]
        for kind, (word, _, _) in MEANINGS.items():
            yield [word, *(_resent(kind("x"), sends) for sends in (0, 1))]
        conflict = OutcomeUnknown("x", code=resending.KEY_CONFLICT)
        yield [f"unknown, `{resending.KEY_CONFLICT}`", *(_resent(conflict, sends) for sends in (0, 1))]
        late = (_resent(OutcomeUnknown("x"), sends, hours=0) for sends in (0, 1))
        yield ["unknown, and the key may be forgotten", *late]

    yield _table(["Meaning", "The first sending", "A later one, after a lost answer"], lines())


def _resent(answer: Accepted | ProviderError, sends: int, *, hours: int = 23) -> str:
    run = LaunchingRun(run_id=UUID(int=1), attempt=1, position=0)
    facts = LaunchFacts(runs=[run], is_wave=False, of_batch=False, on_doubt=OnDoubt.HOLD, looks_first_s=2.0, window=1)
    resend = Resend(until=_NOW + timedelta(hours=hours), sends=sends)
    decision = resending.after_launch(facts, answer, resend=resend, breaker=Breaker(), now=_NOW, unit=0.5)
    if decision.again_at is not None:
        return "; ".join(["`launching` (again)", *_around(decision)])
    return "; ".join([f"`{decision.changes[0].to}`", *_around(decision)])


def _wire() -> Iterator[str]:
    yield "## What happens on the wire\n"
    yield "Each line is made to happen by a real socket, to every kind of call that it can happen to.\n"
    yield _table(
        ["What happens", "httpx says", "A launch", "A look", "A result file"],
        (
            [
                line.name,
                _said(line),
                *map(_word, (line.launch, line.look, line.file)),
            ]
            for line in LINES
        ),
    )


def _said(line: WireLine) -> str:
    if line.said:
        return f"`{line.said}`"
    return "one or the other" if line.launch is line.look is OutcomeUnknown else "– (it is an answer)"


def _failures() -> Iterator[str]:
    yield "## What the client raises\n"
    yield "The nearest class in an exception's ancestry counts. Once a byte may have left, every line is unknown.\n"

    def lines() -> Iterator[Sequence[str]]:
        for kind, line in FAILURES.items():
            module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
            unwritten = LAUNCH.of_failure(kind("x"), was_written=False)
            yield [f"`{module}{kind.__name__}`", line.said, _word(unwritten)]

    yield _table(["Exception", "In our words", "Nothing was written yet"], lines())


def _statuses() -> Iterator[str]:
    yield "## What a status means\n"
    yield (
        "The provider's own shape is a JSON object with an `error`: a text, or a code with a message. A 2xx is not "
        "here: it is read, see below. The "
        "first line that holds a status counts. The head alone says it: a body that is cut, reset or never ends is one "
        "in a foreign shape.\n"
    )
    names = {"launch": "A launch", "look": "A look", "cancel": "A cancel", "file": "A result file"}
    for provider, calls in OUTCOMES.items():
        for kind, outcomes in calls.items():
            yield f"### {names[kind]} ({provider})\n"
            yield _table(["Status", "In the provider's own shape", "In a foreign shape", "Why"], _rules(outcomes))
            if outcomes.codes:
                yield "Its own codes say more than the status:\n"
                lines = ([f"`{code}`", _word(rule.meaning), rule.why] for code, rule in outcomes.codes.items())
                yield _table(["Code", "Means", "Why"], lines)


def _rules(outcomes: Outcomes) -> Iterator[Sequence[str]]:
    for rule in outcomes.statuses:
        status = str(rule.first) if rule.first == rule.last else f"{rule.first}–{rule.last}"
        yield [status, _word(rule.own_shape), _word(rule.foreign_shape), rule.why]


def _bodies() -> Iterator[str]:
    yield "## What a 2xx means\n"
    yield f"""\
- To a launch: accepted, if it is strict JSON with a well-formed id, however oddly it came;
  else {_word(LAUNCH.wrong_shape)}.
- To a wave: accepted for each index that has one well-formed id of its own, which no other index and no other attempt
  has; each other index is unknown, and only that one.
- To a look: {_word(READ.wrong_shape)}, if it is not what the page promises.
- A result file counts only with status 200 and every byte that was announced."""


if __name__ == "__main__":
    main()
