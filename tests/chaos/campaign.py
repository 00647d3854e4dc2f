"""The campaign: work and kills side by side, then peace, then the verdict."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.statuses import ENDINGS
from orchestrator.errors import OrchestratorError
from tests.chaos import verdict
from tests.chaos.installation import Installation, installed
from tests.chaos.monkey import Death, Monkey, death_of
from tests.chaos.submitter import Submitter
from tests.guarantees import books

#: What the provider does wrong, and how often. A launch that breaks opens its lane's breaker for seconds, so few do.
FAULTS: tuple[dict[str, Any], ...] = (
    {"fault": "disconnect_after", "kind": ["launch", "batch"], "probability": 0.005},
    {"fault": "500_after", "kind": ["launch", "batch"], "probability": 0.005},
    {"fault": "503", "kind": ["launch", "batch"], "probability": 0.005},
    {"fault": "429", "kind": ["launch", "batch"], "probability": 0.005, "retry_after_s": 1},
    {"fault": "hang_after", "kind": ["launch", "batch"], "probability": 0.02, "seconds": 2},
    {"fault": "500", "kind": "look", "probability": 0.01},
    {"fault": "reset_before", "kind": "look", "probability": 0.01},
    {"fault": "bad_json", "kind": "look", "probability": 0.005},
    {"fault": "hang", "kind": "look", "probability": 0.005, "seconds": 2},
    {"fault": "cut_body", "kind": "file", "probability": 0.03},
    {"fault": "reset_before", "kind": "file", "probability": 0.02},
    {"fault": "wrong_length", "kind": "file", "probability": 0.01},
    {"fault": "expired_url", "kind": "file", "probability": 0.01},
)
#: A campaign of so many items must have seen each reset of a launch: it is what the campaign is for.
LONG_ITEMS = 500
#: Of single launches, and of waves: more than any campaign lives to see.
MOST_RESETS = 200
STATUSES = text("SELECT status, count(*) AS n FROM runs GROUP BY status")
UNBURIED = text("SELECT count(*) FROM workers WHERE buried_at IS NULL AND NOT pid = ANY(CAST(:alive AS int[]))")
PROGRESS_S = 10.0
#: Longer than a worker must have been heard itself before it may judge others' silence.
CALM_S = 25.0
DOOMED_AT_ONCE = 3
LOOK_S = 0.25

Say = Callable[[str], None]


async def wage(
    folder: Path,
    *,
    items: int,
    kills: int,
    seed: int,
    workers: int = 3,
    pause_s: float = 3.0,
    times: Mapping[str, str] | None = None,
    calm_deaths: int = 20,
    quiet_within_s: float = 600.0,
    say: Say = print,
) -> dict[str, Any]:
    """Run one campaign; return its figures and, under `complaints`, what was wrong.

    Args:
        pause_s: between two kills, on average.
        times: settings of the processes that differ from the defaults.
        calm_deaths: workers of other machines that die afterwards, while nothing else is wrong: until the work of one
            is free is promised for that case. In the storm there is often nobody who may judge its silence.
        quiet_within_s: after the last kill everything ends or waits for a person within so long.
    """
    began_at = time.monotonic()
    async with installed(folder, seed=seed, times=times or {}) as there:
        try:
            client = Submitter(installation=there, chance=random.Random(f"{seed}:client"), total=items)
            monkey = Monkey(installation=there, chance=random.Random(f"{seed}:monkey"), kills=kills, pause_s=pause_s)
            for _ in range(workers):
                there.start_worker()
            there.start_api()
            telling = asyncio.create_task(_tell(there, client, monkey, say))
            there.sandbox.faults([*resets(items), *FAULTS])
            await asyncio.gather(monkey.rage(), _submit(client, monkey, share=0.9 if calm_deaths else 1.0))
            struck = fired(there.sandbox.call("GET", "/faults")["rules"])
            there.sandbox.clear_faults()
            say("the monkey is gone")
            calm = await _die_calmly(there, client, calm_deaths, chance=monkey.chance)
            quiet_after_s = await _quiet(there, limit_s=quiet_within_s)
            await _buried(there, limit_s=2 * verdict.RECOVERED_WITHIN_S)
            telling.cancel()
            found = await books.read(there.deps, [there.sandbox])
            return {
                "seed": seed,
                "kills": dict(monkey.done),
                "faults": struck,
                **verdict.figures(found, client),
                "quiet_after_s": quiet_after_s,
                "recovery_s": await verdict.recoveries(there, monkey.deaths),
                "calm_recovery_s": await verdict.recoveries(there, calm),
                "took_s": round(time.monotonic() - began_at, 1),
                "complaints": await verdict.complaints(there, client, found) + unstruck(struck, items=items),
            }
        finally:
            there.end()


def resets(items: int) -> list[dict[str, Any]]:
    """Return the rules that reset launches before and after the provider took them: by number, so that they do strike.

    Every nth is reset, in turn before and after. Single launches and waves are counted apart, for waves are few. Never
    two in a row: launches that are lost one after the other make their lane wait longer than a small campaign lasts.
    A small one has a handful of waves, of which every other is reset; it has that many, or enough single launches.

    A rule for each strike, the last one first: a request that one rule struck is not counted by the rules after it, so
    that two rules of "every nth" would drift until they strike next to each other.
    """
    nths = {"launch": 6, "batch": 2} if items < LONG_ITEMS else {"launch": max(8, items // 80), "batch": 4}
    return [
        {"fault": "reset_after" if turn % 2 else "reset_before", "kind": kind, "nth": nth * (turn + 1)}
        for kind, nth in nths.items()
        for turn in reversed(range(min(items // nth, MOST_RESETS)))
    ]


def fired(rules: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how often each fault struck, by its name and what it strikes."""
    struck: Counter[str] = Counter()
    for rule in rules:
        kinds = [rule["kind"]] if isinstance(rule["kind"], str) else rule["kind"]
        struck[f"{rule['fault']} of {'/'.join(kinds)}"] += rule.get("fired", 0)
    return dict(struck)


def unstruck(struck: Mapping[str, int], *, items: int) -> list[str]:
    """Return a complaint for each reset of a launch that a long campaign has not seen."""
    names = fired(resets(items))
    return [f"never struck: {name}" for name in names if items >= LONG_ITEMS and not struck.get(name)]


async def _submit(client: Submitter, monkey: Monkey, *, share: float) -> None:
    """Ask for a share of the work at the monkey's pace, so that there is some until its last kill."""
    while client.asked_for < round(client.total * share):
        done = (monkey.done.total() + 1) / max(monkey.kills, 1)
        await client.submit_up_to(round(client.total * share * min(done, 1.0)))
        await asyncio.sleep(LOOK_S)


async def _die_calmly(there: Installation, client: Submitter, deaths: int, *, chance: random.Random) -> list[Death]:
    """Let further workers die one after the other, while the rest of the work is asked for and is done."""
    doomed = [there.start_worker(is_elsewhere=True) for _ in range(min(deaths, DOOMED_AT_ONCE))]
    await asyncio.sleep(CALM_S if deaths else 0)
    submitting = asyncio.create_task(client.submit_up_to(client.total))
    died: list[Death] = []
    while doomed:
        await asyncio.sleep(chance.uniform(0.5, 2.5))
        child = doomed.pop(0)
        there.workers.remove(child)
        died.append(death_of(child))
        if len(died) + len(doomed) < deaths:
            doomed.append(there.start_worker(is_elsewhere=True))
    await submitting
    return died


async def _tell(there: Installation, client: Submitter, monkey: Monkey, say: Say) -> None:
    while True:
        await asyncio.sleep(PROGRESS_S)
        say(f"kills {monkey.done.total()}/{monkey.kills}, asked for {client.asked_for}, {await _statuses(there)}")


async def _statuses(there: Installation) -> dict[str, int]:
    async def count(connection: AsyncConnection) -> dict[str, int]:
        return {row.status: row.n for row in await connection.execute(STATUSES)}

    try:
        return await there.deps.db.run(count, tries=1)
    except OrchestratorError as error:
        return {error.code: -1}


async def _quiet(there: Installation, *, limit_s: float) -> float | None:
    """Wait until every run has ended or is in doubt; return how long that took, None when it did not come.

    A batch is settled after its last run, by the sweep where the worker that should have done it was killed.
    """
    began_at = time.monotonic()

    async def unsettled(connection: AsyncConnection) -> bool:
        return bool((await connection.execute(books.UNSETTLED, {"endings": sorted(ENDINGS)})).first())

    async def is_busy() -> bool:
        if {*await _statuses(there)} - {*ENDINGS, "in_doubt"}:
            return True
        return await there.deps.db.run(unsettled)

    while await is_busy():
        if time.monotonic() - began_at > limit_s:
            return None
        await asyncio.sleep(LOOK_S)
    return round(time.monotonic() - began_at, 1)


async def _buried(there: Installation, *, limit_s: float) -> None:
    """Wait until every dead worker's leases were given back, so that all recoveries are known."""
    began_at = time.monotonic()
    alive = [child.pid for child in there.workers]

    async def count(connection: AsyncConnection) -> int:
        left: int = (await connection.execute(UNBURIED, {"alive": alive})).scalar_one()
        return left

    while await there.deps.db.run(count) and time.monotonic() - began_at < limit_s:
        await asyncio.sleep(LOOK_S)
