"""Takes a picture of every page, wide and narrow, light and dark: `python -m tests.web.shots DIR`."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import structlog
from playwright.sync_api import Browser, sync_playwright

from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.storage.migrate import migrate
from tests.web.browsing import launched, signed_in
from tests.web.product import Product, product

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")


def pages(made: Product) -> dict[str, str]:
    """Return every page that is worth a picture: its name and its path. A new page is added here."""
    ids = made.ids
    return {
        "overview": "/",
        "runs": "/runs",
        "runs-filtered": "/runs?status=error&label=env%3Dprod",
        "runs-empty": "/runs?workflow=nothing",
        "run-failed": f"/runs/{ids['failed']}",
        "run-finished": f"/runs/{ids['finished']}?preview=0",
        "run-hostile": f"/runs/{ids['hostile']}",
        "run-human": f"/runs/{ids['human']}",
        "run-doubt": f"/runs/{ids['doubt']}",
        "run-processing": f"/runs/{ids['processing']}",
        "operations": "/operations",
        "run-new": f"/runs/new?connection=main&workflow={made.sandbox.workflows['Score customer']}",
        "batches": "/batches",
        "batches-empty": "/batches?workflow=nothing",
        "batch": f"/batches/{ids['batch']}",
        "batch-failed": f"/batches/{ids['batch']}?status=error,result_lost#rows",
        "batch-new": "/batches/new",
        "batch-draft": f"/batches/new/{ids['draft']}",
        "batch-draft-refused": f"/batches/new/{ids['draft refused']}",
        "operation": f"/operations/{ids.get('operation', '')}",
        "connections": "/connections",
        "connection": "/connections/main",
        "connection-troubled": "/connections/troubled",
        "workflow": f"/connections/main/workflows/{made.sandbox.workflows['Free form']}",
        "workflow-schema": f"/connections/main/workflows/{next(iter(made.sandbox.workflows.values()))}",
        "reports": "/reports",
        "report": f"/reports/one?kind=batch&batch={ids['batch']}",
        "audit": "/audit",
        "system": "/system",
        "settings": "/system/settings",
        "tokens": "/tokens",
        "webhooks": "/webhooks",
        "webhook": "/webhooks/ops",
        "codes": "/codes",
        "code": "/codes/in_doubt",
        "inbox": "/inbox",
        "inbox-empty": "/inbox?kind=overdue",
        "question-human": f"/inbox/{ids['question human']}",
        "question-doubt": f"/inbox/{ids['question doubt']}",
        "question-wave": f"/inbox/{ids['question wave']}",
        "schedules": "/schedules",
        "schedule": "/schedules/nightly",
        "schedule-paused": "/schedules/paused",
        "schedule-new": "/schedules/-new",
        "schedule-edit": "/schedules/nightly/edit",
        "not-found": "/nowhere",
    }


def take(browser: Browser, made: Product, folder: Path) -> int:
    """Take the pictures; return how many."""
    taken = 0
    for width in WIDTHS:
        for scheme in SCHEMES:
            with signed_in(browser, made, width=width, scheme=scheme) as view:
                for name, path in pages(made).items():
                    view.goto(made.url + path)
                    view.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
                    taken += 1
            outside = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
            view = outside.new_page()
            view.goto(made.url + "/sign-in")
            view.screenshot(path=folder / f"sign-in-{width}-{scheme}.png", full_page=True)
            outside.close()
            taken += 1
    return taken


def main(folder: Path) -> None:
    """Start a product, take the pictures, stop it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        postgres = EmbeddedPostgres(Path(temporary) / "postgres", durable=False)
        postgres.start()
        try:
            migrate(postgres.dsn())
            with product(postgres.dsn(), Path(temporary) / "data") as made, sync_playwright() as playwright:
                made.ids["operation"] = str(made.client().operations.start("retry", {"status": ["error"]})["id"])
                with launched(playwright) as browser:
                    print(take(browser, made, folder), "pictures in", folder)
        finally:
            postgres.stop(mode="immediate")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
