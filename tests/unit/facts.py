"""What the unit tests stand on: one moment, and what providers may say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import Phase, settings
from hypothesis import strategies as st

from orchestrator.domain.answers import Observation, OfferedFile, RemoteStatus
from orchestrator.domain.changes import Change
from orchestrator.domain.governor import CallKind, Spent
from orchestrator.domain.statuses import ENDINGS
from orchestrator.errors import (
    Gone,
    KeyRefused,
    Misbehaved,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    Refused,
    Throttled,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUN = UUID(int=7)

#: Every class of failure that a call to a provider can come to, the root among them.
ERRORS: tuple[type[ProviderError], ...] = (
    NotSent,
    Throttled,
    Refused,
    KeyRefused,
    Gone,
    Misbehaved,
    OutcomeUnknown,
    ProviderError,
)

#: Without explaining and targeting, which cost more than they tell here.
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)

#: Few examples, always the same: the whole of these tests must stay cheap, and a failure must come again.
few = settings(max_examples=25, deadline=None, derandomize=True, database=None, phases=PHASES)


def spent(back_at: datetime, kind: CallKind, tokens: int) -> Spent:
    """Return tokens that come back at a time."""
    return Spent(round(back_at.timestamp() * 1000), kind, tokens)


def back_at(known: Spent) -> datetime:
    """Return when tokens come back."""
    return datetime.fromtimestamp(known.back_ms / 1000, tz=UTC)


units = st.floats(0, 1, exclude_max=True)
errors = st.builds(
    lambda kind, wait_s: kind("no", retry_after_s=wait_s),
    st.sampled_from(ERRORS),
    st.one_of(st.none(), st.floats(0, 3600)),
)
offers = st.one_of(
    st.none(),
    st.lists(st.builds(OfferedFile, filename=st.just("a.csv"), url=st.just("https://x/a")), max_size=2).map(tuple),
)
observations = st.builds(
    Observation,
    status=st.sampled_from(RemoteStatus),
    word=st.sampled_from(["initial", "processing", "finished", "odd"]),
    files=offers,
    error_message=st.one_of(st.none(), st.just("it broke")),
)


def s(seconds: float) -> timedelta:
    """Return a span of so many seconds."""
    return timedelta(seconds=seconds)


def assert_sound(change: Change) -> None:
    """What holds for every change, whoever decided it. That its moves are legal, it asserts itself."""
    has_ended = change.to in ENDINGS
    assert not (has_ended and change.timer is not None), "what has ended is due for nothing"
    assert not (has_ended and change.keeps_timer), "what has ended is due for nothing"
    assert change.was == change.to or change.events, "a move without an event cannot be shown"
    assert change.error is None or has_ended, "an error belongs to an ending"
    assert change.error is None or not change.clears_error
    assert change.opens is None or change.title, "a question needs its words"
    assert change.offered is None or change.url_expires_at is not None
