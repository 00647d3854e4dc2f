"""A browser lives with the pages: nothing of anybody's runs, axe finds nothing, focus stays, keys work."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.web.browsing import signed_in
from tests.web.product import Product
from tests.web.shots import pages
from tests.web.test_sign_in import link_of

#: The picture's list names an operation that is made there.
PLACES = (
    "overview",
    "runs",
    "runs-empty",
    "run-failed",
    "run-finished",
    "run-hostile",
    "run-doubt",
    "operations",
    "run-new",
    "batches",
    "batch",
    "batch-new",
    "batch-draft",
    "connections",
    "connection-troubled",
    "workflow-schema",
    "reports",
    "report",
    "audit",
    "system",
    "settings",
    "tokens",
    "webhook",
    "codes",
    "code",
    "inbox",
    "question-human",
    "question-doubt",
    "question-wave",
    "schedules",
    "schedule",
    "schedule-new",
    "not-found",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_no_script_of_anybody_runs(browser: Browser, made: Product, scheme: str) -> None:
    with signed_in(browser, made, scheme=scheme) as view:
        told: list[str] = []
        view.on("console", lambda message: told.append(message.text))
        for name in PLACES:
            view.goto(made.url + pages(made)[name])
            found = Axe().run(view)
            assert found.violations_count == 0, f"{name} {scheme}\n{found.generate_report()}"
            assert view.evaluate("window.pwned") is None
            assert not view.evaluate("document.documentElement.scrollWidth > innerWidth"), f"{name} is too wide"
        assert not [text for text in told if "Content Security Policy" in text or "Error" in text]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_at_the_door(browser: Browser, made: Product, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    view = context.new_page()
    view.goto(made.url + "/sign-in")
    found = Axe().run(view)
    context.close()
    assert found.violations_count == 0, found.generate_report()


def test_a_narrow_screen_shows_everything_without_scrolling_sideways(browser: Browser, made: Product) -> None:
    with signed_in(browser, made, width=390) as view:
        for name in PLACES:
            view.goto(made.url + pages(made)[name])
            assert not view.evaluate("document.documentElement.scrollWidth > innerWidth"), f"{name} is too wide"
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
    view.goto(made.url + pages(made)["report"])
    expect(view.locator("section", has_text="Control totals").locator(".badge.good").first).to_have_text("adds up")
    expect(view.get_by_role("link", name="Open the report")).to_be_visible()
    found = Axe().run(view)
    assert found.violations_count == 0, found.generate_report()


def test_a_paused_page_does_not_look(view: Page, made: Product) -> None:
    view.goto(made.url + "/runs")
    view.click("text=Pause")
    expect(view.locator("text=Go live")).to_be_visible()
    assert view.evaluate("document.documentElement.dataset.live") == "off"


def test_by_keys_alone_a_failed_run_is_found_opened_and_retried(view: Page, made: Product) -> None:
    view.goto(made.url + "/")
    view.keyboard.press("g")
    view.keyboard.press("r")
    view.wait_for_url("**/runs")
    view.keyboard.press("/")
    view.keyboard.insert_text("invoice-2026-0004")
    view.keyboard.press("Enter")
    view.wait_for_url("**external_id**")
    view.keyboard.press("j")
    view.keyboard.press("Enter")
    view.wait_for_url(f"**/runs/{made.ids['by keys']}")
    view.locator("#act-retry summary").focus()
    view.keyboard.press("Enter")
    view.keyboard.press("Tab")
    view.keyboard.insert_text("by keys")
    view.keyboard.press("Tab")
    view.keyboard.press("Enter")
    expect(view.locator(".said")).to_contain_text("Queued again")
    view.keyboard.press("?")
    expect(view.locator("#keys")).to_be_visible()


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


def test_a_file_with_a_bad_row_becomes_a_batch(view: Page, made: Product) -> None:
    rows = b"customer_id,amount,sandbox\nb-1,1,files=0\nb-2,much,files=0\nb-3,3,files=0\n"
    view.goto(made.url + "/batches")
    view.click("text=New batch")
    view.select_option("#workflow", made.sandbox.workflows["Score customer"])
    view.set_input_files("#file", {"name": "by browser.csv", "mimeType": "text/csv", "buffer": rows})
    view.click("text=Look at it")
    expect(view.locator(".verdict")).to_contain_text("1 of 3 rows is bad")
    view.fill("#name", "By browser")
    view.check("input[name=skip_invalid]")
    view.click("text=Start 2 runs")
    expect(view.locator(".said")).to_contain_text("Started: 2 runs. 1 bad row was left out.")
    expect(view.locator("h1")).to_have_text("By browser")
    expect(view.locator(".lead")).to_contain_text("All 2 runs finished.", timeout=20_000)
