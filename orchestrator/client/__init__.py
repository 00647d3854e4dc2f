"""The typed HTTP client: for the CLI and for anybody's Python. It imports nothing of the server, and starts fast.

client.py       Client, discover
errors.py       what can go wrong, one class for each thing that a caller can do about it
shapes.py       what the API answers with, as typed dicts
wire.py         one request: the token, the idempotency key, retries, errors
watched.py      one thing looked at again and again
runs.py  batches.py  operations.py  connections.py (and workflows)  audit.py
workspace.py (doubts, inbox, tokens, system)
"""

from __future__ import annotations

from orchestrator.client.audit import AuditChain, AuditEvent, Checkpoint, ReportMade
from orchestrator.client.client import Client, discover
from orchestrator.client.connection_shapes import (
    ApiVersionEnding,
    Connection,
    ConnectionStanding,
    ConnectionTest,
    Health,
    Workflow,
)
from orchestrator.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    Forbidden,
    Interrupted,
    Invalid,
    NotConfigured,
    NotFound,
    RateLimited,
    ServerError,
    ServerUnavailable,
    Unauthorized,
    Unreachable,
    VerificationFailed,
)
from orchestrator.client.operations import Operation, OperationItem
from orchestrator.client.received import Archive
from orchestrator.client.shapes import (
    Alarm,
    Batch,
    CreatedToken,
    Doubt,
    Erasure,
    Event,
    Failure,
    Forecast,
    InboxItem,
    Problem,
    Progress,
    Readiness,
    Resolved,
    Result,
    Run,
    RunError,
    SubmittedBatch,
    SystemState,
    Token,
    Waiting,
)
from orchestrator.client.watched import Watched

__all__ = [
    "Alarm",
    "ApiError",
    "ApiVersionEnding",
    "Archive",
    "AuditChain",
    "AuditEvent",
    "Batch",
    "Checkpoint",
    "Client",
    "ClientError",
    "Conflict",
    "Connection",
    "ConnectionStanding",
    "ConnectionTest",
    "CreatedToken",
    "Doubt",
    "Erasure",
    "Event",
    "Failure",
    "Forbidden",
    "Forecast",
    "Health",
    "InboxItem",
    "Interrupted",
    "Invalid",
    "NotConfigured",
    "NotFound",
    "Operation",
    "OperationItem",
    "Problem",
    "Progress",
    "RateLimited",
    "Readiness",
    "ReportMade",
    "Resolved",
    "Result",
    "Run",
    "RunError",
    "ServerError",
    "ServerUnavailable",
    "SubmittedBatch",
    "SystemState",
    "Token",
    "Unauthorized",
    "Unreachable",
    "VerificationFailed",
    "Waiting",
    "Watched",
    "Workflow",
    "discover",
]
