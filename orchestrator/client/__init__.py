"""The typed HTTP client: for the CLI and for anybody's Python. It imports nothing of the server, and starts fast.

client.py       Client, discover
errors.py       what can go wrong, one class for each thing that a caller can do about it
shapes.py       what the API answers with, as typed dicts
wire.py         one request: the token, the idempotency key, retries, errors
watched.py      one thing looked at again and again
runs.py  batches.py  operations.py  connections.py (and workflows)  workspace.py (doubts, inbox, tokens, system)
"""

from __future__ import annotations

from orchestrator.client.client import Client, discover
from orchestrator.client.connection_shapes import ApiVersionEnding, Connection, ConnectionTest, Workflow
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
    Token,
    Waiting,
)
from orchestrator.client.watched import Watched

__all__ = [
    "ApiError",
    "ApiVersionEnding",
    "Archive",
    "Batch",
    "Client",
    "ClientError",
    "Conflict",
    "Connection",
    "ConnectionTest",
    "CreatedToken",
    "Doubt",
    "Erasure",
    "Event",
    "Failure",
    "Forbidden",
    "Forecast",
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
    "Resolved",
    "Result",
    "Run",
    "RunError",
    "ServerError",
    "ServerUnavailable",
    "SubmittedBatch",
    "Token",
    "Unauthorized",
    "Unreachable",
    "VerificationFailed",
    "Waiting",
    "Watched",
    "Workflow",
    "discover",
]
