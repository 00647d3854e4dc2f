"""Prints reports: one self-contained HTML page with its charts, CSV, JSON. Pure: figures in, text out.

html.py         the page of a batch or a period          html_run.py  the page of one run
html_parts.py   its tables                               style.py     how it looks, on screen and on paper
svg.py          the charts                               markup.py    tags and text that cannot break out
csv.py          tables that no spreadsheet runs          json.py      the same for programs
words.py        times, sizes and cells as they are printed
"""
