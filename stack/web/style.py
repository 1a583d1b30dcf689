# SPDX-License-Identifier: Apache-2.0
"""The style sheet of the front page, light and dark by the reader's setting, one column on a telephone; and its icon."""

from __future__ import annotations

from typing import Final

STYLE: Final = """\
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1b1f24; --quiet: #57606a; --line: #d0d7de; --soft: #f3f5f7; --warn: #b3261e; --link: #0b5cad;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e6e9ec; --quiet: #9aa4ae; --line: #394047; --soft: #1e2327; --warn: #ff8a80; --link: #7db8f0;
  }
}
* { box-sizing: border-box; }
body {
  font: 16px/1.55 system-ui, "Hiragino Sans", "Noto Sans CJK JP", sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem;
}
.languages { float: right; margin: 0 0 0 1rem; }
a { color: var(--link); text-underline-offset: .15em; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
p { margin: .25rem 0 .75rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem 1rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
thead th { font-weight: 400; color: var(--quiet); }
.number { font-variant-numeric: tabular-nums; }
.whole { white-space: nowrap; }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
td code, p code, li code { overflow-wrap: anywhere; }
ul { margin: .25rem 0 .75rem; padding-left: 1.25rem; }
pre {
  background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .75rem; margin: .25rem 0 .75rem;
  overflow-x: auto;
}
.print code { white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; padding: .3rem 0; font-weight: 600; color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.warn { border-left: 4px solid var(--warn); padding: .5rem .75rem; background: var(--soft); }
.bad { color: var(--warn); }
@media (max-width: 36rem) {
  th { white-space: normal; }
  .logs thead { display: none; }
  .logs tr { display: block; border-bottom: 1px solid var(--line); padding: .5rem 0; }
  .logs th, .logs td { display: block; border: 0; padding: 0; }
  .logs td::before { content: attr(data-name) " "; color: var(--quiet); }
}
"""

ICON: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0b5cad"/>
<path d="M3 6h10v7H3zM3 6l2-3h6l2 3M6 9l1.5 1.5L10.5 8" fill="none" stroke="#fff" stroke-width="1.2"/></svg>
"""
