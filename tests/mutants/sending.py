"""Planted bugs of sending: intents, answers, doubts, breakers, and what a failure means."""

from __future__ import annotations

from tests.mutants.plant import ROUGH, Mutant, Swap

RECORD = "orchestrator/engine/launch_records.py"
LAUNCH = "orchestrator/engine/launch.py"
DECIDE = "orchestrator/domain/launch_decisions.py"
OUTCOMES = "orchestrator/providers/outcomes.py"
HTTP = "orchestrator/providers/http.py"
CHANGES = "orchestrator/storage/changes.py"

LAUNCHING = (
    Mutant(
        "sends_before_the_intent",
        "the request goes out inside the claim's transaction, before its intent is committed",
        [
            Swap(
                LAUNCH,
                "        await reach(Point.LAUNCH_WRITTEN)\n        return written\n",
                "        from orchestrator.runtime import transaction_open\n"
                "        token = transaction_open.set(False)\n"
                "        for order in written.orders if written else ():\n"
                "            EARLY[order.intent_id] = await _send(deps, order)\n"
                "        transaction_open.reset(token)\n"
                "        await reach(Point.LAUNCH_WRITTEN)\n        return written\n",
            ),
            Swap(LAUNCH, "    answer = await _send(deps, order)\n", "    answer = EARLY.pop(order.intent_id)\n"),
            Swap(
                LAUNCH, "log = get_logger(__name__)\n", "log = get_logger(__name__)\nEARLY: dict[UUID, object] = {}\n"
            ),
        ],
        seeds=ROUGH,
    ),
    Mutant(
        "no_intent",
        "nothing is written before the request goes out: what was, is rolled back",
        [
            Swap(
                LAUNCH,
                "        await reach(Point.LAUNCH_WRITTEN)\n        return written\n",
                "        await reach(Point.LAUNCH_WRITTEN)\n"
                "        if written is not None and written.orders:\n"
                "            await connection.rollback()\n"
                "        return written\n",
            )
        ],
        seeds=ROUGH,
    ),
    Mutant(
        "intent_without_watch",
        "nothing comes due when a launch is never recorded",
        [
            Swap(
                "orchestrator/storage/unanswered.py",
                "    WHERE t.kind = 'sending' AND t.due_at",
                "    WHERE false AND t.due_at",
            )
        ],
        seeds=ROUGH,
    ),
    Mutant(
        "sent_again_elsewhere",
        "a lost launch is sent again under its key to where its connection leads since, by another key or address",
        [Swap("orchestrator/engine/resend.py", "    if not found.leads_there_still:", "    if False:")],
        tests=["tests/engine/test_two_providers.py"],
    ),
    Mutant(
        "claim_commits_twice",
        "a launch claim whose commit's answer was lost is made again, and sent",
        [Swap(LAUNCH, "lambda: deps.db.run(claim, tries=1)", "lambda: deps.db.run(claim, tries=5)")],
        tests=["tests/engine/test_late_and_paused.py"],
        seeds=ROUGH,
    ),
    Mutant(
        "no_taking_back",
        "intents whose commit was in question are left as if they had been sent",
        [Swap(LAUNCH, "        await _take_back(deps, written)\n        raise", "        raise")],
        tests=["tests/engine/test_late_and_paused.py", "tests/guarantees/test_dependencies_commit.py"],
    ),
    Mutant(
        "answer_given_up",
        "the answer of a launch is recorded five times at most, however long the database is away",
        [
            Swap(
                LAUNCH,
                "they are committed: try for as long as the worker lives.\n"
                "        return await deps.db.run(record, tries=FOR_EVER)",
                "they are committed.\n        return await deps.db.run(record, tries=5)",
            )
        ],
        tests=["tests/engine/test_late_and_paused.py"],
    ),
    Mutant(
        "launch_recorded_without_right",
        "whoever took the intent for a doubt meanwhile is written over",
        [
            Swap(
                RECORD,
                "    late = [a for a in answered if a.order.intent_id not in held]",
                "    held = {a.order.intent_id for a in answered}\n"
                "    late = [a for a in answered if a.order.intent_id not in held]",
            )
        ],
        seeds=ROUGH,
        tests=["tests/engine/test_launching.py"],
    ),
    Mutant(
        "doubt_is_relaunched",
        "a launch in doubt is sent again though its owner chose to hold",
        [
            Swap(
                DECIDE,
                "    match OnDoubt.HOLD if is_cancelled_relaunch else facts.on_doubt:",
                "    match OnDoubt.RELAUNCH:",
            )
        ],
        seeds=ROUGH,
    ),
    Mutant(
        "missing_items_are_queued",
        "items that a wave's answer does not name are launched again",
        [
            Swap(
                DECIDE,
                "    doubted = tuple(_in_doubt(",
                '    unnamed = _back(replace(facts, runs=missing), NotSent("not named"), now=now, unit=unit)\n'
                "    doubted = unnamed.changes or tuple(_in_doubt(",
            )
        ],
        seeds=ROUGH,
        tests=["tests/unit/test_launch_decisions.py"],
    ),
    Mutant(
        "ids_taken_on_faith",
        "an execution id that belongs to another attempt is believed",
        [Swap(RECORD, "if id not in taken}", "if True}")],
        seeds=ROUGH,
    ),
    Mutant(
        "late_answers_are_dropped",
        "an answer that comes after the doubt is thrown away",
        [
            Swap(
                "orchestrator/engine/late_answers.py",
                "    if not named:\n        return frozenset()\n",
                "    if True:\n        return frozenset()\n",
            )
        ],
        tests=[
            "tests/guarantees/test_sent_at_most_once.py"
            "::test_a_worker_that_was_paused_and_taken_for_dead_settles_its_own_doubt_by_its_answer",
            "tests/engine/test_late_and_paused.py",
        ],
    ),
    Mutant(
        "no_send_deadline",
        "a worker that slept for ten minutes sends what it claimed before",
        [
            Swap(
                HTTP, "        if self._send_by is not None and self._monotonic() > self._send_by:", "        if False:"
            )
        ],
        seeds=ROUGH,
        tests=["tests/providers/test_script.py"],
    ),
    Mutant(
        "outage_goes_on",
        "the breaker never opens, so that an outage doubts everything",
        [
            Swap(
                "orchestrator/domain/breaker.py",
                "Breaker(state=BreakerState.OPEN, probe_at=now",
                "Breaker(state=BreakerState.CLOSED, probe_at=now",
            )
        ],
        seeds=ROUGH,
        tests=["tests/unit"],
    ),
    Mutant(
        "doubt_frees_its_slot",
        "a launch in doubt holds no slot",
        [
            Swap(
                CHANGES,
                "            WHEN v.state = 'in_doubt' OR (v.state = 'left'",
                "            WHEN (v.state = 'left'",
            )
        ],
        seeds=ROUGH,
        tests=["tests/engine"],
    ),
)

READING = (
    Mutant(
        "redirects_are_followed",
        "a call goes where a redirect points, with the key and the body",
        [
            Swap(
                HTTP,
                "                response = await transport.handle_async_request(request)\n",
                "                response = await transport.handle_async_request(request)\n"
                "                while response.has_redirect_location:\n"
                "                    await response.aclose()\n"
                '                    call = replace(call, url=response.headers["location"])\n'
                "                    request = self._request(call, timeouts, witness)\n"
                "                    response = await transport.handle_async_request(request)\n",
            ),
        ],
        seeds=ROUGH,
    ),
    Mutant(
        "reset_is_not_sent",
        "a connection that broke while waiting for the answer counts as not sent",
        [
            Swap(OUTCOMES, "httpx.ReadError: Failure(OutcomeUnknown,", "httpx.ReadError: Failure(NotSent,"),
            Swap(
                OUTCOMES,
                "        return OutcomeUnknown if meaning is NotSent and was_written else meaning\n",
                "        return meaning\n",
            ),
        ],
        seeds=ROUGH,
        tests=["tests/providers/test_outcomes.py"],
    ),
    Mutant(
        "timeout_is_not_sent",
        "no answer in time counts as not sent",
        [
            Swap(OUTCOMES, "httpx.ReadTimeout: Failure(OutcomeUnknown,", "httpx.ReadTimeout: Failure(NotSent,"),
            Swap(
                OUTCOMES,
                "        return OutcomeUnknown if meaning is NotSent and was_written else meaning\n",
                "        return meaning\n",
            ),
        ],
        seeds=ROUGH,
        tests=["tests/providers/test_outcomes.py"],
    ),
    Mutant(
        "server_error_is_not_sent",
        "a 5xx to a launch counts as not sent",
        [
            Swap(
                OUTCOMES,
                'StatusRule(500, 999, OutcomeUnknown, OutcomeUnknown, "it may',
                'StatusRule(500, 999, Misbehaved, Misbehaved, "it may',
            )
        ],
        seeds=ROUGH,
    ),
    Mutant(
        "refusal_is_a_doubt",
        "a refused connection makes a doubt",
        [Swap(OUTCOMES, "httpx.ConnectError: Failure(NotSent,", "httpx.ConnectError: Failure(OutcomeUnknown,")],
        seeds=ROUGH,
    ),
    Mutant(
        "retry_after_is_ignored",
        "a 429's Retry-After does not stop the lane",
        [
            Swap(
                DECIDE,
                "            return replace(decision, lane_blocked_until=now + timedelta(seconds=wait_s or 0))",
                "            return decision",
            )
        ],
        tests=["tests/unit/test_launch_decisions.py", "tests/engine/test_launching.py"],
        seeds=ROUGH,
    ),
)
