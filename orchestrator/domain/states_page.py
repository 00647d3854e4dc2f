"""The page `docs/states.md`, printed from the tables in `statuses.py`, so that the two cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.domain.statuses import (
    BATCH_ENDINGS,
    ENDINGS,
    MEANINGS,
    MIN_ENDINGS_FOR_FAILURE_RULE,
    MOVES,
    PARKED,
    BatchStatus,
    ResultsState,
    RunStatus,
)

S = RunStatus

#: What makes a run move, in the words of users. A move without a word, or a word without a move, is a bug.
CAUSES: Mapping[tuple[RunStatus, RunStatus], str] = {
    (S.QUEUED, S.LAUNCHING): "a worker commits the intent to send it",
    (S.QUEUED, S.CANCELLED): "a person cancels it, or its batch",
    (S.LAUNCHING, S.PROCESSING): "the provider names its execution",
    (S.LAUNCHING, S.QUEUED): "nothing was sent, or the provider did not act on it",
    (S.LAUNCHING, S.ERROR): "the provider refuses it for good",
    (S.LAUNCHING, S.IN_DOUBT): "the answer is lost, or the worker died before it wrote it down",
    (S.IN_DOUBT, S.PROCESSING): "a person adopts an execution, or the answer comes late",
    (S.IN_DOUBT, S.QUEUED): "a person says that it never started, or that a second execution is fine; or the policy "
    "`relaunch`",
    (S.IN_DOUBT, S.ERROR): "the policy `fail` (`launch_unknown`)",
    (S.IN_DOUBT, S.ABANDONED): "a person gives it up",
    (S.PROCESSING, S.HUMAN_IN_THE_LOOP): "the provider waits for a person",
    (S.PROCESSING, S.DOWNLOADING): "the provider has finished and offers results",
    (S.PROCESSING, S.ERROR): "the provider says error, or has not known it for 10 minutes (`provider_lost`)",
    (S.PROCESSING, S.CANCELLED): "the provider says that it is cancelled",
    (S.PROCESSING, S.ABANDONED): "a person stops watching it",
    (S.HUMAN_IN_THE_LOOP, S.PROCESSING): "somebody approved it at the provider",
    (S.HUMAN_IN_THE_LOOP, S.DOWNLOADING): "it has finished since the last look",
    (S.HUMAN_IN_THE_LOOP, S.ERROR): "it has failed since the last look",
    (S.HUMAN_IN_THE_LOOP, S.ABANDONED): "a person stops watching it",
    (S.DOWNLOADING, S.FINISHED): "every result is stored and verified, or there was none",
    (S.DOWNLOADING, S.RESULT_LOST): "a result cannot be had any more",
    (S.DOWNLOADING, S.ABANDONED): "a person stops watching it",
    (S.ERROR, S.QUEUED): "a person retries it",
    (S.RESULT_LOST, S.DOWNLOADING): "a person asks for the results again",
    (S.RESULT_LOST, S.QUEUED): "a person retries it and accepts a second execution",
    (S.CANCELLED, S.QUEUED): "a person retries it",
    (S.ABANDONED, S.PROCESSING): "a person has it watched again",
    (S.ABANDONED, S.QUEUED): "a person retries it and accepts a second execution",
}
assert set(CAUSES) == {(old, new) for old, after in MOVES.items() for new in after}, "each move has one cause in words"

#: What each status of a batch means; the rule that derives it is `statuses.batch_status`.
BATCH_MEANINGS: Mapping[BatchStatus, str] = {
    BatchStatus.ACCEPTED: "stored, nothing sent yet",
    BatchStatus.RUNNING: "some of it is sent, or has ended, and more is to come",
    BatchStatus.PAUSING: "nothing more is launched; what was launched is still collected",
    BatchStatus.PAUSED: "nothing more is launched, and nothing is under way",
    BatchStatus.WAITING: "only people can move what is left: doubts, approvals",
    BatchStatus.CANCELLING: "what was not sent is cancelled; what was launched is still collected",
    BatchStatus.CANCELLED: "a person cancelled it before all of it was sent",
    BatchStatus.FINISHED: "every run finished",
    BatchStatus.FINISHED_WITH_ERRORS: "every run has ended, some of them otherwise than well",
}
assert set(BATCH_MEANINGS) == set(BatchStatus), "every status of a batch needs a meaning"

RESULTS_MEANINGS: Mapping[ResultsState, str] = {
    ResultsState.NONE: "the provider has offered none yet",
    ResultsState.OFFERED: "offered, not all stored yet",
    ResultsState.STORED: "every file is stored and verified",
    ResultsState.EMPTY: "the provider finished without results",
    ResultsState.LOST: "at least one could not be had",
}
assert set(RESULTS_MEANINGS) == set(ResultsState), "every state of the results needs a meaning"


def states_page() -> str:
    """Return the whole page as Markdown."""
    return "\n".join([*_introduction(), *_runs(), *_moves(), *_diagram(), *_batches(), *_results()]) + "\n"


def _introduction() -> list[str]:
    return [
        "# States",
        "",
        "Printed from `orchestrator/domain/statuses.py` by `python -m tests.house.write_states`; a test holds the two",
        "together. Do not edit it by hand. The words are the same in the database, the API and the command line.",
        "",
    ]


def _runs() -> list[str]:
    table = ["## A run", "", "| Status | Means | Kind | May become |", "|---|---|---|---|"]
    for status in RunStatus:
        after = ", ".join(f"`{new}`" for new in RunStatus if new in MOVES[status]) or "–"
        table.append(f"| `{status}` | {MEANINGS[status]} | {_kind(status)} | {after} |")
    return [*table, ""]


def _kind(status: RunStatus) -> str:
    if status in ENDINGS:
        return "ending"
    return "waits for a person" if status in PARKED else "moves by itself"


def _moves() -> list[str]:
    table = ["## What moves a run", "", "| From | To | When |", "|---|---|---|"]
    for old in RunStatus:
        table += [f"| `{old}` | `{new}` | {CAUSES[old, new]} |" for new in RunStatus if new in MOVES[old]]
    return [
        *table,
        "",
        "A move that is not in this table is refused. A move out of an ending is made by a person only; it is written",
        "into the run's history as `reopened`, with who did it and why.",
        "",
    ]


def _diagram() -> list[str]:
    arrows = [f"    {old} --> {new}" for old in RunStatus for new in RunStatus if new in MOVES[old]]
    return ["```mermaid", "stateDiagram-v2", f"    [*] --> {S.QUEUED}", *arrows, f"    {S.FINISHED} --> [*]", "```", ""]


def _batches() -> list[str]:
    table = [
        "## A batch",
        "",
        "Derived from the statuses of its runs, and from whether somebody paused or cancelled it.",
        "",
    ]
    table += ["| Status | Means | Ending |", "|---|---|---|"]
    for status in BatchStatus:
        ending = "yes" if status in BATCH_ENDINGS else "no"
        table.append(f"| `{status}` | {BATCH_MEANINGS[status]} | {ending} |")
    return [
        *table,
        "",
        f"`--max-failures` pauses a batch once more runs than that ended in `{S.ERROR}` or `{S.RESULT_LOST}`; that is",
        f"not judged before {MIN_ENDINGS_FOR_FAILURE_RULE} runs have ended.",
        "",
    ]


def _results() -> list[str]:
    table = ["## The results of a run", "", "`results_state` stands beside the status.", ""]
    table += ["| State | Means |", "|---|---|"]
    return [*table, *(f"| `{state}` | {RESULTS_MEANINGS[state]} |" for state in ResultsState)]
