"""The style of the pages: from phone to desktop, light and dark."""

STYLE = """\
:root { color-scheme: light dark; --text: #1c1e21; --faint: #5c6370; --line: #d4d8de; --page: #fff; --box: #f5f6f8;
  --up: #11703a; --down: #b3261e; --note: #fff4d6; --note-line: #c98a00; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e6ea; --faint: #a3abb8; --line: #3c424c; --page: #16181c;
  --box: #22262c; --up: #5fd38d; --down: #ff8a80; --note: #33290f; --note-line: #d9a520; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 1rem/1.55 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.25; }
h2 { margin-top: 2.5rem; padding-top: .6rem; border-top: 2px solid var(--line); font-size: 1.35rem; }
h3 { margin-top: 1.8rem; font-size: 1.1rem; }
p { max-width: 46rem; }
p.warning { padding: .6rem .9rem; background: var(--note); border-left: 4px solid var(--note-line); }
code { padding: .1em .3em; background: var(--box); border-radius: 3px; font-size: .9em; }
.scroll { max-width: 100%; overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; font-size: .93rem; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { background: var(--box); }
tbody th { position: sticky; left: 0; background: var(--page); font-weight: 600; }
td { min-width: 4rem; }
td.number { white-space: nowrap; }
.up { color: var(--up); } .down { color: var(--down); } .same { color: var(--faint); }
.up, .down, .same { font-size: .9em; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
.pictures figure { flex: 1 1 20rem; max-width: 32rem; }
figure { margin: .5rem 0; min-width: 0; }
figcaption { color: var(--faint); font-size: .88rem; }
img { display: block; max-width: 100%; height: auto; border-radius: 4px; background: #fff; }
.wide img { max-width: none; width: 100%; min-width: 36rem; }
.wide figure { max-width: 52rem; }
.thumbnails { display: flex; flex-wrap: wrap; gap: .7rem; padding: .8rem 0; border-top: 1px solid var(--line); }
.thumbnails figure { width: 6.6rem; padding: .3rem; border: 3px solid var(--line); border-radius: 6px; }
.thumbnails [role=img] { height: 10rem; background-position: center; background-size: contain;
  background-repeat: no-repeat; print-color-adjust: exact; }
.thumbnails .query { border-color: var(--text); margin-right: .8rem; }
.thumbnails .same { border-color: var(--up); color: inherit; font-size: inherit; }
.thumbnails .missing { height: 10rem; background: var(--box); color: var(--faint); padding: .5rem; font-size: .85rem; }
summary { cursor: pointer; }
@media (max-width: 40rem) { table { font-size: .85rem; } th, td { padding: .35rem; } td { min-width: 2.4rem; }
  td.number span { display: block; } }
"""
