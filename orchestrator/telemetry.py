"""Logs: structlog for all, JSON or console, with secrets cut out before a line is written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

#: A URL's query may be a signature; a key may stand in any text that an error quotes.
#: They begin at `://`, so that a long text without one costs nothing.
_URL_QUERY = re.compile(r"(://[^\s?'\"]+)\?[^\s'\"]*")
#: Up to the last `@`: a password may hold a raw `@` or `/`, though no page allows it.
_URL_PASSWORD = re.compile(r"(://[^\s:/@'\"]*):[^\s'\"]+@")
#: A text may end in one, cut off before its `@`; what can be a port, as in `://host:8700`, is none.
_CUT_PASSWORD = re.compile(r"(://[^\s:/@'\"\[\]]*):(?!\d{0,5}(?:[^\w]|\Z))[^\s'\"@]+\Z")
_TOKEN = re.compile(r"\b(orch_(?:live|test)_|sk[-_]|scripe_sk_(?:live|test)_|whsec_)[A-Za-z0-9_\-+/=]{4,}")
_HEADER = re.compile(r"\b(x-api-key['\"]?\s*[:=]\s*['\"]?|bearer\s+)[^\s'\",;]+", re.IGNORECASE)
_SECRET_NAMES = re.compile(r"(api[-_]?key|secret[-_]?key|token|secret|password|authorization)$", re.IGNORECASE)
#: How deep a logged value is searched for secrets; what lies deeper is cut out whole.
_DEEPEST = 6
_CUT = "[cut]"

#: They print full URLs at INFO, presigned ones among them; or a line for each doorbell.
_SILENCED = ("httpx", "httpcore", "urllib3", "pgmq", "celery.app.trace", "celery.worker.strategy", "alembic")

#: They tell of each try to connect while a database is away; that it is away is told once, by the watch.
_HUSHED = ("psycopg.pool",)


def redact(text: str) -> str:
    """Return the text without URL queries, URL passwords, keys and tokens, whole or cut off at the text's end.

    Whoever shortens a text does it afterwards: what a cut leaves of a secret need not look like one.
    """
    text = _URL_QUERY.sub(rf"\1?{_CUT}", text)
    text = _URL_PASSWORD.sub(rf"\1:{_CUT}@", text)
    text = _CUT_PASSWORD.sub(rf"\1:{_CUT}", text)
    text = _HEADER.sub(rf"\1{_CUT}", text)
    return _TOKEN.sub(rf"\1{_CUT}", text)


def _redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if not name.startswith("_"):
            event[name] = _redacted(name, value, depth=0)
    return event


def _redacted(name: str, value: object, *, depth: int) -> object:
    """Return a logged value without secrets, in whatever it holds."""
    if value is None or isinstance(value, bool | int | float):
        return value if value is None or not _SECRET_NAMES.search(name) else _CUT
    if _SECRET_NAMES.search(name) or depth > _DEEPEST:
        return _CUT
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, BaseException):
        return redact(f"{type(value).__name__}: {value}")
    if isinstance(value, Mapping):
        return {key: _redacted(str(key), inner, depth=depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", inner, depth=depth + 1) for inner in value]
    return value


def configure(*, log_format: str, level: str, program: str) -> None:
    """Send every log line of this process, the libraries' too, to stderr in one form.

    Args:
        program: bound to every line: `api`, `worker`, `up`.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    last: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _HUSHED:
        logging.getLogger(name).setLevel(logging.ERROR)
    structlog.contextvars.bind_contextvars(program=program)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a room."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger
