"""Prints reports: one self-contained HTML page with its charts, CSV, JSON. Pure: figures in, text out.

html.py         the page of a batch or a period          html_run.py    the page of one run
html_lists.py   doubts, acts, ticks, parts of a period   html_parts.py  tables, and the frame around them
style.py        how it looks, on screen and on paper     svg.py         the charts
markup.py       tags and text that cannot break out      words.py       times, sizes and cells as they are printed
csv.py          tables that no spreadsheet runs          json.py        the same for programs
"""
