"""What answers told beside what was asked: taken from the adapter once they are in hand, and written down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import alarm_words
from orchestrator.domain.alarm_words import Code
from orchestrator.domain.heard import EndingNews, RateSaid, lowest
from orchestrator.engine.deps import Deps
from orchestrator.storage import endings
from orchestrator.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ears:
    """Whose answers are heard: one provider's, on connections of one lane."""

    provider: str
    connections: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What they told: of the lane's rate, and of the connections' versions."""

    rate: RateSaid | None = None
    news: tuple[tuple[UUID, EndingNews], ...] = ()


def ears(provider: str, connections: UUID | Iterable[UUID]) -> Ears:
    """Return whose answers are heard."""
    ids = (connections,) if isinstance(connections, UUID) else tuple(sorted(set(connections)))
    return Ears(provider=provider, connections=ids)


def take(deps: Deps, whose: Ears) -> Said:
    """Take what was told since this was last asked: who takes it writes it down, or it waits to be told again."""
    provider = deps.provider(whose.provider)
    heard = [(id, provider.heard(str(id))) for id in whose.connections]
    return Said(
        rate=lowest(h.rate for _, h in heard), news=tuple((id, h.news) for id, h in heard if h.news is not None)
    )


async def tell(deps: Deps, said: Said) -> None:
    """Write down and tell of versions that will end. Once for each process and connection: nothing waits for it."""
    if not said.news:
        return

    async def write(connection: AsyncConnection) -> list[endings.Told]:
        told = [await endings.write(connection, id, news) for id, news in said.news]
        return [one for one in told if one is not None]

    what, hint = alarm_words.WORDS[Code.VERSION_ENDING]
    for one in await deps.db.run(write, tries=20):
        log.warning(
            what,
            code=str(Code.VERSION_ENDING),
            connection=one.name,
            version=one.asked,
            sunset_at=None if one.ending.sunset_at is None else one.ending.sunset_at.isoformat(),
            replacement=one.ending.replacement,
            hint=hint,
        )
