"""What may be asked of a submission, beside its rows: levels, sizes, names, labels, failure rules."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.domain.intake import refusal
from orchestrator.domain.intake.rows import Intake
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput
from orchestrator.storage.sealing import Sealer

MAX_LABELS = 32


def check_level(level: str, levels: Mapping[str, int]) -> None:
    """Raise `BadInput` for a level of concurrency that the provider does not know."""
    if levels and level not in levels:
        raise BadInput(f"concurrency is one of {', '.join(levels)}, not {level!r}", code="field.value")


def check_wave_size(size: int | None, max_items: int) -> None:
    """Raise `BadInput` for a wave that the provider would not take."""
    if size is not None and not 1 <= size <= max(max_items, 1):
        raise BadInput(f"the wave size lies between 1 and {max_items}", code="field.range")


def check_name(name: str | None) -> None:
    """Raise `BadInput` for a batch's name that could not be shown."""
    if name is not None and (len(name) > 200 or not name.isprintable()):
        raise BadInput("a batch's name is at most 200 printable characters", code="field.value")


def check_external_id(external_id: str | None) -> None:
    """Raise `BadInput` for an external id that could not be shown, or found again."""
    if external_id is not None and not (1 <= len(external_id) <= 200 and external_id.isprintable()):
        raise BadInput("an external id is 1 to 200 printable characters", code="external_id.invalid")


def erased_external_id(sealer: Sealer, who: Who, external_id: str) -> str:
    """Return what stands in place of the external id of something erased: a keyed hash, so that a repeat is known."""
    return f"erased:{sealer.fingerprint('external_id', str(who.workspace_id), external_id)[:32]}"


def known_as(sealer: Sealer, who: Who, external_id: str) -> tuple[str, str]:
    """Return how an external id may be stored: as it is, or as that of something erased."""
    return external_id, erased_external_id(sealer, who, external_id)


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise `BadInput` for labels that are too many or too long."""
    if len(labels) > MAX_LABELS:
        raise BadInput(f"a run takes at most {MAX_LABELS} labels", code="field.range")
    for key, value in labels.items():
        if not (1 <= len(key) <= 63 and len(value) <= 255 and key.isprintable() and value.isprintable()):
            raise BadInput(
                f"label {key[:63]!r}: keys are 1 to 63 printable characters, values at most 255", code="field.value"
            )


def max_failures(text: str | None) -> tuple[int | None, float | None]:
    """Read `5` or `10%`: a count, or a share in percent."""
    if text is None:
        return None, None
    number = text.removesuffix("%")
    if not number.isascii() or not number.isdigit() or len(number) > 6:
        raise BadInput(f"max-failures is a count (5) or a share (10%), not {text!r}", code="field.value")
    if number == text:
        return int(number), None
    if int(number) > 100:
        raise BadInput("a share of failures is at most 100%", code="field.range")
    return None, float(number)


def refuse(intake: Intake, *, skip_invalid: bool) -> None:
    """Raise `BadInput` for a file with bad rows, or, if those may be left out, for one without a good one."""
    error = refusal.refusal(intake)
    if error is None:
        return
    if not skip_invalid:
        raise error
    if not intake.rows:
        raise BadInput("no row of the file is good", code=error.code, problems=error.problems)
