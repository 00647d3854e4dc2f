"""Codes of what is away or full: the database, the store of results, our own limits. Work that was accepted waits."""

from __future__ import annotations

from orchestrator.domain.error_codes.entry import Entry, Kind, Repeat, Subject

DATABASE = (
    Entry(
        "database_unavailable",
        Repeat.LATER,
        "The database is away.",
        "Start Postgres, or look at the network to it; work goes on by itself.",
    ),
    Entry("database_starting", Repeat.LATER, "The database is starting or recovering.", "Wait."),
    Entry(
        "database_busy",
        Repeat.LATER,
        "All database connections are busy, or others keep what is needed locked.",
        "Again after `Retry-After`; if it stays, look for long transactions.",
    ),
    Entry(
        "database_connections",
        Repeat.LATER,
        "The database takes no more connections.",
        "Raise Postgres' `max_connections`, or run fewer workers.",
    ),
    Entry(
        "database_slow",
        Repeat.LATER,
        "The database took too long for a statement, or was told to cancel it.",
        "Look for what loads Postgres.",
    ),
    Entry(
        "database_full",
        Repeat.LATER,
        "The database's disk is full: nothing is stored, and nothing is launched.",
        "Free space on the disk of Postgres; work goes on by itself.",
    ),
    Entry(
        "database_io",
        Repeat.LATER,
        "The database cannot read or write its files.",
        "Postgres' log says which; check its disk.",
    ),
    Entry(
        "database_out_of_memory",
        Repeat.LATER,
        "The database is out of memory.",
        "Give Postgres more, or lower its `max_connections`.",
    ),
    Entry(
        "database_read_only",
        Repeat.LATER,
        "The database takes no writes: it is a standby, or was made read-only.",
        "`ORCH_DATABASE_URL` must lead to the primary.",
    ),
    Entry(
        "database_refuses_us",
        Repeat.LATER,
        "The database does not let us in.",
        "Check user, password and database name in `ORCH_DATABASE_URL`.",
    ),
    Entry("not_migrated", Repeat.MEND, "The database lacks our tables.", "`orchestrator migrate`."),
)

STORES = (
    Entry(
        "store_full",
        Repeat.OURS,
        "The store of results takes nothing: no space, over a quota, or read-only.",
        "Make room; downloads go on by themselves. URLs of results die within the hour.",
    ),
    Entry(
        "artifact_missing",
        Repeat.LOOK,
        "The store of results does not have this file whole.",
        "Is the right folder mounted? Else put the file back from a backup: its SHA-256 is in the run.",
    ),
    Entry(
        "artifact.missing",
        Repeat.LOOK,
        "A stored file is not where it was put.",
        "Is the right folder mounted? Else put it back from a backup.",
    ),
    Entry(
        "artifact_damaged",
        Repeat.LOOK,
        "The store of results has other bytes than were put there, or broke off within a file.",
        "Put the file back from a backup: its SHA-256 is in the run.",
    ),
    Entry(
        "spool_full",
        Repeat.LATER,
        "There is no room on disk to read the submission into.",
        "Free space for temporary files on the API's machine.",
    ),
    Entry(
        "highwater_unavailable",
        Repeat.OURS,
        "The mark and the journal of launches, outside the database, cannot be written: nothing is launched.",
        "Make the folder that the message names writable.",
    ),
    Entry(
        "highwater_damaged",
        Repeat.OURS,
        "The mark outside is damaged, so it cannot be told whether the database was restored.",
        "Put the file back from a backup; if nothing was restored, remove it.",
    ),
    Entry(
        "anchors_away",
        Repeat.OURS,
        "Signed checkpoints cannot be kept at their place outside.",
        "Look at `ORCH_ANCHORS`: a writable folder, or the bucket's key, region and endpoint.",
    ),
    Entry(
        "anchors_differ",
        Repeat.LOOK,
        "The place outside holds another checkpoint under this name.",
        "Two installations share it, or the history was changed: `orchestrator audit verify`.",
    ),
)

LIMITS = (
    Entry(
        "unavailable",
        Repeat.LATER,
        "Something that is needed is away.",
        "Again after `Retry-After`; `orchestrator doctor` says what is away.",
    ),
    Entry(
        "busy",
        Repeat.LATER,
        "Too many requests, or large submissions, are under way at once.",
        "Again after `Retry-After`. If it stays: who asks so much, or keeps downloads open?",
    ),
    Entry(
        "cancel_unanswered",
        Repeat.LATER,
        "Whether the provider cancelled the run is not known: it did not answer.",
        "Cancel it again, which is harmless; it is still watched.",
    ),
    Entry(
        "budget_used",
        Repeat.LATER,
        "The request budget of the provider's key is used up just now.",
        "Again after `Retry-After`; work in hand goes before questions of people.",
    ),
    Entry(
        "too_many_waiting",
        Repeat.LATER,
        "Too many readers of this process wait for news.",
        "Ask without `wait`, or run another API process.",
    ),
    Entry("reports_busy", Repeat.LATER, "As many reports are being made as may be.", "Again in a minute."),
    Entry("report_too_slow", Repeat.MEND, "The report was not made in time.", "Ask for a shorter period."),
    Entry(
        "list_interrupted",
        Repeat.LATER,
        "The provider does not answer in the middle of its list of workflows.",
        "Ask again with the same cursor, after `Retry-After`.",
    ),
    Entry(
        "no_sender", Repeat.MEND, "This process sends no webhooks.", "Workers do: is one alive? `orchestrator doctor`."
    ),
)

SUBJECTS = (
    Subject(title="The database", kind=Kind.ERROR, entries=DATABASE),
    Subject(title="Disks and stores", kind=Kind.ERROR, entries=STORES),
    Subject(title="Limits of our own", kind=Kind.ERROR, entries=LIMITS),
)
