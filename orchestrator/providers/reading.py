"""What an answer says, or the error that it means: the same for every provider, by its own table and its own shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from orchestrator.errors import ProviderError, Refused
from orchestrator.providers.evidence import evidence, one_line
from orchestrator.providers.http import Answer
from orchestrator.providers.outcomes import Outcomes
from orchestrator.providers.retry_after import retry_after_s

T = TypeVar("T")


class WrongShape(Exception):
    """An answer is not what the page promises. The message is ours and names a field, never its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnError:
    """A provider's no, in its own shape. `code` is its own word for it, where it has such."""

    said: str
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads answers of one provider.

    Args:
        own_error: returns what a body says if it is in the provider's own error shape, else None.
        utc_now: the clock for a `Retry-After` date in an answer that has no date of its own.
    """

    own_error: Callable[[bytes], OwnError | None]
    utc_now: Callable[[], datetime]

    def parsed(self, answer: Answer, outcomes: Outcomes, parse: Callable[[bytes], T], *, secrets: Sequence[str]) -> T:
        """Return what the answer says, or raise what it means."""
        if not 200 <= answer.status <= 299:
            raise self._no(answer, outcomes, secrets)
        wrong = "larger than we read"
        if not answer.was_cut:
            try:
                return parse(answer.body)
            except WrongShape as flaw:
                wrong = str(flaw)
        raise outcomes.wrong_shape(
            f"the provider's answer is not what its page promises: {wrong}",
            http_status=answer.status,
            evidence=evidence(answer.body, secrets=secrets),
        )

    def _no(self, answer: Answer, outcomes: Outcomes, secrets: Sequence[str]) -> ProviderError:
        own = None if answer.was_cut else self.own_error(answer.body)
        rule = outcomes.of_code(own.code) if own is not None else None
        meaning = rule.meaning if rule else outcomes.of_status(answer.status, is_own_shape=own is not None)
        message = f"the provider answered {answer.status}"
        if own is not None and own.said and issubclass(meaning, Refused):
            message += f": {one_line(own.said, max_chars=500, secrets=secrets)}"
        headers = answer.headers
        return meaning(
            message,
            code=rule.code if rule else None,
            http_status=answer.status,
            evidence=evidence(answer.body, secrets=secrets),
            retry_after_s=retry_after_s(headers.get("retry-after"), date=headers.get("date"), now=self.utc_now()),
        )
