"""The alarms by name: a stable code for programs, what is wrong, and what a person can do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Code(StrEnum):
    """Stable names, for programs and for `docs/operations.md`."""

    PROVIDER_UNREACHABLE = "provider_unreachable"
    LAUNCHES_LOST = "launches_lost"
    LAUNCHES_HELD = "launches_held"
    LAUNCHES_STOPPED = "launches_stopped"
    VERSION_UNSUPPORTED = "version_unsupported"
    VERSION_ENDING = "version_ending"
    LANE_THROTTLED = "lane_throttled"
    LIMIT_LOWERED = "limit_lowered"
    IN_DOUBT = "in_doubt"
    RESULT_AT_RISK = "result_at_risk"
    RESULT_LOST = "result_lost"
    TICK_MISSED = "tick_missed"
    STORE_FULL = "store_full"
    STORE_AWAY = "store_away"
    BROKER_AWAY = "broker_away"
    DATABASE_AWAY = "database_away"
    NO_WORKERS = "no_workers"
    WORKER_DEAD = "worker_dead"
    WORKER_SILENT = "worker_silent"
    WORK_STALLED = "work_stalled"
    NOT_SWEPT = "not_swept"
    HISTORY_UNSIGNED = "history_unsigned"
    RETENTION_UNPROVEN = "retention_unproven"
    CLOCK_OFF = "clock_off"
    DISK_LOW = "disk_low"
    DISK_SILENT = "disk_silent"
    INBOX_OLD = "inbox_old"
    SLOTS_TAKEN = "slots_taken"


#: code -> (what is wrong, what a person can do).
WORDS: Mapping[Code, tuple[str, str]] = {
    Code.PROVIDER_UNREACHABLE: (
        "the provider is in trouble: nothing is launched there until a probe succeeds",
        "it goes on by itself; `orchestrator connection test NAME` tries at once",
    ),
    Code.LAUNCHES_LOST: (
        "the provider answers reads, but launches are lost: one is tried at a time, after ever longer pauses",
        "ask the provider, settle the doubts; when it is mended, `orchestrator connection test NAME` tries at once",
    ),
    Code.LAUNCHES_HELD: (
        "nothing is launched anywhere: the database and its mark outside do not agree",
        "compare with the providers' consoles, then `orchestrator admin release --reason R`",
    ),
    Code.LAUNCHES_STOPPED: (
        "launches are stopped: the provider refuses the connection's key",
        "`orchestrator connection rotate NAME --api-key-stdin`, then `orchestrator connection test NAME`",
    ),
    Code.VERSION_UNSUPPORTED: (
        "launches are stopped: the provider does not take the API version that the connection asks for",
        "`orchestrator connection set NAME --api-version YYYY-MM-DD`, or upgrade this program; then"
        " `orchestrator connection test NAME`",
    ),
    Code.VERSION_ENDING: (
        "the provider will end the API version that a connection asks for",
        "read what the next one changes, then `orchestrator connection set NAME --api-version YYYY-MM-DD`",
    ),
    Code.LIMIT_LOWERED: (
        "the provider's own limit is lower than the declared one: its own is kept",
        "`orchestrator connection set NAME --requests-per-minute N`, so that plans and forecasts know it",
    ),
    Code.LANE_THROTTLED: (
        "the provider has been asking for a pause for long",
        "is the key used elsewhere too, or its declared limit too high? `orchestrator connection show NAME`",
    ),
    Code.IN_DOUBT: (
        "launches are in doubt: nobody knows whether they arrived",
        "`orchestrator doubt list`, look into the provider's console, then `orchestrator doubt resolve`",
    ),
    Code.RESULT_AT_RISK: (
        "results are not stored, and their URLs die soon",
        "make room in the artifact store, or let workers reach the files' host; `because` says what hinders",
    ),
    Code.TICK_MISSED: (
        "a schedule's tick was missed: it submitted nothing though it should have",
        "`orchestrator schedule fires NAME --state missed`, then `orchestrator schedule run-now NAME --for"
        " NOMINAL_TIME`",
    ),
    Code.RESULT_LOST: (
        "a result could not be had; what was had is kept",
        "`orchestrator run refetch RUN_ID`; else `orchestrator run retry RUN_ID --relaunch`",
    ),
    Code.STORE_FULL: (
        "the artifact store takes nothing: downloads wait",
        "make room, or make it writable, within the URLs' hour; downloads resume by themselves",
    ),
    Code.STORE_AWAY: (
        "the artifact store is away: downloads wait",
        "mount it again, within the URLs' hour; downloads resume by themselves",
    ),
    Code.BROKER_AWAY: (
        "the broker is away: work goes on without it",
        "start the broker; nothing is lost meanwhile, and nothing must be sent again",
    ),
    Code.DATABASE_AWAY: (
        "the database is away: nothing new begins, answers on their way wait in memory",
        "start the database; do not kill workers that wait for it, they hold the answers of launches",
    ),
    Code.NO_WORKERS: (
        "no worker lives: nothing is launched, looked at or stored, and URLs die within their hour",
        "start workers: `orchestrator worker`, or whatever keeps them running here; look at the end of their logs",
    ),
    Code.WORKER_DEAD: (
        "workers died; their work is free for others",
        "look at the end of their logs; launches that they had on the wire are in doubt",
    ),
    Code.WORKER_SILENT: (
        "workers are silent: they should speak, and do not",
        "are they stopped, or cut off from the database? They are taken for dead once a worker may judge it",
    ),
    Code.WORK_STALLED: (
        "work has been due for over a minute and is not being done",
        "more workers, or a faster database; `orchestrator doctor`",
    ),
    Code.NOT_SWEPT: (
        "nobody has swept for long: the work of dead workers is not taken up",
        "is the database slow, or a lane locked for long? `orchestrator doctor`",
    ),
    Code.HISTORY_UNSIGNED: (
        "the history has not been signed for over an hour: until it is, what is rewritten does not show",
        "do workers run? Their logs say why a checkpoint could not be written",
    ),
    Code.RETENTION_UNPROVEN: (
        "months of the history should be retired and cannot be proven: they stay",
        "`orchestrator audit verify` names the first bad place: the history was changed. Find out by whom",
    ),
    Code.CLOCK_OFF: (
        "this machine's clock and the database's are apart",
        "let both be set by NTP; decisions use the database's clock only",
    ),
    Code.DISK_LOW: (
        "the disk is nearly full",
        "free some space: with none left results wait, and an embedded database stops",
    ),
    Code.DISK_SILENT: (
        "a disk does not answer: the data folder's, or the artifact store's",
        "is it a network folder whose server is away? Downloads wait, and go on when it answers",
    ),
    Code.INBOX_OLD: (
        "questions have waited for a person for over a day",
        "`orchestrator inbox list`",
    ),
    Code.SLOTS_TAKEN: (
        "all slots of a workflow have been taken for very long, and work waits for them",
        "look for executions that never end: `orchestrator inbox list`, `orchestrator run list --status processing`",
    ),
}
assert set(WORDS) == set(Code), "every alarm needs its words"
