"""Planted bugs of keeping: limits, leases, results, the record of what happened."""

from __future__ import annotations

from tests.mutants.plant import ROUGH, Mutant, Swap

LAUNCH = "orchestrator/engine/launch.py"
DOWNLOAD = "orchestrator/domain/download_decisions.py"
FILES = "orchestrator/providers/files.py"
LANES = "orchestrator/storage/lanes.py"
CHANGES = "orchestrator/storage/changes.py"
GOVERNOR = "orchestrator/domain/governor.py"
SWEEP = "orchestrator/engine/sweep.py"

LIMITS = (
    Mutant(
        "window_from_the_send",
        "a token comes back 60 s after the send, not after the answer",
        [
            Swap(
                LAUNCH,
                "    answer = await _send(deps, order)\n"
                "    answered = Answered(order=order, answer=answer, at=deps.sources.monotonic())\n",
                "    sent_at = deps.sources.monotonic()\n"
                "    answer = await _send(deps, order)\n"
                "    answered = Answered(order=order, answer=answer, at=sent_at)\n",
            ),
            Swap(
                "orchestrator/engine/poll.py",
                "    return Sight(claim=claim, seen=seen, at=deps.sources.monotonic())\n",
                "    return Sight(claim=claim, seen=seen, at=deps.sources.monotonic() - 3.0)\n",
            ),
        ],
        tests=["tests/simulation/test_pressure.py"],
    ),
    Mutant(
        "dead_tokens_are_free",
        "what a dead worker had in flight is not counted as spent",
        [Swap(SWEEP, "                lane = lane.spent(CallKind(kind), [0.0] * count)", "                continue")],
        seeds=ROUGH,
        tests=["tests/engine/test_burial_and_pump.py", "tests/guarantees/test_limits.py"],
    ),
    Mutant(
        "limit_plus_five",
        "five more requests than the limit may leave",
        [
            Swap(
                GOVERNOR, "return max(0, self.most - self._used(now))", "return max(0, self.most + 5 - self._used(now))"
            )
        ],
        tests=["tests/simulation/test_pressure.py"],
    ),
    Mutant(
        "lane_is_not_locked",
        "two workers record on one lane at once",
        [Swap(LANES, 'FROM lanes WHERE id = :lane FOR UPDATE")', 'FROM lanes WHERE id = :lane")')],
        seeds=ROUGH,
        tests=["tests/guarantees/test_locks.py"],
    ),
    Mutant(
        "claimed_lane_is_not_locked",
        "two workers claim one lane at once",
        [
            Swap(LANES, "LIMIT 1\n    FOR UPDATE SKIP LOCKED", "LIMIT 1"),
            Swap("orchestrator/storage/look_turns.py", "LIMIT :lanes FOR UPDATE SKIP LOCKED", "LIMIT :lanes"),
        ],
        seeds=ROUGH,
        tests=["tests/guarantees/test_locks.py"],
    ),
)

LEASES = (
    Mutant(
        "lease_without_fence",
        "a late worker's look is written over the new holder's",
        [
            Swap(
                "orchestrator/storage/fences.py",
                "        ON t.subject_id = v.id AND t.fence = v.fence\n",
                "        ON t.subject_id = v.id\n",
            )
        ],
        seeds=ROUGH,
        tests=["tests/engine/test_fences.py", "tests/engine/test_late_and_paused.py"],
    ),
    Mutant(
        "download_without_fence",
        "a late worker's download is written over the new holder's",
        [
            Swap(
                "orchestrator/storage/downloads.py",
                "    valid = [r for r in results if r.claim.run_id in held]",
                "    valid = [r for r in results if held or not held]",
            )
        ],
        tests=["tests/guarantees/test_one_ending.py", "tests/engine/test_fences.py"],
        seeds=ROUGH,
    ),
    Mutant(
        "fence_outlives_its_record",
        "an act that was recorded can be recorded again",
        [Swap(CHANGES, '        fence = 0, worker_id = NULL""")', '        worker_id = NULL""")')],
        tests=["tests/engine/test_fences.py"],
        seeds=ROUGH,
    ),
    Mutant(
        "nobody_is_buried",
        "the leases of dead workers are not ended",
        [Swap(SWEEP, "            await workers.void_leases(connection, lane_id, still)", "            pass")],
        tests=["tests/engine/test_fences.py", "tests/engine/test_burial_and_pump.py"],
        seeds=ROUGH,
    ),
    Mutant(
        "last_settle_is_blind",
        "two last endings each see the other's run as open, and the batch never ends",
        [
            Swap(
                "orchestrator/engine/settle.py",
                "    await lanes.lock(connection, await batches.lane_of(connection, batch_id))\n",
                "",
            ),
            Swap(
                "orchestrator/engine/settle.py",
                "    is_over = not await batches.has_live_runs(connection, batch_id, sorted(LIVE))\n",
                "    is_over = False\n",
            ),
        ],
        seeds=ROUGH,
    ),
)

RESULTS = (
    Mutant(
        "finished_without_its_files",
        "a run is finished though a file could not be stored",
        [Swap(DOWNLOAD, "    if not failures:\n", "    if not failures or stored or facts.tries > 1:\n")],
        seeds=ROUGH,
    ),
    Mutant(
        "short_files_are_files",
        "a file that was cut is stored as if it were whole",
        # The client, the fetcher and the verb each notice it: the bug is that none of them does.
        [
            Swap(
                FILES,
                "        if failure is not None:\n            raise _failed(failure)\n        if part is None:\n",
                "        if failure is not None or part is None:\n",
            ),
            Swap(FILES, "    if received < length_bytes:\n", "    if False:\n"),
            Swap(
                "orchestrator/engine/download.py",
                "        if answer.length_bytes is not None and stored",
                "        if False and stored",
            ),
        ],
        seeds=ROUGH,
        tests=["tests/providers/test_files.py"],
    ),
    Mutant(
        "one_name_for_all_claims",
        "a worker that comes late writes over the file that another has stored",
        [Swap("orchestrator/engine/download.py", '{file.number}.{claim.fence}"', '{file.number}"')],
        seeds=ROUGH,
        tests=["tests/engine/test_late_and_paused.py"],
    ),
    Mutant(
        "redirects_are_files",
        "the body of a redirect is stored as the file",
        [Swap(FILES, "        if response.status_code != 200:\n", "        if response.status_code >= 400:\n")],
        seeds=ROUGH,
        tests=["tests/providers/test_files.py"],
    ),
    Mutant(
        "empty_files_are_files",
        "a file that came without a byte is believed at once",
        [
            Swap(
                DOWNLOAD,
                "    return [_empty(o) if o.failure is None and not o.size_bytes else o for o in outcomes]",
                "    return list(outcomes)",
            )
        ],
        seeds=ROUGH,
        tests=["tests/unit/test_download_decisions.py"],
    ),
    Mutant(
        "expired_is_lost",
        "an expired URL loses the result though a fresh one can be had",
        [
            Swap(
                DOWNLOAD,
                "HOPELESS_REFUSALS = 5\nHOPELESS_AFTER_S = 4200.0",
                "HOPELESS_REFUSALS = 0\nHOPELESS_AFTER_S = 0.0",
            )
        ],
        seeds=ROUGH,
    ),
    Mutant(
        "full_store_loses",
        "a full artifact store counts as a file that cannot be had",
        [
            Swap(
                DOWNLOAD,
                "    if any(isinstance(o.failure, StoreFull | Unavailable) for o in failures):",
                "    if any(isinstance(o.failure, StoreFull | Unavailable) for o in failures):\n"
                "        return _lost(facts, stored, failures)\n    if False:",
            )
        ],
        seeds=ROUGH,
    ),
    Mutant(
        "success_before_fsync",
        "a file is called stored before its bytes are on the disk",
        [Swap("orchestrator/artifacts/local.py", "                    os.fsync(self._file.fileno())\n", "")],
        tests=["tests/artifacts/test_local.py"],
        why_no_guarantee="the kernel keeps what a killed process wrote: only a loss of power shows a missing sync."
        " The test records the order of the calls",
    ),
    Mutant(
        "key_goes_along",
        "the host of a result file is sent a key",
        [Swap(FILES, '"Accept": "*/*", ', '"Accept": "*/*", "x-api-key": "sk-sandbox", ')],
        seeds=ROUGH,
        tests=["tests/providers/test_files.py"],
    ),
    Mutant(
        "one_404_is_the_end",
        "an execution that was not found once is given up",
        [Swap("orchestrator/domain/lost_results.py", "\nLOST_AFTER_S = 600.0", "\nLOST_AFTER_S = 0.0")],
        seeds=ROUGH,
        tests=["tests/unit/test_look_decisions.py"],
    ),
)

RECORD = (
    Mutant(
        "chain_without_its_past",
        "an event's hash does not cover the one before it",
        [
            Swap(
                "orchestrator/domain/chain.py",
                "        digest = hashlib.sha256(digest + body).digest()\n        events.append",
                "        digest = hashlib.sha256(body).digest()\n        events.append",
            )
        ],
        seeds=ROUGH[:2],
        tests=["tests/unit/test_chain.py"],
    ),
    Mutant(
        "set_back_and_launching",
        "a database that was set back launches as if nothing were",
        [
            Swap(
                "orchestrator/engine/launch_claims.py",
                "    wait_s = await highwater.wait_s(deps, connection)\n",
                "    wait_s = None\n",
            )
        ],
        tests=["tests/guarantees/test_restored_database.py"],
    ),
)
