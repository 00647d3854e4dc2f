"""A connection told to a person: how it does, in plain words, the worst first. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.domain.breaker import Breaker, BreakerState

#: Of the budget: above this share launches and looks begin to wait for each other.
TIGHT = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a connection does.

    Args:
        tone: `good`, `human` (somebody stopped it, or it waits), `bad`.
        word: for a badge.
        sentence: what is so.
        cure: what a person can do, None where nothing is to be done.
        reason: why launches wait, in the catalogue of codes; None when they do not.
        until: when it goes on by itself.
    """

    tone: str
    word: str
    sentence: str
    cure: str | None = None
    reason: str | None = None
    until: datetime | None = None


def health(lane: Mapping[str, Any]) -> list[Health]:
    """Return everything that holds a connection's launches, the worst first; one line when nothing does."""
    return list(_held(lane)) or [_free(lane)]


def _held(lane: Mapping[str, Any]) -> Iterator[Health]:
    if lane["launches_stopped"] == "version_unsupported":
        yield Health(
            tone="bad",
            word="version ended",
            sentence="The provider has ended the version that this program asks for: nothing is launched.",
            cure="upgrade the product, then test the connection",
            reason="stopped",
        )
    elif lane["launches_stopped"]:
        yield Health(
            tone="bad",
            word="key refused",
            sentence="The provider refuses the key: nothing is launched until it is mended.",
            cure="rotate the key, or have the provider accept it again; then test the connection",
            reason="stopped",
        )
    if lane["breaker"] == BreakerState.OPEN:
        if Breaker(trips=lane["breaker_trips"]).loses_launches:
            sentence = "The provider answers reads, but launches are lost: one is tried at a time, ever more rarely."
        else:
            sentence = "The provider is in trouble: nothing is launched until a harmless read succeeds."
        cure = "it goes on by itself; a test tries at once"
        yield Health(
            tone="bad", word="probing", sentence=sentence, cure=cure, reason="provider", until=lane["probe_at"]
        )
    elif lane["breaker"] == BreakerState.HALF_OPEN:
        sentence = "The provider answers again: one launch is tried, then the rest follows."
        yield Health(tone="human", word="trying one", sentence=sentence, reason="provider")
    if lane["blocked_until"] is not None:
        sentence = "The provider asked for a pause: nothing is asked of it."
        cure = "it goes on by itself; if it lasts, is the key used elsewhere too, or its limit declared too high?"
        yield Health(
            tone="human",
            word="asked to wait",
            sentence=sentence,
            cure=cure,
            reason="rate",
            until=lane["blocked_until"],
        )
    if lane["paused_at"] is not None:
        sentence = f"Paused by {lane['paused_by']}: nothing is launched; what was launched is still collected."
        yield Health(tone="human", word="paused", sentence=sentence, cure="resume it", reason="pause")


def _free(lane: Mapping[str, Any]) -> Health:
    used, limit = lane["used"], lane["limit"]
    if used >= limit * TIGHT:
        sentence = f"Works, at its limit: {used} of {limit} requests of the last 60 s are used, so work takes turns."
        return Health(tone="good", word="at its limit", sentence=sentence)
    return Health(tone="good", word="ok", sentence="Works: launches go out, and looks come back.")
