"""What a rehearsal prints: the same figures for people and for programs. Loads the play, and the engine with it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from orchestrator.cli import output
from orchestrator.cli.times import in_words
from orchestrator.cli.wall_times import Times
from orchestrator.client import SubmittedBatch
from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.durations import Durations
from orchestrator.domain.forecast import Rival
from orchestrator.errors import Unavailable
from orchestrator.rehearsal.plays import Play, Stage
from orchestrator.rehearsal.rehearse import Rehearsal, plays_for, rehearse
from orchestrator.rehearsal.world import Outage


def rehearsed(batch: SubmittedBatch, times: Times, *, wave_size: int | None, plays: int | None) -> dict[str, Any]:
    """Play what a dry run found, and return all figures."""
    plan = batch["plan"]
    if "meets" not in plan:
        raise Unavailable("this server does not say what a batch would meet", hint="Upgrade it: orchestrator version")
    stage = _stage(plan, times, wave_size=wave_size)
    number = plays or plays_for(stage)
    done = rehearse(stage, plays=number, on_play=_progress)
    return {
        "workflow_id": batch.get("workflow_id"),
        "connection": batch.get("connection"),
        "runs": stage.runs,
        "refused": batch.get("refused", 0),
        "mode": plan["mode"],
        "side_by_side": plan["side_by_side"],
        "requests_per_minute": stage.requests_per_minute,
        "mean_s": plan["mean_s"],
        "mean_is_a_guess": plan["mean_is_a_guess"],
        "learned_from": stage.durations.count,
        "connection_is_stopped": plan["meets"]["is_stopped"],
        "other_batches": len(stage.rivals),
        "plays": number,
        "starts_at": _iso(times, 0.0),
        "outages": [{"from_at": _moment(times, a), "to_at": _moment(times, b)} for a, b in times.outages],
        "finish_p50_at": _iso(times, done.finish_s(0.5)),
        "finish_p90_at": _iso(times, done.finish_s(0.9)),
        "finish_p50_s": round(done.finish_s(0.5), 1),
        "finish_p90_s": round(done.finish_s(0.9), 1),
        "finish_by": _finish_by(done, times),
        "bound_by": done.bound_by,
        "time_shares": {name: getattr(done.shares, name) for name in ("slots", "rate", "outage", "rest")},
        **_requests(done.middle, stage.runs),
        "delay_p50_s": round(_share(done.delays_s, 0.5), 1),
        "delay_p95_s": round(_share(done.delays_s, 0.95), 1),
        "results_at_risk": done.at_risk,
        "results_dead": done.dead,
        "plain_backoff": None if done.plain is None else _plain(done.plain, times, stage.runs),
    }


def show(found: Mapping[str, Any], times: Times) -> None:
    """Print a rehearsal: one object for programs, sentences for people."""
    if output.is_for_programs():
        output.one(found)
        return
    if found["mean_is_a_guess"]:
        output.text(f"Nothing is known of this workflow yet; assumed mean {found['mean_s']:.0f} s.")
    else:
        output.text(f"Learned from {output.counted(found['learned_from'], 'execution')}: mean {found['mean_s']:.1f} s.")
    if found["connection_is_stopped"]:
        output.text("The connection is paused or stopped; this is as if it launched.")
    for line in (*_when(found, times), *_what(found), *_beside(found, times)):
        output.text(line)


def _when(found: Mapping[str, Any], times: Times) -> list[str]:
    runs = output.counted(found["runs"], "run")
    lines = [
        f"{runs} as {_mode(found)}, {found['side_by_side']} side by side, from {_clock(times, 0.0)}.",
        f"Finish P50    {_clock(times, found['finish_p50_s'])}  (after {in_words(found['finish_p50_s'])})",
        f"Finish P90    {_clock(times, found['finish_p90_s'])}  (after {in_words(found['finish_p90_s'])})",
    ]
    if found["finish_by"] is not None:
        by = found["finish_by"]
        says = "yes, in nine of ten cases" if by["p90_makes_it"] else "not safely"
        assert times.finish_by is not None, "it was asked for"
        at = _clock(times, (times.finish_by - times.start).total_seconds())
        lines.append(f"Done by       {at}: {says}; the chance is {by['chance']:.0%}")
    return lines


def _what(found: Mapping[str, Any]) -> list[str]:
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["time_shares"].items() if share)
    return [
        f"What binds    {found['bound_by']}  (of the time: {shares})",
        f"Requests      {_spent(found)}, limit {found['requests_per_minute']} a minute",
        f"Seen after    {found['delay_p50_s']:.1f} s (P50), {found['delay_p95_s']:.1f} s (P95)",
        f"At risk       {_at_risk(found)}",
    ]


def _beside(found: Mapping[str, Any], times: Times) -> list[str]:
    plain = found["plain_backoff"]
    if plain is None:
        return ["Plain backoff would not have seen all of them in two months."]
    return [
        f"Plain backoff would be done at {_clock(times, plain['finish_s'])}: {_spent(plain)};",
        f"              seen after {plain['delay_p50_s']:.1f} s (P50), {plain['delay_p95_s']:.1f} s (P95);"
        f" at risk: {_at_risk(plain)}",
    ]


def _mode(found: Mapping[str, Any]) -> str:
    if found["runs"] == 1:
        return "one wave" if found["mode"] == "waves" else "a single launch"
    return str(found["mode"])


def _spent(found: Mapping[str, Any]) -> str:
    return (
        f"{found['requests']} (launches {found['launches']}, looks {found['looks']};"
        f" {found['requests_per_execution']:.2f} an execution)"
    )


def _at_risk(found: Mapping[str, Any]) -> str:
    if not found["results_at_risk"]:
        return "no result"
    return f"{found['results_at_risk']} results are seen after 55 min, {found['results_dead']} after their URL died"


def _stage(plan: Mapping[str, Any], times: Times, *, wave_size: int | None) -> Stage:
    meets = plan["meets"]
    return Stage(
        runs=plan["runs"],
        width=meets["width"],
        slot_limit=meets["slot_limit"],
        # A provider without waves launches one by one, whatever was asked.
        wave_size=1 if plan["mode"] == "single launches" else wave_size,
        requests_per_minute=meets["requests_per_minute"],
        durations=Durations(**meets["learned"]),
        policy=PollPolicy(**meets["poll"]),
        rivals=tuple(Rival(**rival) for rival in meets["others"]),
        outages=tuple(
            Outage(from_s=(a - times.start).total_seconds(), lasts_s=(b - a).total_seconds()) for a, b in times.outages
        ),
    )


def _finish_by(done: Rehearsal, times: Times) -> dict[str, Any] | None:
    if times.finish_by is None:
        return None
    by_s = (times.finish_by - times.start).total_seconds()
    return {
        "at": _iso(times, by_s),
        "chance": round(done.chance_by(by_s), 2),
        "p90_makes_it": done.finish_s(0.9) <= by_s,
    }


def _plain(plain: Play, times: Times, runs: int) -> dict[str, Any]:
    return {
        "finish_at": _iso(times, plain.finish_s),
        "finish_s": round(plain.finish_s, 1),
        **_requests(plain, runs),
        "delay_p50_s": round(_share(plain.delays_s, 0.5), 1),
        "delay_p95_s": round(_share(plain.delays_s, 0.95), 1),
        "results_at_risk": plain.at_risk,
        "results_dead": plain.dead,
    }


def _requests(play: Play, runs: int) -> dict[str, Any]:
    requests = play.launches + play.looks
    each = round(requests / runs, 2)
    return {"requests": requests, "launches": play.launches, "looks": play.looks, "requests_per_execution": each}


def _share(ordered: tuple[float, ...], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _iso(times: Times, after_s: float) -> str:
    return _moment(times, times.start + timedelta(seconds=after_s))


def _moment(times: Times, at: Any) -> str:
    return str(times.shown(at).isoformat(timespec="seconds"))


def _clock(times: Times, after_s: float) -> str:
    at = times.shown(times.start + timedelta(seconds=after_s))
    return f"{at:%a %d %b %H:%M} {at.tzname()}"


def _progress(done: int, of: int) -> None:
    """Tell a person how many plays are done, on one line that goes away."""
    if output.stderr_is_terminal() and not output.is_for_programs():
        sys.stderr.write(f"\rPlayed {done} of {of}…" if done < of else "\r\x1b[K")
        sys.stderr.flush()
