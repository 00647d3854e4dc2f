"""A clerk's day in a browser, from signing in to signing out; and the same work by keys alone."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.web.product import Product

#: Until a worker has done what it was asked for, and the page has asked again by itself.
PATIENCE_MS = 20_000
ROWS = b"""customer_id,amount,sandbox
c-1,10,files=2; size_bytes=900; filename=statement.json
c-2,much,
c-3,30,outcome=error
c-4,40,files=1; size_bytes=70000; filename=statement.json
"""


@pytest.fixture
def clerk(browser: Browser) -> Iterator[Page]:
    """A browser in which nobody has signed in."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    yield context.new_page()
    context.close()


def test_a_clerks_day_from_signing_in_to_signing_out(clerk: Page, made: Product) -> None:
    doubted = submitted(made, "clerk", "fault=500_after", external_id="clerks-doubt")
    asking = submitted(made, "main", "outcome=human_in_the_loop; human_after_s=0", external_id="clerks-approval")
    sign_in(clerk, made, "/batches")
    batch = start_a_batch_with_a_bad_row(clerk, made)
    watch_it_end(clerk)
    failed = retry_the_failed_row(clerk)
    decide_a_doubt(clerk, made)
    question = look_after_an_approval(clerk, made, asking)
    make_a_schedule(clerk, made)
    open_a_report(clerk, batch)
    see_what_became(clerk, {failed: "Failed after 2 attempts", f"{made.url}/runs/{doubted}": "Finished"})
    see_what_became(clerk, {question: "Settled", f"{made.url}/runs/{asking}": "Finished"})
    compare_the_zip(clerk, made, batch)
    sign_out(clerk, made, batch)


def sign_in(view: Page, made: Product, there: str) -> None:
    view.goto(made.url + there)
    expect(view.locator("h1")).to_have_text("Sign in")
    view.fill("#token", made.token)
    view.click("#by-token button")
    expect(view).to_have_url(made.url + there)


def start_a_batch_with_a_bad_row(view: Page, made: Product) -> str:
    view.get_by_role("link", name="New batch").click()
    view.select_option("#workflow", made.ids["scored"])
    view.set_input_files("#file", {"name": "statements.csv", "mimeType": "text/csv", "buffer": ROWS})
    view.get_by_role("button", name="Look at it").click()
    expect(view.locator(".verdict")).to_contain_text("1 of 4 rows is bad; 3 are good.")
    problem = view.locator("#problems tbody tr")
    expect(problem).to_have_count(1)
    expect(problem.locator("td").nth(0)).to_have_text("2")
    expect(problem).to_contain_text("amount")
    start = view.get_by_role("button", name="Start 3 runs")
    start.click()
    expect(view, "nothing starts before somebody says that bad rows may be left out").to_have_url(view.url)
    view.get_by_label("Leave out the 1 bad row").check()
    view.fill("#name", "The clerk's statements")
    start.click()
    expect(view.locator(".said")).to_have_text("Started: 3 runs. 1 bad row was left out.")
    return view.url.rsplit("/", 1)[1]


def watch_it_end(view: Page) -> None:
    view.evaluate("window.since = 'the same page'")
    expect(view.locator(".lead")).to_contain_text("2 of 3 runs finished; 1 failed.", timeout=PATIENCE_MS)
    assert view.evaluate("window.since") == "the same page", "it lived; nobody loaded it again"


def retry_the_failed_row(view: Page) -> str:
    view.get_by_role("link", name="Only failed").click()
    view.locator("#rows a.opens").click()
    expect(view.locator(".lead")).to_contain_text("Failed")
    expect(view.get_by_text("What to do:")).to_be_visible()
    view.locator("#act-retry > summary").click()
    view.fill("#why-retry", "the customer has called")
    view.get_by_role("button", name="Retry", exact=True).click()
    expect(view.locator(".said")).to_contain_text("Queued again")
    view.get_by_text("Show the events").click()
    expect(view.get_by_text("the customer has called")).to_be_visible()
    return view.url


def decide_a_doubt(view: Page, made: Product) -> None:
    goto_inbox_until(view, made, "clerks-doubt")
    view.locator("tr", has_text="clerks-doubt").get_by_role("link", name="Decide…").click()
    expect(view.locator(".lead")).to_contain_text("It is not known whether this launch arrived")
    view.locator("#act-not_started > summary").click()
    view.fill("#why-not_started", "it is not in the console")
    view.get_by_role("button", name="Queue again").click()
    expect(view.locator(".said")).to_have_text("1 run decided: not started, queued again.")


def look_after_an_approval(view: Page, made: Product, run: str) -> str:
    goto_inbox_until(view, made, "clerks-approval")
    view.locator("tr", has_text="clerks-approval").locator("a.opens").click()
    with made.client() as client:
        execution = str(client.runs.get(run)["execution_id"])
    away = view.get_by_role("link", name="Open at the provider")
    assert execution in (away.get_attribute("href") or "")
    made.sandbox.approve(execution)
    view.get_by_role("button", name="Check now").click()
    expect(view.locator(".said")).to_contain_text("looked at as soon as the rate allows")
    return view.url


def make_a_schedule(view: Page, made: Product) -> None:
    view.get_by_role("navigation", name="Rooms").get_by_role("link", name="Connections").click()
    view.get_by_role("link", name="main", exact=True).click()
    view.get_by_role("link", name="Score customer").click()
    view.get_by_role("link", name="New schedule").click()
    view.fill("#name", "weekly")
    view.fill("#cron", "30 2 * * 1")
    view.fill("#tz", "Europe/Prague")
    expect(view.locator("#connection")).to_have_value("main")
    expect(view.locator("#workflow_id")).to_have_value(made.ids["scored"])
    view.fill("#input", '{"customer_id": "all"}')
    view.get_by_role("button", name="Preview").click()
    ticks = view.locator("section", has_text="It would fire so").locator("tbody tr")
    expect(ticks).to_have_count(10)
    expect(ticks.first).to_contain_text("02:30")
    view.get_by_role("button", name="Make the schedule").click()
    expect(view.locator(".said")).to_contain_text("The schedule is made")
    expect(view.locator("h1")).to_have_text("weekly")


def open_a_report(view: Page, batch: str) -> None:
    view.get_by_role("navigation", name="Rooms").get_by_role("link", name="Batches").click()
    view.locator(f"#b-{batch} a.opens").click()
    view.get_by_role("link", name="Report", exact=True).click()
    expect(view.locator(".lead .badge")).to_have_text("adds up", timeout=PATIENCE_MS)
    with view.context.expect_page() as opened:
        view.get_by_role("link", name="Open the report").click()
    expect(opened.value.locator("body")).to_contain_text("The clerk's statements")
    opened.value.close()


def see_what_became(view: Page, wanted: dict[str, str]) -> None:
    for there, words in wanted.items():
        view.goto(there)
        expect(view.locator("#living")).to_contain_text(words, timeout=PATIENCE_MS)


def compare_the_zip(view: Page, made: Product, batch: str) -> None:
    view.goto(f"{made.url}/batches/{batch}")
    with view.expect_download() as coming:
        view.get_by_role("link", name="All results (ZIP)").click()
    path = coming.value.path()
    with zipfile.ZipFile(Path(path)) as archive, made.client() as client:
        manifest = json.loads(archive.read("manifest.json"))
        listed = {file["path"]: file["sha256"] for file in manifest["files"]}
        results = sorted(file["sha256"] for file in manifest["files"] if file.get("run_id"))
        found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
        told = sorted(result["sha256"] for run in client.batches.runs(batch) for result in run["results"])
    assert listed.items() == found.items() - {("manifest.json", found["manifest.json"])}, "as the manifest says"
    assert (results, len(told)) == (told, 3), "and as the API says"


def sign_out(view: Page, made: Product, batch: str) -> None:
    view.get_by_role("button", name="Sign out").click()
    expect(view.locator("h1")).to_have_text("Sign in")
    view.go_back()
    expect(view.locator("h1")).to_have_text("Sign in")
    expect(view.locator("body")).not_to_contain_text("The clerk's statements")
    view.goto(f"{made.url}/batches/{batch}")
    expect(view.locator("h1")).to_have_text("Sign in")


def submitted(made: Product, connection: str, hints: str, *, external_id: str) -> str:
    """Submit a run as a program would; return its id."""
    body: dict[str, Any] = {"customer_id": external_id, "sandbox": hints}
    with made.client() as client:
        return str(client.runs.submit(connection, made.ids["scored"], body, external_id=external_id)["id"])


def goto_inbox_until(view: Page, made: Product, named: str) -> None:
    """Look at the inbox, which asks again by itself, until something stands in it."""
    view.goto(made.url + "/inbox?limit=100")
    expect(view.locator("tr", has_text=named)).to_be_visible(timeout=PATIENCE_MS)


#: The element with the focus must be told apart by its outline, or by the frame that it stands in.
SEEN = """() => {
    const at = document.activeElement, box = at.getBoundingClientRect(), style = getComputedStyle(at);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    const framed = getComputedStyle(at.parentElement).boxShadow !== "none";
    const within = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
    return (outlined || framed) && within && box.width > 1 && box.height > 1 ? "" : at.outerHTML.slice(0, 200);
}"""


def tab_to(view: Page, wanted: Locator) -> None:
    """Press Tab until something has the focus; all that is passed shows it."""
    for _ in range(60):
        view.keyboard.press("Tab")
        assert view.evaluate(SEEN) == "", "it has the focus, and nobody sees that"
        if wanted.evaluate("wanted => wanted === document.activeElement"):
            return
    pytest.fail(f"Tab does not come to {wanted}")


def test_by_keys_alone_a_run_is_submitted_inspected_and_retried(view: Page, made: Product) -> None:
    keys = view.keyboard
    view.goto(made.url + "/")
    keys.press("?")
    expect(view.locator("#keys")).to_be_visible()
    keys.press("Escape")
    keys.press("g")
    keys.press("r")
    expect(view.locator("h1")).to_have_text("Runs")
    tab_to(view, view.get_by_role("link", name="New run"))
    keys.press("Enter")
    view.wait_for_url("**/runs/new")
    tab_to(view, view.locator("nav.quick a", has_text="main"))
    keys.press("Enter")
    view.wait_for_url("**connection=main")
    tab_to(view, view.locator("#choice"))
    keys.type("Score")
    tab_to(view, view.get_by_role("button", name="Next"))
    keys.press("Enter")
    view.wait_for_url("**workflow=**")
    tab_to(view, view.locator("#input"))
    keys.press("Control+A")
    keys.insert_text('{"customer_id": "k-1", "sandbox": "outcome=error"}')
    tab_to(view, view.locator("#external_id"))
    keys.insert_text("by-keys-alone")
    keys.press("Enter")
    expect(view.locator(".said")).to_contain_text("Submitted")
    run = view.url
    expect(view.locator(".lead")).to_contain_text("Failed", timeout=PATIENCE_MS)
    keys.press("/")
    assert view.evaluate(SEEN) == ""
    keys.insert_text("status:error connection:main")
    keys.press("Enter")
    view.wait_for_url("**status=error**")
    keys.press("j")
    keys.press("j")
    keys.press("k")
    assert view.evaluate(SEEN) == ""
    expect(view.locator("tbody tr").first.locator("a.opens")).to_be_focused()
    keys.press("Enter")
    view.wait_for_url(run)
    tab_to(view, view.locator("#act-retry > summary"))
    keys.press("Enter")
    tab_to(view, view.locator("#why-retry"))
    keys.insert_text("by keys")
    keys.press("Tab")
    keys.press("Enter")
    expect(view.locator(".said")).to_contain_text("Queued again")
