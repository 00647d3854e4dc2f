"""`python -m tests.audit.in_database`: tamper with the history in the database itself, as its superuser.

The same ways to tamper as with exports (`mutations.py`), for all that a table can hold: what they made is written into
the tables, exported by the product, and shown to both verifiers.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from orchestrator import bootstrap
from orchestrator.artifacts.anchors import FolderAnchors
from orchestrator.domain import audit_export
from orchestrator.domain.audit_export import CHECKPOINTS, EVENTS, KEYS
from orchestrator.domain.checkpoints import StreamHead, pack_heads
from orchestrator.domain.verification import EVERYTHING
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine import audit, checkpoints, operate, tokens
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import SCOPES, Who
from orchestrator.settings import Settings
from orchestrator.storage.migrate import migrate
from sandbox.control import Sandbox
from tests.audit.judges import both
from tests.audit.mutations import MUTATIONS, Mutation, Tampered, tamper
from tests.audit.worlds import World, anchors_text, public
from tests.engine.conftest import Office

#: What signs the history that is tampered with: known, because some tamperers have stolen it.
SEED = bytes(range(32))


@dataclass
class Basket:
    """An export, kept in memory."""

    files: dict[str, bytes] = field(default_factory=dict)

    def write(self, name: str, text: bytes) -> None:
        """Append to a file."""
        self.files[name] = self.files.get(name, b"") + text


class NotForTables(Exception):
    """What was done to the files cannot be done to tables: a line out of order, half a number, a key twice."""


async def live(office: Office, *, rounds: int = 5) -> None:
    """Let things happen in a workspace, and have them signed now and then."""
    for number in range(rounds):
        batch = await office.submit([{"topic": f"{number} {n}"} for n in range(2)])
        await checkpoints.keep(office.deps, at_once=True)
        assert batch.id is not None
        await operate.pause_batch(office.deps, office.who, batch.id, reason='Grüße, "quoted"')
        if number % 2:
            await operate.cancel_batch(office.deps, office.who, batch.id, reason="no longer needed")
        await checkpoints.keep(office.deps, at_once=True)


async def exported(deps: Deps, who: Who) -> dict[str, bytes]:
    """Return the files of an export of the whole history, made by the product."""
    basket = Basket()
    async with deps.db.transaction() as connection:
        await audit.write_export(connection, who, basket, period=EVERYTHING)
    return basket.files


async def world_of(deps: Deps, who: Who) -> World:
    """Return the history as the mutations know it."""
    files = await exported(deps, who)
    world = World(workspace=who.workspace_id, key=Ed25519PrivateKey.from_private_bytes(SEED))
    for line in io.BytesIO(files[EVENTS]):
        event = audit_export.read_event(line)
        world.streams.setdefault(event.stream, []).append(event)
    world.checkpoints = [audit_export.read_checkpoint(line) for line in io.BytesIO(files[CHECKPOINTS])]
    assert isinstance(deps.anchors, FolderAnchors)
    world.anchors = [audit_export.read_anchor(line) for line in deps.anchors.lines(who.workspace_id)]
    return world


class Tables:
    """The tables of a history, in the hands of a superuser."""

    def __init__(self, superuser: str, workspace: object) -> None:
        self._connection = psycopg.connect(superuser, autocommit=True)
        self._workspace = workspace
        for table in ("checkpoints", "events", *self._partitions()):
            self._connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())

    def _partitions(self) -> list[str]:
        found = self._connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass"
        )
        return [str(row[0]) for row in found]

    def hold(self, files: dict[str, bytes]) -> None:
        """Let the tables hold what some files say.

        Raises:
            NotForTables: they cannot.
        """
        try:
            rows = [_event_row(line) for line in _lines(files[EVENTS])]
            signed = [self._checkpoint_row(line) for line in _lines(files[CHECKPOINTS])]
            keys = [(name, base64.b64decode(key, validate=True)) for name, key in json.loads(files[KEYS]).items()]
            with self._connection.transaction(), self._connection.cursor() as cursor:
                for table in ("events", "checkpoints", "signing_keys"):
                    cursor.execute(f"DELETE FROM {table}".encode())
                cursor.executemany("INSERT INTO events VALUES (%s, %s, %s, %s, %s, %s, %s)", rows)
                cursor.executemany("INSERT INTO checkpoints VALUES (%s, %s, %s, %s, %s, %s, %s)", signed)
                cursor.executemany("INSERT INTO signing_keys VALUES (%s, %s)", keys)
        except (ValueError, KeyError, TypeError, AttributeError, psycopg.Error) as error:
            raise NotForTables(str(error)) from error

    def _checkpoint_row(self, line: bytes) -> tuple[Any, ...]:
        signed = audit_export.read_checkpoint(line)
        if list(signed.heads) != sorted(signed.heads, key=lambda head: head.stream.int):
            raise ValueError("heads are kept in their order")
        body = json.loads(signed.body)
        heads = pack_heads(StreamHead(stream=h.stream, seq=h.seq, hash=h.hash) for h in signed.heads)
        at = str(body["at"])
        return (self._workspace, int(body["number"]), signed.body, signed.signature, heads, at, at)

    def close(self) -> None:
        """Let go."""
        self._connection.close()


async def tampered_in(
    deps: Deps, who: Who, tables: Tables, world: World, kind: Mutation, random: Random
) -> tuple[Tampered, dict[str, bytes]]:
    """Tamper with the tables until something of theirs has changed; return how, and the export that they give."""
    true = world.files()
    for _ in range(1000):
        tampered = tamper(world, kind, random)
        if tampered is None:
            continue
        try:
            tables.hold(tampered.files)
        except NotForTables:
            continue
        files = await exported(deps, who)
        if any(files[name] != true[name] for name in (EVENTS, CHECKPOINTS, KEYS)):
            return tampered, files
    raise AssertionError(f"{kind.__name__} finds nothing to do")


async def campaign(
    deps: Deps, who: Who, superuser: str, *, count: int, seed: int, folder: Path
) -> tuple[Counter[str], list[str]]:
    """Tamper so many times; return how often in which way, and what was missed."""
    world = await world_of(deps, who)
    tables = Tables(superuser, who.workspace_id)
    tried, missed = Counter[str](), list[str]()
    try:
        for number in range(count):
            kind = MUTATIONS[number % len(MUTATIONS)]
            tampered, files = await tampered_in(deps, who, tables, world, kind, Random(f"{seed} {number}"))
            answers = both(
                files,
                folder / "export",
                key=public(world.key) if tampered.needs_key else None,
                anchors=anchors_text(world) if tampered.needs_anchors else None,
            )
            tried[kind.__name__] += 1
            if answers.ours.ok or not answers.ours.problem:
                missed.append(f"{number} {kind.__name__}: {tampered.says}: ours")
            if answers.alone_exit != 8 or "first bad place:" not in answers.alone_text:
                missed.append(f"{number} {kind.__name__}: {tampered.says}: alone")
        tables.hold(world.files())
    finally:
        tables.close()
    return tried, missed


def _lines(text: bytes) -> Sequence[bytes]:
    return list(io.BytesIO(text))


def _event_row(line: bytes) -> tuple[Any, ...]:
    event = audit_export.read_event(line)
    return (event.stream, event.seq, event.at, event.type, event.actor, event.data, event.hash)


async def _main(count: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    with _Servers(folder) as (postgres, sandbox):
        settings = Settings(
            database_url=SecretStr(postgres.dsn()),
            data_dir=folder / "data",
            signing_key=SecretStr(base64.b64encode(SEED).decode()),
            allow_private_networks=True,
        )
        async with bootstrap.build(settings, program="tampering") as deps:
            workspace = await tokens.ensure_workspace(deps)
            who = Who(workspace_id=workspace, actor="token:test", scopes=frozenset(SCOPES))
            office = Office(deps=deps, who=who, sandbox=sandbox)
            await office.connect()
            await live(office)
            return await campaign(
                deps, who, postgres.superuser_libpq("orchestrator"), count=count, seed=seed, folder=folder
            )


class _Servers:
    """A Postgres and a provider, for as long as the block runs."""

    def __init__(self, folder: Path) -> None:
        self._postgres = EmbeddedPostgres(folder / "server", durable=False)
        self._sandbox = Sandbox(options={"requests_per_minute": 6000})

    def __enter__(self) -> tuple[EmbeddedPostgres, Sandbox]:
        self._postgres.start()
        migrate(self._postgres.dsn())
        return self._postgres, self._sandbox.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._sandbox.__exit__(*raised)
        self._postgres.stop(mode="immediate")


def main(argv: list[str] | None = None) -> int:
    """Run; return 0 when nothing was missed, 8 else."""
    parser = argparse.ArgumentParser(prog="python -m tests.audit.in_database", description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(argv)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # what tables refuse is tried in another way
    with tempfile.TemporaryDirectory() as folder:
        tried, missed = asyncio.run(_main(given.count, given.seed, Path(folder)))
    for line in missed[:20]:
        sys.stdout.write(line + "\n")
    sys.stdout.write(json.dumps({"seed": given.seed, "tried": dict(tried), "missed": len(missed)}) + "\n")
    return 8 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
