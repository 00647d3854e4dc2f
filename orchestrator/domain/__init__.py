"""The pure core: statuses, decisions, planner, governor arithmetic, hash chain. No I/O, clock, randomness, logging."""
