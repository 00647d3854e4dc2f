"""The list of what must hold, and when each part of it is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import islice

from tests.simulation.invariants import care, history, launching, limits, results
from tests.simulation.invariants.limits import Blocks
from tests.simulation.invariants.view import Evidence, View

#: So many offenders of one invariant are named; the others are only counted in by its failing.
NAMED = 5


class When(Enum):
    """When an invariant is checked."""

    #: After every step, for the runs that were touched, and for all of them at the end.
    STEP = "step"
    #: At the end of a world, whatever state it is in.
    END = "end"
    #: At the end, once the faults have stopped and things had time.
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that must hold: `check` yields what breaks it."""

    check: Callable[[View], Iterator[str]]
    when: When

    @property
    def name(self) -> str:
        """The name by which a breach is told."""
        return self.check.__name__


@dataclass(frozen=True, slots=True)
class Breach:
    """An invariant that did not hold, and an offender."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}"


_STEP: Sequence[Callable[[View], Iterator[str]]] = (
    history.legal_moves,
    history.projection_equals_history,
    history.chain_holds,
    launching.one_open_attempt,
    launching.intent_before_deed,
    launching.no_silent_orphan,
    launching.no_unflagged_duplicate,
    launching.linked_to_its_own,
    launching.right_bytes,
    limits.rate,
    limits.slots,
    results.results_complete_and_equal,
    results.stored_is_stored,
    results.written_once,
    results.no_url_dies_unread_silently,
    care.somebody_is_responsible,
    care.questions_are_closed,
    care.no_timer_of_the_ended,
)
_END: Sequence[Callable[[View], Iterator[str]]] = (
    history.heads_are_held,
    launching.one_request_per_attempt,
    launching.no_shared_execution,
    launching.policies_are_the_owners,
    launching.no_needless_doubt,
    launching.no_doubt_by_stopping,
    launching.wave_positions_are_single,
    limits.retry_after_obeyed,
    results.lost_only_when_hopeless,
    results.no_credentials_to_file_hosts,
    results.no_secret_is_told,
    care.never_lost,
    care.nothing_invented,
    care.batches_add_up,
    care.every_intent_is_watched,
)
_QUIET: Sequence[Callable[[View], Iterator[str]]] = (
    launching.doubts_are_prompt,
    care.everything_ended_or_asks,
    care.ended_batches_say_so,
    care.slots_are_released,
    care.grants_are_released,
    care.leases_free,
    care.nothing_is_overdue,
)
#: Beside these, `no_grant_while_blocked` is checked at each step: it needs a memory, which a checker has.
INVARIANTS: Sequence[Invariant] = (
    *(Invariant(check, When.STEP) for check in _STEP),
    *(Invariant(check, When.END) for check in _END),
    *(Invariant(check, When.QUIET) for check in _QUIET),
)


class Checker:
    """Judges a world. Make it before anything happens in it."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._since = evidence.watermark()
        blocks = Blocks()
        self._no_grant_while_blocked = partial(limits.no_grant_while_blocked, blocks)
        launching.watch_arrivals(evidence)

    def after_step(self) -> list[Breach]:
        """Check what was touched since the last look."""
        mark = self._evidence.watermark()
        touched = self._evidence.touched(self._since)
        self._since = mark
        view = View(self._evidence, touched)
        found = [Breach("no_grant_while_blocked", what) for what in self._no_grant_while_blocked(view)]
        return found + _breaches(view, When.STEP)

    def at_end(self, *, is_quiet: bool) -> list[Breach]:
        """Check everything; what must hold in a quiet world only if this one is."""
        view = View(self._evidence)
        found = _breaches(view, When.STEP) + _breaches(view, When.END)
        return found + (_breaches(view, When.QUIET) if is_quiet else [])


def _breaches(view: View, when: When) -> list[Breach]:
    return [
        Breach(invariant.name, what)
        for invariant in INVARIANTS
        if invariant.when is when
        for what in islice(invariant.check(view), NAMED)
    ]
