"""The verbs: submit, launch, poll, download, settle, sweep, and what people do. Each is claim → call → record."""
