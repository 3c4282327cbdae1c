"""The style sheet of the report: one column, quiet colours, readable on paper and on a phone."""

from __future__ import annotations

CSS = """
:root { --ink: #1f2430; --soft: #5d6573; --line: #e3e6eb; --wash: #f6f7f9; --accent: #b4485a;
  --deep: #332288; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: #fff; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main, header .inner, nav ul, footer { max-width: 1000px; margin: 0 auto; padding: 0 24px; }
header { background: linear-gradient(180deg, #f3f2f9, #fff); padding: 36px 0 6px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 21px; margin: 0 0 6px; letter-spacing: -0.005em; }
h3 { font-size: 15px; margin: 24px 0 6px; }
p { margin: 6px 0 12px; max-width: 74ch; }
.lead { font-size: 17px; color: var(--soft); max-width: 70ch; }
.small, figcaption, .note { color: var(--soft); font-size: 14px; }
section { padding: 30px 0 18px; border-top: 1px solid var(--line); }
section:first-child { border-top: 0; padding-top: 18px; }
code, pre { font: 13.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { background: var(--wash); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px;
  overflow-x: auto; margin: 8px 0; }
nav { position: sticky; top: 0; background: rgba(255, 255, 255, 0.94);
  border-bottom: 1px solid var(--line); z-index: 2; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; padding-top: 8px;
  padding-bottom: 8px; font-size: 14px; }
nav a { color: var(--soft); text-decoration: none; }
nav a:hover { color: var(--deep); text-decoration: underline; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 12px 0 16px;
  font-size: 14px; }
dl.facts dt { color: var(--soft); }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(3, 1fr); gap: 14px; margin: 14px 0 22px; }
.card { border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; background: #fff; }
.card .name { font-size: 13px; color: var(--soft); }
.card .value { font-size: 27px; font-weight: 650; line-height: 1.25; letter-spacing: -0.01em;
  font-variant-numeric: tabular-nums; }
.card .interval { font-size: 13px; color: var(--soft); font-variant-numeric: tabular-nums; }
.card p { font-size: 13.5px; line-height: 1.45; margin: 8px 0 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 22px; }
figure { margin: 10px 0 16px; }
figure img { display: block; width: 100%; height: auto; }
figure.framed img { border: 1px solid var(--line); border-radius: 6px; }
figcaption { margin-top: 6px; }
figcaption b { color: var(--ink); font-weight: 600; }
.scroll { overflow-x: auto; margin: 10px 0 6px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; padding: 6px 8px; vertical-align: bottom; line-height: 1.3;
  border-bottom: 1.5px solid #aab0bb; }
th:first-child, td:first-child { text-align: left; padding-left: 10px; }
th .want { display: block; font-weight: 400; font-size: 12px; color: var(--soft); }
td { text-align: right; padding: 6px 8px; border-bottom: 1px solid var(--line); line-height: 1.3;
  white-space: nowrap; }
td:first-child { white-space: normal; min-width: 170px; }
td .interval { display: block; font-size: 11.5px; color: var(--soft); }
td .role { display: block; font-size: 12px; color: var(--soft); }
tr.own td { background: #faf4f5; }
tr.own td:first-child { box-shadow: inset 3px 0 var(--accent); font-weight: 600; }
tr.own td .role, tr.own td .interval { font-weight: 400; }
tr.bound td { background: var(--wash); }
ul { padding-left: 20px; margin: 6px 0 12px; }
li { margin: 5px 0; max-width: 78ch; }
.warn { border-left: 4px solid #d9a441; background: #fdf7ea; padding: 8px 14px; border-radius: 0 8px 8px 0; }
details { margin: 10px 0; }
summary { cursor: pointer; color: var(--soft); font-size: 14px; }
footer { color: var(--soft); font-size: 13px; padding-top: 18px; padding-bottom: 40px; }
@media (max-width: 760px) { .cards, .pair { grid-template-columns: 1fr; } }
@media print { nav { display: none; } section { break-inside: avoid-page; } }
"""
