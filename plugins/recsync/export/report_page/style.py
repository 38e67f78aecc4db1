"""The style sheet of the pages. Words never rest on colour alone; ``tests`` measure the contrast of each pair."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #596275; --line: #d9dee7; --page: #f5f6f9;
  --card: #ffffff; --accent: #4a37c4; --bar: #6a58e0; --stop: #a5180d; --stop-back: #fdeceb; --warn: #7a4100;
  --warn-back: #fff3dc; --passed: #05603a; --passed-back: #e6f8ee; --note: #3b4557; --note-back: #eceff5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9f0; --soft: #a3acbd; --line: #343b4a; --page: #13161c;
  --card: #1b1f28; --accent: #b3a7ff; --bar: #8f80f2; --stop: #ffb4ab; --stop-back: #42171a; --warn: #ffcf8a;
  --warn-back: #3a2a0c; --passed: #86e0b2; --passed-back: #0f3323; --note: #c9d0de; --note-back: #2a303c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
nav, main { max-width: 68rem; margin: 0 auto; padding: .8rem 1.2rem; } nav { padding-bottom: 0; }
a { color: var(--accent); } h1, h2, h3, p, dd, code { overflow-wrap: anywhere; }
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .6rem; }
h3 { font-size: 1rem; margin: 0; } p { margin: .3rem 0; }
.soft { color: var(--soft); } code { font: .9em ui-monospace, monospace; }
section, header { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1rem 1.2rem; margin: 0 0 1rem; min-width: 0; }
.passed, .warned, .warn, .stopped, .stop, .note { border-radius: 10px; padding: .1rem .7rem; font-weight: 600;
  display: inline-block; color: var(--note); background: var(--note-back); max-width: 100%;
  overflow-wrap: break-word; }
.passed { color: var(--passed); background: var(--passed-back); }
.warned, .warn { color: var(--warn); background: var(--warn-back); }
.stopped, .stop { color: var(--stop); background: var(--stop-back); }
.verdict { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: .9rem 0; padding: 0; list-style: none; }
.tiles strong { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
.findings { list-style: none; margin: 0; padding: 0; } .findings li { padding: .7rem 0; }
.findings li:first-child { padding-top: 0; } .findings li + li { border-top: 1px solid var(--line); }
.findings h3 .soft { font-weight: 400; }
.findings h3 { display: flex; flex-wrap: wrap; gap: .3rem .7rem; align-items: center; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 0 1rem; }
.scroll { overflow-x: auto; } .tall { max-height: 24rem; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .3rem; }
thead th { color: var(--soft); font-weight: 500; font-size: .85rem; vertical-align: bottom; }
th { text-align: left; font-weight: 500; } td, th { padding: .38rem .9rem .38rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
tbody th { min-width: 8rem; } td code { display: inline-block; min-width: 11ch; }
.time { color: var(--soft); white-space: nowrap; }
.remark { font-weight: 400; color: var(--soft); font-size: .93em; }
.n { text-align: right; white-space: nowrap; } td:last-child, th:last-child { padding-right: 0; }
tbody tr:last-child > * { border-bottom: 0; }
.bars tbody th { width: 60%; }
.bar { display: block; height: .5rem; border-radius: 2px; background: var(--bar); margin-top: .2rem; min-width: 2px; }
.bar.none { visibility: hidden; }
figure { margin: 0; display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .3rem .6rem; }
figure .high { display: flex; flex-direction: column; justify-content: space-between; text-align: right;
  font-size: 12px; line-height: 1; margin: -.4em 0; color: var(--soft); font-variant-numeric: tabular-nums; }
figure svg { width: 100%; height: 11rem; display: block; overflow: visible; }
figure rect { fill: var(--bar); } figure rect:hover { fill: var(--ink); }
figure line { stroke: var(--line); vector-effect: non-scaling-stroke; }
figure line.zero { stroke: var(--soft); }
figure .along { grid-column: 2; position: relative; height: 2.6em; font-size: 12px; line-height: 1.2;
  color: var(--soft); font-variant-numeric: tabular-nums; }
figure .along span { position: absolute; text-align: center; white-space: pre; }
figcaption { grid-column: 1 / -1; color: var(--soft); font-size: .9rem; margin-bottom: .5rem; }
summary { cursor: pointer; color: var(--accent); margin-top: .6rem; }
@media (max-width: 40rem) { nav, main { padding: .7rem; } section, header { padding: .8rem; }
  figure .wide { display: none; } dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
  td, th { padding-right: .6rem; } }
"""
