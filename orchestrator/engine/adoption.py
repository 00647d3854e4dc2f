"""Before an execution is adopted: whether what a person named can be one, and whether the provider knows it.

A typing error would be a lost run: the wrong id is watched until it is `provider_lost`, the right one by nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from orchestrator.domain.answers import Access
from orchestrator.engine import budgeted, heard
from orchestrator.engine.deps import Deps
from orchestrator.errors import BadInput, Gone, Problem, ProviderError, Unavailable
from orchestrator.storage.doubts import DoubtPlace

#: Executions of one adoption that are looked at: each look costs a request of the lane's budget.
MAX_LOOKS = 20

MAX_ID_CHARS = 200
#: What would change the path of the look, or make it another.
_UNFIT = frozenset(" /\\?#%")

_SKIP = "to adopt unseen: --no-verify"


def check_ids(ids: Mapping[str, str]) -> None:
    """Refuse ids that can be no execution's, or that stand twice.

    Args:
        ids: by the field that they stand in, for the problems.
    """
    problems: list[Problem] = []
    first: dict[str, str] = {}
    for field, id_ in ids.items():
        if not _can_be_id(id_):
            message = (
                f"an execution id has 1 to {MAX_ID_CHARS} printable characters, none of them a space or / \\ ? # %"
            )
            problems.append(Problem(message=message, code="execution_malformed", field=field))
        elif id_ in first:
            message = f"{id_} stands at {first[id_]} already"
            problems.append(Problem(message=message, code="execution_twice", field=field))
        else:
            first[id_] = field
    refuse(problems)


def refuse(problems: list[Problem]) -> None:
    """Raise `BadInput` if there are problems; nothing was settled."""
    if problems:
        raise BadInput(f"nothing was settled: {problems[0]}", code=problems[0].code, problems=problems)


async def verify(deps: Deps, place: DoubtPlace, ids: Mapping[str, str]) -> int:
    """Look at executions that are to be adopted; of more than `MAX_LOOKS` at some, spread evenly. Returns at how many.

    Raises:
        BadInput: the provider does not know one of them, in this workflow.
        Unavailable: it could not be asked.
    """
    access = deps.access(
        connection_id=place.connection_id,
        base_url=place.base_url,
        api_key=place.api_key,
        api_version=place.api_version,
    )
    looked = list(ids)[:: -(-len(ids) // MAX_LOOKS)]
    failures = await asyncio.gather(*(_look(deps, place, access, ids[field]) for field in looked))
    refuse(
        [
            Problem(
                message=f"the provider knows no execution {ids[field]} of workflow {place.remote_workflow_id}; {_SKIP}",
                code="execution_unknown",
                field=field,
            )
            for field, failure in zip(looked, failures, strict=True)
            if isinstance(failure, Gone)
        ]
    )
    for failure in failures:
        if failure is not None:
            raise Unavailable(
                f"the executions could not be looked at before they are adopted: {failure.message}",
                code="not_verified",
                hint=f"try again when the provider answers; {_SKIP}",
                retry_after_s=60,
            )
    return len(looked)


async def _look(deps: Deps, place: DoubtPlace, access: Access, execution_id: str) -> ProviderError | Unavailable | None:
    """Return what went wrong, None when the provider knows the execution."""
    provider = deps.provider(place.provider)
    try:
        await budgeted.call(
            deps,
            place.lane_id,
            lambda: provider.observe(access, place.remote_workflow_id, execution_id),
            ears=heard.ears(place.provider, place.connection_id),
        )
    except (ProviderError, Unavailable) as error:
        return error
    return None


def _can_be_id(id_: str) -> bool:
    return 0 < len(id_) <= MAX_ID_CHARS and id_.isprintable() and not _UNFIT & set(id_) and id_ not in (".", "..")
