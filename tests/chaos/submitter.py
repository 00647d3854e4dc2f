"""The client of the campaign: submits runs and batches, asks again until it is answered, and keeps a journal."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.installation import ACCOUNTS, Installation

#: A batch of the campaign has at most so many items.
LARGEST_BATCH = 40
TIMEOUT_S = 10.0
PAUSE_S = 0.3


@dataclass(kw_only=True)
class Submission:
    """One thing that was asked for, under one key: sent as often as it takes, to have one effect."""

    key: str
    path: str
    body: dict[str, Any]
    items: list[str]
    tries: int = 0
    id: str | None = None


@dataclass(kw_only=True)
class Submitter:
    """Asks for work, a little at a time."""

    installation: Installation
    chance: random.Random
    total: int
    journal: list[Submission] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def asked_for(self) -> int:
        """How many items have been asked for."""
        return sum(len(one.items) for one in self.journal)

    @property
    def acknowledged(self) -> list[Submission]:
        """What the API said yes to."""
        return [one for one in self.journal if one.id is not None]

    async def submit_up_to(self, items: int) -> None:
        """Ask for more, until so many items were asked for and acknowledged."""
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S) as http:
            while self.asked_for < min(items, self.total):
                await self._ask(http, self._next())

    def _next(self) -> Submission:
        """Make the next one: a single run, a batch that goes out in waves, or one that is launched one by one."""
        number, left = len(self.journal), self.total - self.asked_for
        kind = self.chance.choice(("run", "run", "run", "waves", "singles"))
        count = 1 if kind == "run" else min(left, self.chance.randint(2, LARGEST_BATCH))
        items = [f"{number}.{n}" for n in range(count)]
        inputs = [{"item": item, "sandbox": self._hints()} for item in items]
        body = {"connection": self.chance.choice(ACCOUNTS), "workflow_id": self.installation.workflow_id}
        if kind == "run":
            made = Submission(key=f"k{number}", path="/runs", body={**body, "input": inputs[0]}, items=items)
        else:
            more = {"items": inputs} | ({"wave_size": 1} if kind == "singles" else {})
            made = Submission(key=f"k{number}", path="/batches", body={**body, **more}, items=items)
        self.journal.append(made)
        return made

    def _hints(self) -> str:
        return f"files={self.chance.choice((1, 1, 2))}; size_bytes={self.chance.choice((200, 3_000, 150_000))}"

    async def _ask(self, http: httpx.AsyncClient, what: Submission) -> None:
        headers = {
            "Authorization": f"Bearer {self.installation.token}",
            "Idempotency-Key": what.key,
            "Content-Type": "application/json",
        }
        while what.id is None:
            what.tries += 1
            try:
                answer = await http.post(
                    self.installation.url + what.path, content=json.dumps(what.body), headers=headers
                )
            except httpx.TransportError:
                await asyncio.sleep(PAUSE_S)
                continue
            if answer.status_code in (200, 201):
                what.id = answer.json()["id"]
            elif answer.status_code in (409, 429, 503) and "retry-after" in answer.headers:
                await asyncio.sleep(PAUSE_S)
            else:
                self.refusals.append(f"{what.path} {what.key}, try {what.tries}: {answer.status_code} {answer.text}")
                return
