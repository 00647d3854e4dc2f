"""How a report looks: calm and dense, the same on screen and on paper, readable in grey and on a phone."""

from __future__ import annotations

import re

#: What is drawn, by its class. On paper without colour only lightness tells them apart: failed is by far the darkest.
FILLS = {"ok": "#5f98c5", "bad": "#8a1f10", "off": "#ccd1d9", "open": "#fdf6e3"}

RULES = (
    """
:root { --ink: #1c2430; --soft: #5c6675; --line: #d9dee6; --page: #fff; --warn: #fff4ec; --ok: #2e6f9e; --bad: #b4442d;
  --words: #46505e; --edge: #6b7482; --edge-open: #a08a3c;"""
    + "".join(f" --fill-{class_}: {colour};" for class_, colour in FILLS.items())
    + """ }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 32px 48px; max-width: 1040px; background: var(--page); color: var(--ink);
  font: 13px/1.45 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
header { display: flex; justify-content: space-between; gap: 24px; border-bottom: 2px solid var(--ink);
  padding-bottom: 8px; color: var(--soft); font-size: 12px; }
header b { color: var(--ink); font-weight: 600; }
header > div:last-child { text-align: right; }
h1 { font-size: 24px; line-height: 1.2; margin: 16px 0 2px; font-weight: 650; overflow-wrap: anywhere; }
h1.long { font-size: 17px; }
h2 { font-size: 14px; margin: 26px 0 6px; font-weight: 650; break-after: avoid; }
h2 small { font-weight: 400; color: var(--soft); font-size: 12px; margin-left: 8px; }
p { margin: 4px 0; }
.soft { color: var(--soft); }
.facts { display: flex; flex-wrap: wrap; gap: 2px 22px; color: var(--soft); font-size: 12px; margin: 6px 0 14px; }
.facts b { color: var(--ink); font-weight: 500; overflow-wrap: anywhere; }
.headline { display: grid; grid-template-columns: 1fr 1fr; gap: 20px; padding: 12px 16px; border: 1px solid var(--line);
  border-left: 5px solid var(--bad); border-radius: 3px; }
.headline.good { border-left-color: var(--ok); }
.headline .big { font-size: 20px; font-weight: 650; line-height: 1.25; }
.headline ul { margin: 2px 0 0; padding-left: 16px; }
.headline h3 { margin: 0; font-size: 12px; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: 12px; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--ink);
  vertical-align: bottom; padding: 3px 10px 3px 0; }
td { border-bottom: 1px solid var(--line); padding: 3px 10px 3px 0; vertical-align: top; overflow-wrap: anywhere; }
td, th { min-width: 5em; }
td.num, th.num, td.tight, th.tight { min-width: 0; }
tr.sum td { border-bottom: 0; font-weight: 600; }
td:last-child, th:last-child { padding-right: 0; }
.num { text-align: right; white-space: nowrap; }
.time { white-space: nowrap; }
.short { white-space: nowrap; overflow-wrap: normal; }
.term { display: inline-block; margin-right: 5px; }
.hash { font: 10px/1.5 ui-monospace, "Liberation Mono", Menlo, monospace; overflow-wrap: anywhere; }
bdi { unicode-bidi: isolate; }
.id { font: 10px/1.5 ui-monospace, "Liberation Mono", Menlo, monospace; white-space: nowrap; }
.yes { color: var(--ok); font-weight: 600; white-space: nowrap; }
.no { color: var(--bad); font-weight: 700; }
tr.wrong td { background: var(--warn); }
.plus { color: var(--soft); padding-right: 4px; }
.charts { display: grid; grid-template-columns: repeat(3, 1fr); gap: 18px; margin-top: 18px; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-weight: 650; font-size: 12px; margin-bottom: 4px; }
figcaption small { display: block; min-height: 1.45em; font-weight: 400; color: var(--soft); }
svg { width: 100%; height: auto; display: block; overflow: visible; }
svg text { font: 10px system-ui, "Liberation Sans", Arial, sans-serif; fill: var(--words); }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .ok { fill: var(--fill-ok); } svg .bad { fill: var(--fill-bad); }
svg .off { fill: var(--fill-off); stroke: var(--edge); stroke-width: 0.6; }
svg .open { fill: var(--fill-open); stroke: var(--edge-open); stroke-width: 0.8; stroke-dasharray: 3 2; }
td.name { min-width: 96px; }
.whole, .two section { break-inside: avoid; }
.two { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0 32px; }
dl { margin: 0; font-size: 11px; columns: 2; column-gap: 32px; }
dl div { break-inside: avoid; margin-bottom: 3px; }
dt { display: inline; font-weight: 600; } dt::after { content: ":"; }
dd { display: inline; margin: 0; color: var(--soft); }
footer { margin-top: 28px; padding-top: 6px; border-top: 1px solid var(--line); color: var(--soft); font-size: 11px; }
@media screen and (max-width: 760px) {
  body { padding: 16px 16px 32px; } .charts, .headline, .two { grid-template-columns: minmax(0, 1fr); }
  dl { columns: 1; } .wide { overflow-x: auto; } td { min-width: 6em; } td, th { padding-right: 7px; }
  h2 small { display: block; margin-left: 0; }
  .totals thead { display: none; } .totals tr, .totals td { display: block; padding: 0; border: 0; }
  .totals tr { border-bottom: 1px solid var(--line); padding: 6px 0; }
  .stacked thead { display: none; }
  .stacked tr { display: block; border-bottom: 1px solid var(--line); padding: 6px 0; }
  .stacked td { display: block; position: relative; border: 0; padding: 1px 0 1px 108px; min-height: 1.5em;
    text-align: left; white-space: normal; overflow-wrap: anywhere; }
  .stacked td > * { white-space: normal; }
  .stacked td:empty { display: none; }
  .stacked td::before { content: attr(data-title); position: absolute; left: 0; width: 100px; color: var(--soft);
    font: 12px/1.45 system-ui, "Liberation Sans", Arial, sans-serif; }
}
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #e4e8ee; --soft: #9aa5b4; --line: #313a46; --page: #14181e; --warn: #38241a;
    --ok: #7fb6e0; --bad: #ff8f78; --words: #b4bdca; --edge: #8892a0; --edge-open: #c9ad55; --fill-ok: #4b7ea8;
    --fill-bad: #ff8f78; --fill-off: #5b6470; --fill-open: #2c2818; }
}
@page { size: A4; margin: 13mm 13mm 15mm;
  @bottom-right { content: counter(page) " of " counter(pages); font: 9px "Liberation Sans", Arial, sans-serif;
    color: #5c6675; } }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5px; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  table { font-size: 9.5px; } .hash, .id { font-size: 7.5px; } dl { font-size: 8.5px; columns: 2; }
  h1 { font-size: 19px; margin-top: 10px; } h1.long { font-size: 14px; } h2 { font-size: 12px; margin-top: 16px; }
  header, .facts, figcaption, h2 small, .headline h3, footer { font-size: 9.5px; } .headline .big { font-size: 16px; }
  .charts { grid-template-columns: repeat(3, 1fr); gap: 12px; } .headline, .two { grid-template-columns: 1fr 1fr; }
  thead { display: table-header-group; } tr { break-inside: avoid; } footer { break-inside: avoid; }
}
"""
)

_PLAIN = re.compile(r"[A-Za-z0-9_+/:.,; -]*")


def rules(sheet: str) -> str:
    """Return all rules.

    Args:
        sheet: what stands below every printed sheet, so that a loose one is known; plain letters, digits and marks.
    """
    assert _PLAIN.fullmatch(sheet), "text in a rule of style is ours, and ends no rule"
    return RULES + (
        f'@page {{ @bottom-left {{ content: "{sheet}"; font: 9px "Liberation Sans", Arial, sans-serif;'
        " color: #5c6675; } }\n"
    )
