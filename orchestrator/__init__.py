"""A durable job orchestrator with persistent execution tracking. Start at `docs/architecture.md`."""

__version__ = "0.1.0"
