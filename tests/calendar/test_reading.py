"""What people write becomes a rhythm, or is refused with the place and the reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from orchestrator.domain.calendar.patterns import MACROS
from orchestrator.domain.calendar.reading import read_rhythm
from orchestrator.domain.calendar.rhythms import Rhythm
from orchestrator.errors import BadInput

ANCHOR = datetime(2025, 1, 1, tzinfo=UTC)


def read(cron: str | None = None, *, every: str | None = None, zone: str = "Europe/Berlin") -> Rhythm:
    return read_rhythm(cron=cron, every=every, zone=zone, anchor=ANCHOR)


@pytest.mark.parametrize(
    ("cron", "code", "message", "hint"),
    [
        ("", "cron.fields", "five fields (minute, hour, day of month, month, day of week), not 0", "30 2 * * 1-5"),
        ("30 2 * *", "cron.fields", "not 4", "For example"),
        ("0 30 2 * * *", "cron.fields", "not 6", "Seconds are not taken"),
        ("0 30 2 * * * 2025", "cron.fields", "not 7", "Seconds and years"),
        ("0 0 * * * " + "1," * 50 + "1", "cron.too_long", "at most 100 characters", ""),
        ("@reboot", "cron.macro", "@reboot is not taken: there is no start", "@hourly, @daily, @weekly"),
        ("@often", "cron.macro", "@often is not taken: it is not known", "@yearly"),
        ("60 2 * * *", "cron.field", "the minute '60' does not read", "0-59"),
        ("30 24 * * *", "cron.field", "the hour '24' does not read", "0-23"),
        ("30 2 0 * *", "cron.field", "the day of month '0' does not read", "1-31"),
        ("30 2 * 13 *", "cron.field", "the month '13' does not read", "JAN-DEC"),
        ("30 2 * * 8", "cron.field", "the day of week '8' does not read", "0 and 7 are Sunday"),
        ("30 2 * * FRI-MON", "cron.field", "the day of week 'FRI-MON' does not read", "ranges upwards"),
        ("30 2 ? * MON", "cron.field", "the day of month '?' does not read", "1-31"),
        ("H 2 * * *", "cron.field", "the minute 'H' does not read", "0-59"),
        ("*/0 2 * * *", "cron.field", "the minute '*/0' does not read", "steps"),
        ("٣ 2 * * *", "cron.field", "the minute '٣' does not read", "0-59"),
        ("0 0 30 2 *", "cron.never", "this never fires", "L in the day's field"),
        ("0 0 31 4,6,9,11 *", "cron.never", "this never fires", "L in"),
        ("*/90 * * * *", "cron.step", "steps by 90, but there are only 60 of them", "--every"),
        ("0 */36 * * *", "cron.step", "steps by 36, but there are only 24 of them", "--every"),
        ("0 0 * 2 MON#5", "cron.rare", "fires first on 2044-02-28, more than 10 years", "the day of week"),
    ],
)
def test_what_is_no_cron_expression_is_refused_with_the_field_and_the_reason(
    cron: str, code: str, message: str, hint: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        read(cron)
    assert (refusal.value.code, refusal.value.problems[0].field) == (code, "cron")
    assert message in refusal.value.message
    assert hint in (refusal.value.hint or "")


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("utc", "UTC"),
        ("Mars/Olympus_Mons", ""),
        ("../../etc/passwd", ""),
        ("/usr/share/zoneinfo/UTC", ""),
        ("posix/Europe/Berlin", ""),
        ("right/Europe/Berlin", ""),
        ("localtime", ""),
        ("Factory", ""),
        ("posixrules", ""),
        ("", ""),
        ("UTC+2", ""),
        ("x" * 5000, ""),
        ("Europe/Berlin\x00", ""),
    ],
)
def test_only_known_zones_are_taken_and_near_ones_are_named(zone: str, near: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read("30 2 * * *", zone=zone)
    assert (refusal.value.code, refusal.value.problems[0].field) == ("zone.unknown", "zone")
    assert near in (refusal.value.hint or "")
    assert len(refusal.value.message) < 200


@pytest.mark.parametrize(
    ("every", "code"),
    [
        *(("", "every.syntax"), ("6", "every.syntax"), ("six hours", "every.syntax"), ("-6h", "every.syntax")),
        *(("1.5h", "every.syntax"), ("6H", "every.syntax"), ("6h30m", "every.syntax"), ("1y", "every.syntax")),
        *(("9" * 5000 + "h", "every.syntax"), ("٣h", "every.syntax")),
        *(("0s", "every.range"), ("30s", "every.range"), ("59s", "every.range"), ("0d", "every.range")),
        *(("367d", "every.range"), ("53w", "every.range"), ("999999999d", "every.range")),
    ],
)
def test_an_interval_is_one_number_and_one_unit_between_a_minute_and_a_year(every: str, code: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read(every=every)
    assert (refusal.value.code, refusal.value.problems[0].field) == (code, "every")
    assert len(refusal.value.message) < 200


@pytest.mark.parametrize(
    ("every", "seconds"),
    [("60s", 60), ("90m", 5400), ("6h", 21600), ("6 h", 21600), ("1d", 86400), ("2w", 1209600), ("366d", 31622400)],
)
def test_an_interval_is_read_in_seconds(every: str, seconds: int) -> None:
    assert read(every=every) == Rhythm(cron=None, every_s=seconds, zone="Europe/Berlin", anchor=ANCHOR)


@pytest.mark.parametrize(("cron", "every"), [(None, None), ("30 2 * * *", "6h")])
def test_a_schedule_has_exactly_one_of_the_two(cron: str | None, every: str | None) -> None:
    with pytest.raises(BadInput, match="interval") as refusal:
        read(cron, every=every)
    assert refusal.value.code == "schedule.rhythm"


@pytest.mark.parametrize(("macro", "fields"), list(MACROS.items()))
def test_a_name_for_an_expression_is_written_out(macro: str, fields: str) -> None:
    assert read(macro).cron == read(f" {macro.upper()} ").cron == fields


def test_fields_stand_one_space_apart_and_the_anchor_is_in_utc() -> None:
    there = datetime(2025, 1, 1, 3, tzinfo=timezone(timedelta(hours=3)))
    rhythm = read_rhythm(cron="  30\t2 *  * mon-fri ", every=None, zone="UTC", anchor=there)
    assert rhythm == Rhythm(cron="30 2 * * mon-fri", every_s=None, zone="UTC", anchor=ANCHOR)
    assert rhythm.anchor.utcoffset() == timedelta(0)


@pytest.mark.parametrize("cron", ["0 0 29 2 *", "0 0 30,L 2 *", "0 0 30 2 MON", "* * * * *", "*/60 */24 * * *"])
def test_what_is_rare_or_frequent_but_meant_is_taken(cron: str) -> None:
    assert read(cron).cron == cron
