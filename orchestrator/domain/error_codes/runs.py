"""Codes that a run itself shows: its error, why it waits, and why all launches are held."""

from __future__ import annotations

from orchestrator.domain.error_codes.entry import Entry, Kind, Repeat, Subject

ENDED = (
    Entry(
        "launch_refused",
        Repeat.MEND,
        "The provider refused the launch, in its own words.",
        "Mend the input or the workflow, then submit anew; `orchestrator run retry ID` sends the same input.",
    ),
    Entry(
        "launch_unknown",
        Repeat.RISKY,
        "It is not known whether the launch arrived, and the workflow's owner chose to fail then.",
        "Look in the provider's console before `orchestrator run retry ID`.",
    ),
    Entry(
        "unlaunchable",
        Repeat.LATER,
        "The launch could not be prepared, and nothing was sent.",
        "The worker's log says why; then `orchestrator run retry ID`.",
    ),
    Entry(
        "provider_error",
        Repeat.RISKY,
        "The execution failed at the provider.",
        "Read the provider's message. `orchestrator run retry ID` makes a second execution: what the first did stays.",
    ),
    Entry(
        "provider_lost",
        Repeat.RISKY,
        "The provider has not known the execution for 10 minutes.",
        "Look in its console; `orchestrator run retry ID`, with `--relaunch` if its status is `result_lost`.",
    ),
    Entry(
        "result_lost",
        Repeat.RISKY,
        "The execution finished, and its result could not be had whole.",
        "`orchestrator run refetch ID` asks once more; `orchestrator run retry ID --relaunch` runs it again.",
    ),
    Entry(
        "abandoned",
        Repeat.RISKY,
        "A person gave the run up; its execution may still act.",
        "`orchestrator run refetch ID` watches it again; `orchestrator run retry ID --relaunch` runs it again.",
    ),
)

WAITING = (
    Entry(
        "held",
        Repeat.OURS,
        "All launches are held: the database may have been restored.",
        "`orchestrator admin held` says why; `orchestrator admin release --reason WHY` after a look.",
    ),
    Entry(
        "pause",
        Repeat.OURS,
        "The batch or the connection is paused.",
        "`orchestrator batch resume ID`, `orchestrator connection resume NAME`.",
    ),
    Entry(
        "stopped",
        Repeat.OURS,
        "The provider refuses the key; launches stopped.",
        "`orchestrator connection rotate NAME --api-key-stdin`, then `orchestrator connection test NAME`.",
    ),
    Entry(
        "provider",
        Repeat.OURS,
        "The provider has it, or is in trouble and is being probed.",
        "Wait; `orchestrator connection test NAME` tries at once.",
    ),
    Entry(
        "slots",
        Repeat.OURS,
        "The workflow's slots are used, or its launches rest for a while.",
        "Wait; look for executions that never end: `orchestrator inbox list`.",
    ),
    Entry("rate", Repeat.OURS, "The request budget is used up, or the provider asked for a pause.", "Wait."),
    Entry("wave", Repeat.OURS, "It goes with one of the next waves of its batch.", "Wait."),
    Entry(
        "lease",
        Repeat.OURS,
        "A worker has it, or takes it next.",
        "If it stays: is a worker alive? `orchestrator doctor`.",
    ),
    Entry(
        "results",
        Repeat.OURS,
        "Its files are to be fetched; the message says what hinders.",
        "If it stays: the files' host is away.",
    ),
    Entry("store", Repeat.OURS, "The store of results is full, read-only or away.", "Make room, or mount it."),
    Entry(
        "doubt",
        Repeat.RISKY,
        "It is not known whether its launch arrived.",
        "`orchestrator doubt resolve ID --help`, after a look in the provider's console.",
    ),
    Entry("human", Repeat.OURS, "The workflow asks a person.", "`orchestrator inbox show ID`; answer at the provider."),
)

HELD = (
    Entry(
        "older",
        Repeat.OURS,
        "The database stands behind its mark outside: it was restored, or a failover lost its tail.",
        "`orchestrator admin release --reason WHY --dry-run` shows what was launched since.",
    ),
    Entry(
        "foreign",
        Repeat.OURS,
        "The mark outside belongs to another database.",
        "Is `ORCH_DATABASE_URL` right, and the data folder? Else release.",
    ),
    Entry(
        "lost_launches",
        Repeat.OURS,
        "The journal outside knows launches that the database does not.",
        "A release adopts them, or makes doubts of them.",
    ),
    Entry(
        "swapped",
        Repeat.OURS,
        "The database was restored or exchanged under its running workers.",
        "Stop the workers for a restore; then release.",
    ),
    Entry(
        "copied",
        Repeat.OURS,
        "The folder outside is a copy, so what was launched since is written down nowhere here.",
        "Compare with the provider's console, then release.",
    ),
    Entry(
        "damaged",
        Repeat.OURS,
        "The mark outside cannot be read.",
        "Put it back from a backup; if nothing was restored, remove it.",
    ),
)

SUBJECTS = (
    Subject(title="A run's error", kind=Kind.RUN, entries=ENDED),
    Subject(title="Why a run waits", kind=Kind.WAITING, entries=WAITING),
    Subject(title="Why launches are held", kind=Kind.HELD, entries=HELD),
)
