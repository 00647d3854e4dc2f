"""What every number of a report means. A label that is printed with a number stands here, and a test sees to it."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.domain.report.figures import FirstOutcome
from orchestrator.domain.report.totals import FIRST_WORDS
from orchestrator.domain.statuses import MEANINGS

#: The totals' own words.
TERMS: Mapping[str, str] = {
    "rows in the file": "data rows of the submitted file, as its batch's row says: accepted and refused together",
    "rows in files and single runs": "the same over all batches of the period, and the runs that were submitted alone",
    "accepted": "runs that exist: rows of files and single submissions that were stored",
    "observed runs": "runs that other programs started, and that were tracked here (origin observed), none launched",
    "observed, as the history tells": "their first events, from the hash-chained history",
    "accepted and observed": "both kinds of runs",
    "accepted and observed, as the history tells": "first events of both kinds of runs, from the hash-chained history",
    "refused at submission": "rows that were not stored because they broke the workflow's schema, as the history says",
    "accepted, as the history tells": "first events of runs, from the hash-chained history",
    "launches": "runs in committed launch requests (intents), each time that they were in one",
    "executions linked": "attempts of which the provider's execution id is known",
    "in doubt": "attempts that were sent, or may have been, of which nobody knows what came; to be settled still",
    "doubts given up": "attempts that were in doubt and were settled without an id: launched again, failed, abandoned",
    "refused": "attempts that the provider refused for good",
    "never sent": "attempts that are known not to have started anything, and stand last under their number",
    "never sent, launched again": "launches that started nothing and were made again as the same attempt",
    "on the wire": "launches whose answer is not recorded yet",
    "doubts raised": "times that it was not known whether a launch arrived (events “in_doubt”)",
    "in doubt now": "runs that are in doubt",
    "adopted": "doubts that ended with the execution's id: a person found it, or the journal of launches had it",
    "settled by a late answer": "doubts whose answer came after all, with the id",
    "never sent, says its worker": "doubts that the launching worker lifted itself: it had written nothing",
    "not started, says a person": "doubts that a person settled as not started; launched under the same number",
    "launched again by a person": "doubts after which a person had the run launched as the next attempt",
    "launched again by policy": "doubts after which the workflow's policy (on_doubt=relaunch) launched it again",
    "failed by policy": "doubts that the workflow's policy (on_doubt=fail) ended as error",
    "abandoned by a person": "doubts after which a person stopped watching the run",
    "files offered": "result files that the provider named, of every attempt",
    "stored": "result files stored byte for byte, with size and SHA-256",
    "lost": "result files not stored whose run says result_lost, or which an earlier attempt offered",
    "given up with their run": "result files not stored of runs that were abandoned",
    "still to come": "result files not stored yet of runs that have not ended",
    "files stored": "rows of stored result files",
    "storings, as the history tells": "events “result_stored” of the hash-chained history",
    "amount in, all rows": "the sum of the named input field over every accepted row that has a number there",
    "amount out": "the sum of the named field over the JSON results of the finished runs",
    "amount in of runs not finished": "that part of the amount in whose runs have not finished",
    "none": "there is none",
}

FIRSTS: Mapping[str, str] = {
    FIRST_WORDS[FirstOutcome.FINISHED]: "runs that finished with their first attempt",
    FIRST_WORDS[FirstOutcome.ERROR]: "runs whose first attempt ended as error, whatever came of a retry",
    FIRST_WORDS[FirstOutcome.RESULT_LOST]: "runs whose first attempt finished and lost a result",
    FIRST_WORDS[FirstOutcome.CANCELLED]: "runs whose first attempt was cancelled",
    FIRST_WORDS[FirstOutcome.ABANDONED]: "runs whose first attempt was abandoned",
    FIRST_WORDS[FirstOutcome.DOUBTED]: "runs whose first attempt is not known to have started, and was launched again",
    FIRST_WORDS[FirstOutcome.OPEN]: "runs at their first attempt that have not ended",
}

TIMINGS: Mapping[str, str] = {
    "waiting to launch": "from a run's acceptance by us to the provider's acceptance of its first attempt; a doubt that"
    " was settled by an id counts until then",
    "at the provider": "from the provider's acceptance of an attempt to the look that saw its end; with people's time",
    "with a person": "from the look that saw the provider wait for a person to the one that saw it go on",
    "storing a file": "from the look that first saw a result file to its last byte on disk",
    "to result": "from a finished run's acceptance to its end, every result stored",
}

EFFORT: Mapping[str, str] = {
    "attempts": "launches under numbers of their own: rows of executions",
    "launch requests": "committed launch requests; each was at most one request, and a wave's is one for all its runs",
    "of these, nothing started": "launch requests that never left, or that the provider turned away to be sent again",
    "looks": "answers that showed, or should have, how an execution stands, recorded per attempt; looks"
    " that only renewed result URLs after an execution's end are not among them",
    "requests of the budget": "launch requests and looks together, at most: a page of a provider's list is one request"
    " for many looks; reads of workflows and probes belong to no run",
    "reopened by a person": "runs queued again, or fetched again, by a person after they had ended",
    "result bytes stored": "the sizes of all stored result files together",
}

COLUMNS: Mapping[str, str] = {
    "p50, p95, max": "what half, and 95 %, of the measured cases do not exceed, and the largest; a real case each",
    "#0, #1, #2": "a run's place among the accepted rows of its file, from 0; rows that were refused have none",
    "measured": "cases that were measured; what has not happened yet is not among them",
    "failed": "runs that ended as error, result_lost or abandoned",
    "under way": "runs that have not ended",
}

#: Where some were.
ERASED: Mapping[str, str] = {
    "of these, erased": "runs whose input, results, file names and texts were erased since, on request; their times,"
    " sizes and hashes stay, and count everywhere",
}

TICKS: Mapping[str, str] = {
    "ticks": "times at which a schedule was to submit something, and those at which a person had it do so",
    "fired, merged": "ticks that submitted a batch or a run; ticks for which a later one stood, as nobody was in time",
    "skipped, missed": "ticks that were to submit nothing (a pause, or the one before still ran); ticks that should"
    " have submitted something and did not",
}

#: Of the acts, those whose names do not say it.
ACTS: Mapping[str, str] = {
    "accepted": "a single run that was submitted",
    "observed": "an execution that another program started, and that was tracked here from then on",
    "batch_accepted": "a file that was submitted as a batch",
    "adopted": "a run in doubt of which a person, or the journal of launches, knew the execution",
    "doubt_resolved": "a run in doubt that a person settled without an execution",
    "doubts_resolved": "the same decision of a person, or an adoption, noted once for the batch and not for each run",
    "reopened": "a run that had ended and was queued or fetched again",
    "batch_reopened": "a batch that had ended and got runs that are under way again",
    "cancel_requested": "a cancellation that came while the launch was on the wire, or later",
    "no reason given": "who did it was asked for no reason and gave none; the command is named",
    "report_made": "a report that was printed, with the SHA-256 of what was given out",
}

#: Of one run's page.
DOSSIER: Mapping[str, str] = {
    "attempt": "one launch of the run, under a number of its own; a retry by a person or a policy is the next one",
    "state": "where the attempt stands at the provider: launching; open, alive there; in_doubt, not known whether it"
    " began; ended, as the provider said; not_sent, refused, nothing began; left, watched no more",
    "began, accepted, ended": "when its launch was committed, before it was sent; when the provider's id of it was"
    " stored; when a look saw its end",
    "looks": EFFORT["looks"],
    "launch request": "one request at most, written down before it was sent; a wave's launches many runs at once",
    "HTTP, detail": "the answer to a launch request that was not accepted, as far as there was one",
    "results": "files that the provider named; each is stored byte for byte, and its SHA-256 is of what is on disk",
    "history": "the run's events, append-only: each hash covers the event and, by the hash before, all earlier ones",
    "actor": "who did it: a token, a policy, or orchestrator, which is the product itself",
}

DEFINITIONS: Mapping[str, str] = {
    **TERMS,
    **FIRSTS,
    **{str(status): meaning for status, meaning in MEANINGS.items()},
    **TIMINGS,
    **EFFORT,
    **COLUMNS,
    **ERASED,
    **TICKS,
    **{f"act {name}": says for name, says in ACTS.items()},
}
