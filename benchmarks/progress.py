"""How far a benchmark is, for whoever waits: on stderr, so that stdout is JSON and nothing else."""

from __future__ import annotations

import logging
import sys
import time

import structlog

_BEGAN_S = time.monotonic()


def say(benchmark: str, what: str) -> None:
    """Print what is being done now, and how long the benchmark has been at it."""
    sys.stderr.write(f"{benchmark}: {time.monotonic() - _BEGAN_S:.0f} s: {what}\n")
    sys.stderr.flush()


def log_to_stderr() -> None:
    """Send what the product logs within this process to stderr, and of that only warnings and worse."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
