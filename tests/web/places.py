"""Every page, by name: the tests of all pages and the pictures take their paths from here. A new page is added here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.web.product import Product

#: What stands in braces are names of `Product.ids`.
PAGES: Mapping[str, str] = {
    "overview": "/",
    "runs": "/runs",
    "runs-filtered": "/runs?status=error&label=env%3Dprod",
    "runs-empty": "/runs?workflow=nothing",
    "run-failed": "/runs/{failed}",
    "run-finished": "/runs/{finished}?preview=0",
    "run-hostile": "/runs/{hostile}?preview=0",
    "run-hostile-failed": "/runs/{failed too}",
    "run-human": "/runs/{human}",
    "run-doubt": "/runs/{doubt}",
    "run-processing": "/runs/{processing}",
    "run-new": "/runs/new?connection=main&workflow={scored}",
    "run-new-hostile": "/runs/new?connection=main&workflow={hostile workflow}",
    "operations": "/operations",
    "operation": "/operations/{operation}",
    "batches": "/batches",
    "batches-empty": "/batches?workflow=nothing",
    "batch": "/batches/{batch}",
    "batch-failed": "/batches/{batch}?status=error,result_lost#rows",
    "batch-hostile": "/batches/{wave batch}",
    "batch-new": "/batches/new",
    "batch-draft": "/batches/new/{draft}",
    "batch-draft-refused": "/batches/new/{draft refused}",
    "inbox": "/inbox",
    "inbox-empty": "/inbox?kind=overdue",
    "question-human": "/inbox/{question human}",
    "question-doubt": "/inbox/{question doubt}",
    "question-wave": "/inbox/{question wave}",
    "question-hostile": "/inbox/{question doubt too}",
    "schedules": "/schedules",
    "schedule": "/schedules/nightly",
    "schedule-paused": "/schedules/paused",
    "schedule-new": "/schedules/-new",
    "schedule-edit": "/schedules/nightly/edit",
    "connections": "/connections",
    "connection": "/connections/main",
    "connection-troubled": "/connections/troubled",
    "connection-hostile": "/connections/waved",
    "workflow": "/connections/main/workflows/{free}",
    "workflow-schema": "/connections/main/workflows/{scored}",
    "workflow-hostile": "/connections/main/workflows/{hostile workflow}",
    "reports": "/reports",
    "report": "/reports/one?kind=batch&batch={batch}",
    "report-hostile": "/reports/one?kind=batch&batch={wave batch}",
    "audit": "/audit",
    "system": "/system",
    "settings": "/system/settings",
    "tokens": "/tokens",
    "webhooks": "/webhooks",
    "webhook": "/webhooks/ops",
    "codes": "/codes",
    "code": "/codes/in_doubt",
    "not-found": "/nowhere",
}


def path(made: Product, name: str) -> str:
    """Return where a page is in a world."""
    return PAGES[name].format(**made.ids)
