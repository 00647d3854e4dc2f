"""The database's clock went back: without this, all that is due by the old one would sleep as long as the jump."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import LONGEST_CALL_S, SEND_WITHIN_S
from orchestrator.storage import clocks, lanes
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Nothing is ever due later than this by intention, seconds: an hour, and a margin.
NEVER_MEANT_S = 4500.0

#: After a jump that a worker has seen in its own heartbeats: what is due later than this is asked about early.
SEEN_TO_JUMP_S = 30.0


async def bring_back(deps: Deps, *, went_back: bool) -> int:
    """Make work that a clock in the future has put off due again. Returns on how many lanes.

    Args:
        went_back: a heartbeat of the caller came before the one before it.
    """
    far_s = SEEN_TO_JUMP_S if went_back else NEVER_MEANT_S
    lease_s, call_s = deps.settings.lease_s, SEND_WITHIN_S + LONGEST_CALL_S

    async def find(connection: AsyncConnection) -> list[UUID]:
        return await clocks.lanes_ahead(connection, far_s=far_s)

    ahead = await deps.db.run(find)
    for lane_id in ahead:

        async def mend(connection: AsyncConnection, lane_id: UUID = lane_id) -> int:
            await lanes.lock(connection, lane_id)
            return await clocks.bring_back(connection, lane_id, far_s=far_s, lease_s=lease_s, call_s=call_s)

        brought = await deps.db.run(mend)
        if not went_back or brought:
            log.warning("the database's clock went back, work is due again", code="clock_back", lane=str(lane_id))
    return len(ahead)
