"""Questions of the inbox told to a person: what came of a launch, what the policy says, what a decision does. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from orchestrator.domain.launch_decisions import OnDoubt
from orchestrator.domain.operator_decisions import Resolution

#: What stands before an error's message where it is kept.
_CODE = re.compile(r"^[a-z_]{1,40}: ")

#: What each decision does, in one sentence.
EFFECTS: Mapping[Resolution, str] = {
    Resolution.ADOPT: "It runs at the provider under an id that you found: that execution is watched from now on, and "
    "its results are stored.",
    Resolution.NOT_STARTED: "The provider never got it: it is queued again as the same attempt. If it had started "
    "after all, its work is done twice.",
    Resolution.RELAUNCH: "A new attempt is launched whatever became of this one: the work may be done twice.",
    Resolution.ABANDON: "Nobody looks at it any more, and no results are stored. It may still act at the provider.",
}

#: A late answer about a run that is not in doubt can only be taken note of.
ACKNOWLEDGED = "You have seen it: the question is closed, and everything else stays as it is."

_POLICIES: Mapping[str, str] = {
    OnDoubt.HOLD: "Hold: the workflow's owner wants a person to decide.",
    OnDoubt.RELAUNCH: "Launch again: but somebody had asked to cancel it, so a person decides.",
    OnDoubt.FAIL: "End as an error; this question is older than that choice.",
}


def what_came(facts: Mapping[str, Any]) -> str | None:
    """Say what came back for a launch, None where it was none."""
    if facts["written_at"] is None:
        return None
    if facts["detail"]:
        said = _CODE.sub("", str(facts["detail"]))
        return f"{said[:1].upper()}{said[1:]}."
    if facts["http_status"]:
        return f"The provider answered with status {facts['http_status']}."
    if facts["outcome"] in ("accepted", "partly_accepted"):
        return "The provider accepted it." if facts["outcome"] == "accepted" else "The provider named a part of it."
    return "No answer: the request may have been on the wire."


def worker(facts: Mapping[str, Any]) -> str | None:
    """Say which worker sent it, and what became of that; None where no launch was made."""
    if facts["written_at"] is None:
        return None
    if facts["worker_place"] is None:
        return "It is forgotten by now: workers that ended are kept for a week."
    words = {"dead": "it died", "stopped": "it was stopped since", "draining": "it is stopping"}
    what = words.get(facts["worker_state"], "it lives")
    return f"Process {facts['worker_pid']} at {facts['worker_place'].split('/')[0]}: {what}."


def policy(on_doubt: str) -> str:
    """Say what the workflow's owner wants of doubts."""
    return _POLICIES[on_doubt]


def console_home(template: str | None, workflow_id: str) -> str | None:
    """Return where a person can look for an execution whose id nobody knows: the workflow's page, or the console."""
    if not template:
        return None
    before, sign, _ = template.partition("{execution_id}")[0].partition("{workflow_id}")
    if sign:
        return outside(before + workflow_id)
    parts = urlsplit(before)
    return outside(f"{parts.scheme}://{parts.netloc}/")


def outside(url: str | None) -> str | None:
    """Return a link that leads out of here, None for what is no web address."""
    return url if url and urlsplit(url).scheme in ("http", "https") and urlsplit(url).netloc else None
