"""When schedules fire: golden clock changes, an oracle that shares no code, refusals, properties."""
