"""Every stable code with its cure: printed by `orchestrator explain`, and into `docs/api.md`."""
