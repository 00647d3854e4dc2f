"""A browser lives with the pages: nothing of anybody's runs, axe finds nothing, focus stays, keys work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, expect

from tests.web.browsing import signed_in
from tests.web.places import PAGES, path
from tests.web.product import Product
from tests.web.test_sign_in import link_of

#: What is told by colour differs between the themes; the rest of a page is one and the same.
BY_COLOUR = {"runOnly": ["color-contrast", "link-in-text-block"]}
LISTEN = """addEventListener("securitypolicyviolation", (event) => console.error("policy", event.violatedDirective));"""


@pytest.fixture(scope="module")
def watched(browser: Browser, made: Product) -> Iterator[tuple[Page, list[str]]]:
    """A signed-in page, and what scripts of nobody's would have done in it: asked, complained, fetched."""
    told: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        told.append(dialog.message)
        dialog.dismiss()

    with signed_in(browser, made) as view:
        view.add_init_script(LISTEN)
        view.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
        view.on("pageerror", lambda error: told.append(str(error)))
        view.on("dialog", dismissed)
        view.on("request", lambda request: told.append(request.url) if request.url.endswith("/x") else None)
        yield view, told


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody_fits_and_runs_nobodys_script(
    watched: tuple[Page, list[str]], made: Product, name: str
) -> None:
    view, told = watched
    told.clear()
    view.set_viewport_size({"width": 1280, "height": 800})
    view.emulate_media(color_scheme="light")
    view.goto(made.url + path(made, name))
    found = Axe().run(view)
    assert found.violations_count == 0, f"{name}\n{found.generate_report()}"
    view.emulate_media(color_scheme="dark")
    found = Axe().run(view, options=BY_COLOUR)
    assert found.violations_count == 0, f"{name}, dark\n{found.generate_report()}"
    for width in (1280, 390):
        view.set_viewport_size({"width": width, "height": 800})
        assert not view.evaluate("document.documentElement.scrollWidth > innerWidth"), f"too wide for {width}"
    assert view.evaluate("window.pwned") is None
    assert [text for text in told if "404 (Not Found)" not in text] == []


def test_a_report_that_is_opened_runs_nobodys_script(watched: tuple[Page, list[str]], made: Product) -> None:
    view, told = watched
    told.clear()
    view.goto(f"{made.url}/reports/file?kind=batch&batch={made.ids['wave batch']}")
    expect(view.locator("body")).to_contain_text("<img src=x")
    assert (view.evaluate("window.pwned"), told) == (None, [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_at_the_door(browser: Browser, made: Product, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    view = context.new_page()
    view.goto(made.url + "/sign-in")
    found = Axe().run(view)
    context.close()
    assert found.violations_count == 0, found.generate_report()


def test_a_narrow_screen_has_its_rooms_behind_a_menu(browser: Browser, made: Product) -> None:
    with signed_in(browser, made, width=390) as view:
        view.goto(made.url + "/")
        view.click("a.menu")
        expect(view.locator("#rail a", has_text="Runs")).to_be_visible()


def test_a_look_keeps_focus_and_what_was_ticked(view: Page, made: Product) -> None:
    view.goto(made.url + "/runs?external_id=invoice-2026-0003")
    tick = view.locator(f"#t-{made.ids['failed']}")
    tick.check()
    with view.expect_response(lambda r: r.request.headers.get("hx-request") == "true" and "count" not in r.url):
        view.evaluate("orchAsk()")
    expect(view.locator("#fresh")).to_contain_text("As of")
    assert tick.is_checked()
    assert view.evaluate("document.activeElement.id") == f"t-{made.ids['failed']}"
    expect(view.locator("[data-ticked]")).to_have_text("1 run ticked")


def test_the_totals_of_a_report_come_by_themselves_into_its_page(view: Page, made: Product) -> None:
    view.goto(made.url + path(made, "report"))
    expect(view.locator("section", has_text="Control totals").locator(".badge.good").first).to_have_text("adds up")
    expect(view.get_by_role("link", name="Open the report")).to_be_visible()
    found = Axe().run(view)
    assert found.violations_count == 0, found.generate_report()


def test_a_paused_page_does_not_look(view: Page, made: Product) -> None:
    view.goto(made.url + "/runs")
    view.click("text=Pause")
    expect(view.locator("text=Go live")).to_be_visible()
    assert view.evaluate("document.documentElement.dataset.live") == "off"


def test_a_printed_link_signs_in_by_a_click_and_leaves_no_code_behind(browser: Browser, made: Product) -> None:
    context = browser.new_context()
    view = context.new_page()
    view.goto(f"{made.url}/sign-in#{link_of(made, made.token)}")
    expect(view).to_have_url(f"{made.url}/sign-in")
    view.click("#by-link button")
    expect(view.locator("h1")).to_have_text("Overview")
    context.close()


def test_a_csv_file_fills_the_executions_of_a_wave(view: Page, made: Product) -> None:
    view.goto(made.url + "/inbox")
    view.locator(f"#q-{made.ids['question wave']} a.opens").click()
    view.click("#act-adopt summary")
    expect(view.locator("#file")).to_be_visible()
    content = b"index,execution_id\n3,found-by-hand\n"
    view.set_input_files("#file", {"name": "found.csv", "mimeType": "text/csv", "buffer": content})
    expect(view.locator("#executions")).to_have_value(content.decode())
    with view.expect_response(lambda r: r.request.headers.get("hx-request") == "true"):
        view.evaluate("orchAsk()")
    expect(view.locator("#executions")).to_have_value(content.decode())


def test_a_bulk_retry_runs_from_ticks_to_done(view: Page, made: Product) -> None:
    view.goto(made.url + "/runs?external_id=invoice-2026-0006")
    view.locator("input[name=id]").first.check()
    view.click("text=Preview…")
    view.click("button:has-text('Retry 1 run')")
    expect(view.locator(".said")).to_contain_text("Started for 1 run.")
    expect(view.locator(".lead")).to_contain_text("1 of 1 done", timeout=15_000)
