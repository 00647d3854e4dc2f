"""Pages for people, served beside the API by the same process. How a page is made: docs/pages.md.

installed.py    WebPages: everything below added to the API's application
visits.py       who looks: the session's cookie, scopes, and whether a POST came from our own page
rendering.py    page(): a template, with what every page shows; ETags, headers
wording.py      numbers, ages, sizes and statuses as people read them
assets.py       CSS and scripts by names that carry their hash
navigation.py   the rail: every room, its path and its key
forms.py        what a form sent; the answer that redirects and says what came of it
faults.py       errors as pages
sign_in.py      in by token or by a link that was printed, out, and what a browser prefers
overview.py runs.py run.py run_acts.py bulk.py operations.py    the pages
batches.py batch.py batch_acts.py new_batch.py draft.py new_run.py    more of them
uploads.py      a form with a file, taken as it comes
batch_options.py preview_rows.py input_form.py    what a file or a schema is to whoever looks at it
inbox.py        what waits for a person, and decisions on it, one by one or many alike
schedules.py schedule.py schedule_forms.py    all schedules; one with its ticks and acts; its form with a preview
run_filters.py  the query bar: words in, filters and chips out
commands.py     "as CLI, curl, Python"
templates/      one for each page; macros/ has a file for each noun
assets/         what a browser loads
"""
