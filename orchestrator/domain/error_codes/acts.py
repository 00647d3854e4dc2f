"""Codes of acts that the state of a thing does not allow. Nothing was changed."""

from __future__ import annotations

from orchestrator.domain.error_codes.entry import Entry, Kind, Repeat, Subject

RUNS = (
    Entry(
        "conflict",
        Repeat.MEND,
        "The thing is in a state that does not allow what was asked.",
        "Look at its state first.",
    ),
    Entry(
        "run_ended",
        Repeat.MEND,
        "The run has ended already.",
        "`orchestrator run retry ID` queues one that ended badly.",
    ),
    Entry(
        "too_late",
        Repeat.MEND,
        "The provider has the run and cannot cancel it; or: a launch's deadline passed before a byte was sent.",
        "`orchestrator run abandon ID --reason WHY` stops watching it; a launch that was not sent goes back to `queued`"
        " by itself.",
    ),
    Entry("already_cancelled", Repeat.MEND, "The run is cancelled already.", "Nothing is to be done."),
    Entry(
        "not_abandonable",
        Repeat.MEND,
        "The provider does not have this run, so there is nothing to abandon.",
        "`orchestrator run cancel ID` while it is queued.",
    ),
    Entry(
        "not_retryable",
        Repeat.MEND,
        "Only a run that ended badly can be retried.",
        "Submit it anew under another external id, if a second run is wanted.",
    ),
    Entry(
        "observed_run",
        Repeat.MEND,
        "Another program started the run's execution; it is only observed here, and its input is not held.",
        "Start it again where it was started, or submit a run of your own.",
    ),
    Entry(
        "needs_relaunch",
        Repeat.RISKY,
        "The run's execution acted, or may have acted, at the provider.",
        "Look there first; `orchestrator run retry ID --relaunch` where a second execution is acceptable.",
    ),
    Entry(
        "not_refetchable",
        Repeat.MEND,
        "There is nothing to fetch again.",
        "Only a lost result, or an abandoned run, is asked for once more.",
    ),
    Entry(
        "not_watched",
        Repeat.MEND,
        "There is nothing to look at: the provider does not have the run.",
        "`orchestrator run get ID` says where it stands.",
    ),
    Entry(
        "batch_cancelled",
        Repeat.MEND,
        "The batch was cancelled, and launches nothing more.",
        "`orchestrator batch retry-failed ID` queues it again.",
    ),
    Entry(
        "batch_ended",
        Repeat.MEND,
        "The batch has ended.",
        "`orchestrator batch retry-failed ID`, if some of it failed.",
    ),
    Entry(
        "nothing_to_retry",
        Repeat.MEND,
        "Nothing of the batch failed or was cancelled.",
        "Lost results and abandoned runs are retried one by one, with `--relaunch`.",
    ),
)

DOUBTS = (
    Entry(
        "not_in_doubt", Repeat.MEND, "The doubt is settled already.", "`orchestrator doubt list` shows what is left."
    ),
    Entry(
        "changed_meanwhile",
        Repeat.MEND,
        "What was to be decided is not any more as it was shown.",
        "Look at it again: the message says what has changed. Nothing was done.",
    ),
    Entry(
        "reason_missing",
        Repeat.MEND,
        "No reason was given, and it is kept with the decision.",
        "Say why, with `--reason`.",
    ),
    Entry("execution_malformed", Repeat.MEND, "An execution id cannot be one.", "Copy it from the provider's console."),
    Entry(
        "execution_twice",
        Repeat.MEND,
        "One execution was named for two runs.",
        "Each run has its own; leave the doubtful ones out.",
    ),
    Entry(
        "execution_taken",
        Repeat.MEND,
        "An execution belongs to another attempt already.",
        "Look at both in the provider's console; nothing was settled.",
    ),
    Entry(
        "execution_unknown",
        Repeat.MEND,
        "The provider does not know an execution in this workflow.",
        "Look at the id, and at the workflow; nothing was settled.",
    ),
    Entry(
        "index_unknown",
        Repeat.MEND,
        "No run of this index is in doubt in this wave.",
        "`orchestrator doubt list -o json` names the indexes.",
    ),
    Entry(
        "not_verified",
        Repeat.LATER,
        "The provider could not be asked about the executions to be adopted.",
        "Again when it answers.",
    ),
)

OPERATIONS = (
    Entry(
        "filter.empty",
        Repeat.MEND,
        "The filter is empty: it would take every run there is.",
        "Name a status, workflow, connection, batch, label, error code or period.",
    ),
    Entry(
        "filter.too_wide",
        Repeat.MEND,
        "The filter matches more runs than one operation takes.",
        "Narrow it, for instance to a period.",
    ),
    Entry(
        "nothing_eligible", Repeat.MEND, "None of the matching runs can be taken by this verb.", "A dry run says why."
    ),
    Entry(
        "operation_ended",
        Repeat.MEND,
        "The operation has ended.",
        "`orchestrator operation items ID` shows what became of each run.",
    ),
)

ERASING = (
    Entry(
        "erased",
        Repeat.MEND,
        "The content was erased, and is not to be had any more.",
        "Submit the input anew, if it may be used again.",
    ),
    Entry(
        "run_open",
        Repeat.MEND,
        "Only what has ended can be erased; the run has not.",
        "Cancel it, settle its doubt, or wait: the hint names the command.",
    ),
    Entry(
        "batch_open",
        Repeat.MEND,
        "Some runs of the batch have not ended.",
        "`orchestrator batch cancel ID`, then `orchestrator batch wait ID`.",
    ),
    Entry(
        "history_retired",
        Repeat.MEND,
        "What was asked needs history that was retired.",
        "It stands in the export that the message names; `orchestrator audit verify` reads it.",
    ),
    Entry(
        "retention_busy",
        Repeat.OURS,
        "The history was in use at each try, so the month stays for now.",
        "It is tried again; in a quiet hour: `orchestrator admin retention`.",
    ),
    Entry(
        "retention_late",
        Repeat.OURS,
        "Another worker took the month up meanwhile, or its export stood still for long.",
        "It is taken up again by itself. Again and again: is the place of the exports slow (`ORCH_RETIRED_DIR`)?",
    ),
    Entry(
        "retention_moved",
        Repeat.OURS,
        "Something was written to the month meanwhile, so it stays.",
        "It is tried again by itself.",
    ),
    Entry(
        "retention_no_place",
        Repeat.OURS,
        "Retired history cannot be exported; nothing was retired.",
        "Free space, or name another folder: `ORCH_RETIRED_DIR`.",
    ),
    Entry(
        "retention_unproven",
        Repeat.LOOK,
        "The month's export does not prove it; nothing was retired.",
        "`orchestrator audit verify`: the history or the export was changed. Find out by whom.",
    ),
)

OTHERS = (
    Entry(
        "watch_unsupported",
        Repeat.MEND,
        "The connection's provider has no list of its executions, so what others start there cannot be seen.",
        "Nothing is to be done; what is submitted here is watched in any case.",
    ),
    Entry(
        "connection_in_use",
        Repeat.MEND,
        "Runs on this connection have not ended.",
        "`orchestrator run list --connection NAME`; wait, or cancel what is left.",
    ),
    Entry(
        "schedule_paused",
        Repeat.MEND,
        "The schedule is paused already.",
        "`orchestrator schedule resume NAME` when it is to go on.",
    ),
    Entry("schedule_active", Repeat.MEND, "The schedule is not paused.", "Nothing is to be done."),
    Entry(
        "same_content",
        Repeat.MEND,
        "The file is the same, byte for byte, as another tick submitted.",
        "Put the new file there; or let the schedule allow it.",
    ),
    Entry(
        "tick_fired",
        Repeat.MEND,
        "The tick fired: what it submitted is named.",
        "Retry what failed of it, instead of the tick.",
    ),
    Entry("tick_open", Repeat.MEND, "The tick is not decided yet.", "`orchestrator schedule fires NAME`, and wait."),
    Entry(
        "webhook_disabled",
        Repeat.MEND,
        "The webhook is disabled: it is told nothing.",
        "`orchestrator webhook set NAME --enable`.",
    ),
    Entry(
        "not_held",
        Repeat.MEND,
        "Launches are not held.",
        "Nothing is to be released; `orchestrator admin held` shows what holds them.",
    ),
    Entry("period.empty", Repeat.MEND, "The period ends before it begins.", "`--from` is the earlier time."),
)

SUBJECTS = (
    Subject(title="Acts on runs and batches", kind=Kind.ERROR, entries=RUNS),
    Subject(title="Doubts", kind=Kind.ERROR, entries=DOUBTS),
    Subject(title="Bulk operations", kind=Kind.ERROR, entries=OPERATIONS),
    Subject(title="Erasing and retention", kind=Kind.ERROR, entries=ERASING),
    Subject(title="Acts on other things", kind=Kind.ERROR, entries=OTHERS),
)
