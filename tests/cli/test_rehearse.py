"""`orchestrator rehearse` over a running API, and the times that it takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.cli.wall_times import Times, moment, outage, zone
from orchestrator.errors import BadInput
from tests.cli.conftest import Cli, Product

SCORE = "Score customer"
BERLIN = zone("Europe/Berlin")
EVENING = datetime(2026, 3, 10, 21, 30, tzinfo=UTC)  # 22:30 there


def at(text: str, *, after: datetime = EVENING) -> str:
    """Return the moment that is meant, in UTC."""
    return moment(text, after=after, local=BERLIN, option="--start").astimezone(UTC).isoformat()


def rehearse(product: Product, *more: str) -> tuple[str, ...]:
    """Return the arguments of a rehearsal."""
    return ("rehearse", "-", "--workflow", product.sandbox.workflows[SCORE], "--connection", "main", *more)


def items(count: int) -> bytes:
    """Return a file of so many rows."""
    return b"customer_id\n" + b"".join(b"r-%d\n" % n for n in range(count))


def test_a_time_of_day_is_the_next_such_time_and_an_iso_time_is_itself() -> None:
    assert at("23:00") == "2026-03-10T22:00:00+00:00"
    assert at("22:00") == "2026-03-11T21:00:00+00:00"
    assert at("7:00") == "2026-03-11T06:00:00+00:00"
    assert at("2026-03-12T07:00") == "2026-03-12T06:00:00+00:00"
    assert at("2026-03-12T07:00:00Z") == "2026-03-12T07:00:00+00:00"


def test_a_night_in_which_clocks_change_is_as_long_as_it_is() -> None:
    before = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)  # 23:00; at 02:00 it becomes 03:00
    assert at("07:00", after=before) == "2026-03-29T05:00:00+00:00"
    autumn = datetime(2026, 10, 24, 21, 0, tzinfo=UTC)  # 23:00; at 03:00 it becomes 02:00
    assert at("07:00", after=autumn) == "2026-10-25T06:00:00+00:00"


def test_an_outage_past_midnight_is_that_of_the_same_night_and_one_that_is_on_counts() -> None:
    begins, lasts = outage("02:00+45m", start=EVENING, local=BERLIN)
    assert (begins.astimezone(UTC).isoformat(), lasts) == ("2026-03-11T01:00:00+00:00", timedelta(minutes=45))
    begins, _ = outage("22:15+30m", start=EVENING, local=BERLIN)
    assert begins < EVENING
    begins, _ = outage("23:50+2h", start=datetime(2026, 3, 10, 23, 30, tzinfo=UTC), local=BERLIN)
    assert begins.astimezone(UTC).isoformat() == "2026-03-10T22:50:00+00:00"
    begins, lasts = outage("2026-03-11T02:00+01:00+1h", start=EVENING, local=BERLIN)
    assert (begins.astimezone(UTC).isoformat(), lasts) == ("2026-03-11T01:00:00+00:00", timedelta(hours=1))


@pytest.mark.parametrize("text", ["02:00", "02:00+", "02:00+0m", "25:00+5m", "02:00+20d", "2020-01-01T00:00+1h", "+5m"])
def test_what_is_no_outage_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        outage(text, start=EVENING, local=BERLIN)


def test_the_end_lies_after_the_start_whichever_day_that_is() -> None:
    times = Times.read("23:00", "07:00", ["02:00+45m"], zone_name="Europe/Berlin", now=EVENING)
    assert times.finish_by is not None
    assert times.start < times.outages[0][0] < times.outages[0][1] < times.finish_by
    assert times.finish_by - times.start == timedelta(hours=8)
    with pytest.raises(BadInput, match="before the start"):
        Times.read("23:00", "2026-03-01T00:00", [], zone_name="Europe/Berlin", now=EVENING)
    with pytest.raises(BadInput, match="no time zone"):
        Times.read(None, None, [], zone_name="Moon/Base", now=EVENING)


def test_a_rehearsal_tells_when_it_ends_what_binds_and_what_plain_backoff_does_and_stores_nothing(
    cli: Cli, product: Product
) -> None:
    before = len(cli("batch", "list", "-o", "json").json)
    said = cli(
        *rehearse(product, "--start", "22:00", "--tz", "Europe/Berlin", "--finish-by", "23:59", "--plays", "5"),
        *("--outage", "22:01+1m", "-o", "json"),
        stdin=items(12),
    )
    assert said.code == 0, said.err
    found = said.json
    assert found["runs"] == 12
    assert found["plays"] == 5
    assert 0 < found["finish_p50_s"] <= found["finish_p90_s"]
    assert found["starts_at"] < found["finish_p50_at"] <= found["finish_p90_at"]
    assert found["finish_by"]["p90_makes_it"] is True
    assert found["bound_by"] in ("slots", "rate")
    assert sum(found["time_shares"].values()) == pytest.approx(1.0)
    assert found["requests"] == found["launches"] + found["looks"] >= 12
    assert found["plain_backoff"]["requests"] >= 13
    assert len(found["outages"]) == 1
    assert len(cli("batch", "list", "-o", "json").json) == before


def test_a_batch_that_does_not_make_it_has_exit_code_1_and_the_same_answer_each_time(
    cli: Cli, product: Product
) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    late = (datetime.now(UTC) + timedelta(minutes=10, seconds=1)).isoformat()
    arguments = rehearse(product, "--start", soon, "--finish-by", late, "--plays", "3", "--wave-size", "1")
    first, second = (cli(*arguments, stdin=items(8)) for _ in range(2))
    assert first.code == second.code == 1
    assert first.out == second.out
    assert "not safely" in first.out
    assert "Plain backoff" in first.out


def test_a_bad_row_is_named_as_a_dry_run_names_it_and_a_bad_time_is_exit_code_2(
    cli: Cli, product: Product, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("customer_id,amount\nx,much\n")
    workflow = ("--workflow", product.sandbox.workflows[SCORE], "--connection", "main")
    said = cli("rehearse", path, *workflow)
    assert said.code == 2
    assert "amount" in said.err
    path.write_text("customer_id\nx\n")
    for option, value in (("--start", "half past"), ("--outage", "02:00"), ("--finish-by", "24:30"), ("--tz", "Nope")):
        said = cli("rehearse", path, *workflow, option, value)
        assert said.code == 2, (option, said.out)
        assert value in said.err


def test_one_run_is_one_run(cli: Cli, product: Product) -> None:
    said = cli(*rehearse(product, "--plays", "2"), stdin=items(1))
    assert said.out.splitlines()[1].startswith("1 run as one wave, "), said.out
