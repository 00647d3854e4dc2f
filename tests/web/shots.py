"""Takes a picture of every page, wide and narrow, light and dark: `python -m tests.web.shots DIR`.

Those of the documentation: `python -m tests.web.shots --docs docs/screenshots`.
"""

from __future__ import annotations

import argparse
import base64
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from playwright.sync_api import Browser, sync_playwright

from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.storage.migrate import migrate
from tests.web import docs_world
from tests.web.browsing import launched, signed_in
from tests.web.places import PAGES, path
from tests.web.product import Product, product

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")

#: name -> where (names of `Product.ids` in braces), how wide, which theme.
DOCS: Mapping[str, tuple[str, int, str]] = {
    "overview": ("/", 1280, "light"),
    "overview-dark": ("/", 1280, "dark"),
    "overview-narrow": ("/", 390, "light"),
    "runs": ("/runs", 1280, "light"),
    "run": ("/runs/{done}", 1280, "light"),
    "batch": ("/batches/{batch}", 1280, "light"),
    "new-batch": ("/batches/new/{draft}", 1280, "light"),
    "doubt": ("/inbox/{question doubt}", 1280, "light"),
    "schedule": ("/schedules/nightly-statements", 1280, "light"),
    "connection-dark": ("/connections/billing", 1280, "dark"),
}
MAX_PICTURE = 150_000
TO_WEBP = """async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/webp", 0.85);
}"""


def take(browser: Browser, made: Product, folder: Path) -> int:
    """Take the pictures; return how many."""
    taken = 0
    for width in WIDTHS:
        for scheme in SCHEMES:
            with signed_in(browser, made, width=width, scheme=scheme) as view:
                for name in PAGES:
                    view.goto(made.url + path(made, name))
                    view.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
                    taken += 1
            outside = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
            view = outside.new_page()
            view.goto(made.url + "/sign-in")
            view.screenshot(path=folder / f"sign-in-{width}-{scheme}.png", full_page=True)
            outside.close()
            taken += 1
    return taken


def take_docs(browser: Browser, made: Product, folder: Path) -> int:
    """Take the pictures of the documentation: what a screen shows, and no more of it."""
    for name, (there, width, scheme) in DOCS.items():
        with signed_in(browser, made, width=width, scheme=scheme) as view:
            view.goto(made.url + there.format(**made.ids))
            view.wait_for_load_state("networkidle")
            picture = _smaller(browser, view.screenshot())
        assert len(picture) <= MAX_PICTURE, f"{name} has {len(picture):,} bytes: too many for every clone"
        (folder / f"{name}.webp").write_bytes(picture)
    return len(DOCS)


def _smaller(browser: Browser, png: bytes) -> bytes:
    """Return a picture as WebP, which has half the bytes and which Chromium can write."""
    view = browser.new_page()
    told = view.evaluate(TO_WEBP, "data:image/png;base64," + base64.b64encode(png).decode())
    view.close()
    return base64.b64decode(told.partition(",")[2])


def main(folder: Path, *, for_docs: bool) -> None:
    """Start a product, take the pictures, stop it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    folder.mkdir(parents=True, exist_ok=True)
    world: dict[str, Any] = {"names": docs_world.CONNECTIONS, "fill": docs_world.fill} if for_docs else {}
    with tempfile.TemporaryDirectory() as temporary:
        postgres = EmbeddedPostgres(Path(temporary) / "postgres", durable=False)
        postgres.start()
        try:
            migrate(postgres.dsn())
            with (
                product(postgres.dsn(), Path(temporary) / "data", **world) as made,
                sync_playwright() as playwright,
                launched(playwright) as browser,
            ):
                print((take_docs if for_docs else take)(browser, made, folder), "pictures in", folder)
        finally:
            postgres.stop(mode="immediate")


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--docs", action="store_true", help="the few of the documentation, of a world as users have it")
    given = asked.parse_args()
    main(given.folder, for_docs=given.docs)
