"""How the report looks: on a phone each row of a table is a card; paper gets tables."""

__all__ = ["STYLE"]

STYLE = """
* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 72rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p, ul { max-width: 52rem; } ul { padding-left: 1.2rem; }
.sentence { font-size: 1.2rem; line-height: 1.45; }
.quiet, small { color: #555; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .93rem; margin: .6rem 0; }
th, td { text-align: right; vertical-align: top; padding: .35rem .45rem;
  border-bottom: 1px solid #ddd; font-weight: normal; }
thead th { font-size: .85rem; font-weight: 600; vertical-align: bottom; }
th, td { overflow-wrap: break-word; }
tr > th:first-child { text-align: left; overflow-wrap: anywhere; } tbody th { min-width: 6rem; }
td small { display: block; }
.helped { color: #0b6b2e; font-weight: 600; } .hurt { color: #a11212; font-weight: 600; }
table.facts { width: auto; } table.facts td { text-align: left; overflow-wrap: anywhere; }
th.text, td.text { text-align: left; overflow-wrap: anywhere; }
.figures { display: grid; gap: 1rem 1.5rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(23rem, 100%), 1fr)); }
figure { margin: 0; break-inside: avoid; }
figure img { display: block; max-width: 100%; height: auto; } .curves img { width: 100%; }
figcaption { font-size: .9rem; } figcaption b { font-weight: 600; }
pre { background: #f4f4f4; padding: .7rem; overflow-x: auto; font-size: .85rem; margin: .5rem 0; }
pre.wraps { white-space: pre-wrap; }
@media screen and (max-width: 56rem) {
  thead { display: none; } table, tbody, tr, th, td { display: block; width: 100%; }
  tr { padding: .5rem 0; border-bottom: 1px solid #bbb; }
  th, td { border: 0; padding: .1rem 0; }
  tbody th { font-weight: 600; min-width: 0; }
  td[data-heading] { display: flex; justify-content: space-between; gap: 1rem; }
  td[data-heading]::before { content: attr(data-heading); flex: 0 1 auto; min-width: 30%;
    text-align: left; color: #555; font-weight: normal; }
  td[data-heading] > span { flex: 0 0 auto; max-width: 65%; overflow-wrap: anywhere; }
  td.empty[data-heading] { display: none; }
}
@media print {
  html { font-size: 9pt; } body { max-width: none; padding: 0; }
  th, td { padding: .2rem .35rem; } tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .figures { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  pre { white-space: pre-wrap; }
}
"""
