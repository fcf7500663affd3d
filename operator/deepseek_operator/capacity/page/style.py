"""How the capacity page looks: one style sheet, no script, no font and no picture from elsewhere."""

from __future__ import annotations

HUE_STEP_DEGREES = 137.508
"""Golden angle: neighbours in a list get hues far apart, however long the list is."""

STYLE = """
:root{color-scheme:light dark;--line:#8886;--dim:#767676;--foreign:#8a93a0;--bad:#b3261e}
body{font:14px/1.45 system-ui,sans-serif;max-width:1180px;margin:1.5em auto;padding:0 1em}
h1{font-size:1.5em;margin:.2em 0}h2{font-size:1.15em;margin:1.6em 0 .4em}h3{font-size:1em;margin:1.2em 0 .3em}
p{margin:.4em 0;max-width:75em}.dim{color:var(--dim)}.no{color:var(--bad)}
table{border-collapse:collapse;margin:.3em 0}th{text-align:left;font-weight:600}
td,th{padding:.15em 1.1em .15em 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.tiles{display:flex;flex-wrap:wrap;gap:.6em;margin:.8em 0}
.tile{border:1px solid var(--line);border-radius:6px;padding:.4em .8em;min-width:7em}
.tile b{display:block;font-size:1.35em;font-variant-numeric:tabular-nums}
.legend{display:flex;flex-wrap:wrap;gap:.3em 1.2em;margin:.5em 0}
.legend>span{display:inline-flex;gap:.4em;align-items:center}
.node{display:flex;align-items:center;gap:.8em;border-bottom:1px solid var(--line);padding:.18em 0}
.node .name{width:19em;overflow-wrap:anywhere}.node .about{color:var(--dim);width:21em}
.cells{display:flex;flex-wrap:wrap;gap:3px}
.cell{position:relative;box-sizing:border-box;width:26px;height:22px;border:1px solid var(--line);
 border-radius:3px;overflow:hidden;background:transparent;display:inline-block}
.cell i{position:absolute;left:0;right:0;background:var(--c)}.cell .kv{opacity:.45}.cell .other{opacity:.7}
.cell.planned{border:2px dashed var(--c)}.cell.planned i{opacity:.35}
.cell.foreign{background:var(--foreign)}
.cell.stranded{background:repeating-linear-gradient(45deg,#d9a40088 0 4px,transparent 4px 8px)}
.cell.unhealthy{background:var(--bad)}
.cell.shared{background:repeating-linear-gradient(90deg,#5b7fbd88 0 3px,transparent 3px 6px)}
@media print{.node{break-inside:avoid}}
"""


def colours(names: list[str]) -> dict[str, str]:
    """Return a colour per workload, the same for the same list.

    >>> colours(["a", "b"])
    {'a': 'hsl(205 60% 48%)', 'b': 'hsl(343 60% 48%)'}
    """
    return {name: f"hsl({round(205 + HUE_STEP_DEGREES * place) % 360} 60% 48%)" for place, name in enumerate(names)}
