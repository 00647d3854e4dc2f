"""What is asked of a submission, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One run to submit. `workflow_id` is the provider's, `input` is the text of a JSON object.

    Args:
        id: the one to store it under, once however often it is submitted; None: a new one.
    """

    connection: str
    workflow_id: str
    input: bytes
    external_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpec:
    """How a file becomes a batch.

    Args:
        format: `csv`, `jsonl` or `json`.
        concurrency: the provider's level: `low`, `medium` or `high`.
        external_id_column: the column that names each row, unique within the file.
        wave_size: items of a wave; 1 launches one by one; None lets the planner choose.
        mapping: of a CSV: a column -> the field that it fills; an empty one leaves the column out.
        max_failures: `5` or `10%`: pause when more runs failed.
        skip_invalid: store the good rows and give the bad ones back.
        dry_run: check and plan, store nothing.
        id: as of a run.
    """

    connection: str
    workflow_id: str
    format: str
    concurrency: str = "medium"
    name: str | None = None
    external_id: str | None = None
    external_id_column: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    wave_size: int | None = None
    max_failures: str | None = None
    skip_invalid: bool = False
    dry_run: bool = False
    id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A stored run. `created` is False when the same external id and input came before."""

    id: UUID
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedBatch:
    """A stored batch, or (id None) what a dry run found, with `preview`: what the file looks like."""

    id: UUID | None
    created: bool
    total: int
    refused: int
    refused_file: bytes | None
    warnings: tuple[str, ...]
    plan: dict[str, Any]
    preview: dict[str, Any] | None = None
