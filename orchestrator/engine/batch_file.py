"""The file of a batch: read into rows, or, for a dry run, looked at: what it looks like is told whatever is wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.domain.answers import Capabilities
from orchestrator.domain.intake import batch as intake_batch
from orchestrator.domain.intake.preview import preview
from orchestrator.domain.intake.rows import FileFormat, Intake
from orchestrator.domain.intake.schema import compile_schema
from orchestrator.engine import submission_rules as rules
from orchestrator.engine.launch_orders import ENVELOPE_BYTES
from orchestrator.engine.spool import Spool
from orchestrator.engine.submission_specs import BatchSpec
from orchestrator.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFile:
    """A file, and what its rows must meet. What is read out of it waits in `kept`."""

    data: bytes | Spool
    kept: Spool
    schema: Mapping[str, Any] | None
    capabilities: Capabilities

    async def read(self, spec: BatchSpec) -> Intake:
        """Check the request and read the file, or refuse both as a whole."""
        intake = await self._read(spec)
        rules.refuse(intake, skip_invalid=spec.skip_invalid)
        return intake

    async def looked_at(self, spec: BatchSpec) -> tuple[Intake, dict[str, Any]]:
        """Do the same, and return what the file looks like. A refusal has it among its facts, as `preview`."""
        try:
            found: Intake | BadInput = await self._read(spec)
        except BadInput as error:
            found = error
        seen = await asyncio.to_thread(self._preview, spec, found)
        try:
            if isinstance(found, BadInput):
                raise found
            rules.refuse(found, skip_invalid=spec.skip_invalid)
        except BadInput as error:
            error.facts["preview"] = seen
            raise
        return found, seen

    async def _read(self, spec: BatchSpec) -> Intake:
        rules.check_level(spec.concurrency, self.capabilities.wave_widths)
        rules.check_wave_size(spec.wave_size, self.capabilities.wave_max_items)
        rules.check_name(spec.name)
        rules.check_external_id(spec.external_id)
        rules.max_failures(spec.max_failures)
        # Half a second of pure work for 10,000 rows: the event loop has better to do meanwhile.
        return await asyncio.to_thread(
            intake_batch.read_batch,
            self.data,
            format=_format(spec.format),
            schema=self.schema,
            external_id_column=spec.external_id_column,
            mapping=spec.mapping,
            max_row_bytes=self.capabilities.max_body_bytes - ENVELOPE_BYTES,
            keep=self.kept.keep,
        )

    def _preview(self, spec: BatchSpec, read: Intake | BadInput) -> dict[str, Any]:
        seen = preview(
            intake_batch.content_of(self.data),
            read,
            format=_format(spec.format),
            schema=compile_schema(self.schema),
            external_id_column=spec.external_id_column,
            mapping=spec.mapping,
        )
        return asdict(seen)


def content_sha256(intake: Intake, mapping: Mapping[str, str]) -> bytes:
    """Return the digest by which a file is known again: with another mapping it has other content."""
    if not mapping:
        return bytes.fromhex(intake.sha256)
    spelled = json.dumps(dict(mapping), sort_keys=True)
    return hashlib.sha256(f"{intake.sha256}\n{spelled}".encode()).digest()


def _format(name: str) -> FileFormat:
    try:
        return FileFormat(name)
    except ValueError:
        raise BadInput(f"a file is csv, jsonl or json, not {name!r}", code="field.value") from None
